"""The short help, and words that name no command: answered before anything large is imported.

`--help=all` is left to the command line itself.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from textwrap import shorten
from typing import NoReturn

from lit_gen import __version__
from lit_gen.command_line.class_help import COLUMNS, class_help
from lit_gen.command_line.sources import PARTS, classes, known, options_of_predict, own_settings
from lit_gen.errors import UserError, nearest
from lit_gen.runs.commands import line_of

COMMANDS = {
    "fit": "train a model, or go on with a run",
    "validate": "compute a trained model's validation metrics",
    "test": "compute a trained model's test metrics, and write test.json",
    "predict": "write images: samples, reconstructions, translations",
    "export": "write a trained model's networks as files that run without this project",
    "prepare": "download, decode and cache a dataset, before several processes start to train",
    "check": "say what data hold, which files cannot be read, and what to type next",
    "runs": "list the runs; `runs compare A B`: what differs; `runs report A` writes its report.html",
    "new": "make a small project: a model to change, its config, a test, a README",
}
OTHER_WORDS = {"train": "fit", "eval": "test", "evaluate": "test", "sample": "predict", "generate": "predict"}
EXAMPLES = {
    "fit": (
        "--config configs/vae.yaml --model.beta=4 --trainer.max_epochs=20",
        "--config configs/progan.yaml --config configs/quick/progan.yaml",
        "--config configs/vae.yaml --name=first --ckpt_path=auto",
    ),
    "validate": (
        "--ckpt_path=last",
        "--ckpt_path=runs/vae/<run>/checkpoints/best.ckpt",
        "--config configs/vae.yaml --ckpt_path=last",
    ),
    "test": (
        "--ckpt_path=last",
        "--ckpt_path=runs/gan/<run> --evaluation.samples=1000",
        "--config configs/vae.yaml --ckpt_path=last",
    ),
    "predict": (
        "--ckpt_path=last --count=16 --output=samples",
        "--ckpt_path=runs/stargan/<run> --images=photos --attributes=+Young,-Male",
        '--ckpt_path=model.ckpt --prompts="a smiling woman"',
    ),
    "export": (
        "--ckpt_path=last --output=exported",
        "--ckpt_path=runs/progan/<run> --format=torch_export --resolution=16",
        "--ckpt_path=model.ckpt --format=safetensors",
    ),
    "check": (
        "--data=ImageTable --data.root=pictures",
        "--data=UnpairedFolders --data.folder_a=horses --data.folder_b=zebras",
    ),
    "prepare": (
        "--config configs/dcgan.yaml",
        "--config configs/progan.yaml --data.cache_folder=caches",
        "--data=CelebA --data.image_size=64 --data.root=data",
    ),
    "runs": ("", "elsewhere/runs", "compare vae/first vae/second", "report vae/first"),
    "new": ("my-faces --model=DCGAN --data=ImageFolder", "my-digits --model=VAE --data=MNIST"),
}
FIRST = (
    ("--config FILE", "configs/<system>.yaml; an overlay: configs/quick/<system>.yaml"),
    ("--ckpt_path FILE|last|best", "a file or run folder; last, best: of the newest run"),
    ("--seed_everything 0", "the seed of everything random"),
)
OF_FIT = (
    ("--ckpt_path auto", "go on with the run that --name names, or begin it"),
    ("--train_seeds 0-4", "train with each of these seeds; then the mean and deviation of what they reach"),
    ("--dry_run", "ten timed batches: images/s, memory, time of the whole training; writes nothing"),
)
OF_EXPORT = (
    (
        "--ckpt_path FILE|last|best",
        "a file or run folder; last, best: newest, of the system of a --config if there is one",
    ),
    ("--format onnx", "or torch_export (PyTorch loads it by itself), or safetensors (weights alone)"),
    ("--output", "folder for the files, new or empty; by default export/ in a new folder below runs/"),
    ("--overwrite", "replace what an earlier export has written to --output"),
    ("--resolution", "side of ProGAN's images in pixels: 4, 8, ... up to what was trained"),
    ("--model", "import path of a class of your own"),
)
LAST = (
    ("--trainer.max_epochs 100", "and .devices, .precision and more of Lightning's Trainer"),
    ("--trainer.limit_val_batches", "1 is one batch, 1.0 all; likewise for train, test and predict"),
    ("--print_config", "print the settings that result, and end"),
    ("--help=all", "every setting"),
)


def _rows(rows: Iterable[tuple[str, str]]) -> list[str]:
    rows = list(rows)
    width = max([10, *(len(name) for name, _ in rows)])
    return [f"  {name:{width}}  {_cut(text, COLUMNS - width - 4)}".rstrip() for name, text in rows]


def _cut(text: str, room: int) -> str:
    """Cut a text that is too long, at the end of a sentence or clause where that leaves enough."""
    if len(text) > room:
        ends = [end.start() for end in re.finditer(r"[.:;](?= )|(?<=\))(?= )", text) if room / 2 < end.start() <= room]
        text = text[: ends[-1]] if ends else shorten(text, room, placeholder=" ...")
    return text.removesuffix(".") if not text.endswith("...") else text


def _examples(command: str) -> list[str]:
    return ["examples", *(f"  python main.py {command} {words}".rstrip() for words in EXAMPLES[command])]


def _lists(command: str) -> list[str]:
    lines: list[str] = []
    for part, title in PARTS.items():
        if command in ("prepare", "check") and part != "data":
            continue
        example = known(part)[0]
        lines += [f"{title} (--{part}=<name>; `{command} --{part}.help {example}` has the settings of {example})"]
        lines += [*_rows(classes(part)), ""]
    return lines


def main_help() -> str:
    """Return the answer to `main.py --help`."""
    lines = [
        "usage: python main.py <command> --config FILE [--config OVERLAY] [--<setting>=<value> ...]",
        "",
        "commands (`fit --help` has the settings, `fit --help=all` each of them)",
        *_rows(COMMANDS.items()),
        "",
        *_lists("fit"),
        *_examples("fit"),
    ]
    return "\n".join(lines)


def command_help(command: str) -> str:
    """Return the answer to `main.py <command> --help`."""
    if command == "runs":
        usage = ["usage: python main.py runs [FOLDER]", "       python main.py runs compare A B [--root FOLDER]"]
        usage.append("       python main.py runs report A [--root FOLDER]")
        return "\n".join([*usage, f"  {COMMANDS[command]}", "", *_examples(command)])
    if command == "new":
        usage = ["usage: python main.py new FOLDER --model=<name> --data=<name>", f"  {COMMANDS[command]}", ""]
        return "\n".join([*usage, *_lists("fit"), *_examples(command)])
    if command == "export":
        usage = [
            "usage: python main.py export --ckpt_path FILE|last|best [--<option>=<value> ...]",
            f"  {COMMANDS[command]}",
        ]
        return "\n".join([*usage, "", "options", *_rows(OF_EXPORT), "", *_examples(command)])
    named = "--config FILE [--config OVERLAY]" if command in ("fit", "prepare", "check") else "--ckpt_path FILE"
    more = OF_FIT if command == "fit" else ()
    options = [(f"--{name}", text) for name, text in options_of_predict().items()]
    settings = [*FIRST[:2], *options, LAST[-1]] if command == "predict" else [*FIRST, *more, *own_settings(), *LAST]
    lines = [
        f"usage: python main.py {command} {named} [--<setting>=<value> ...]",
        f"  {COMMANDS[command]}",
        *([""] if command != "predict" else []),  # whose options fill the screen
        *_lists(command),
        "settings, of which a model that does not know one says so" if command == "predict" else "settings",
        *_rows(FIRST[:1] + LAST[-2:] if command in ("prepare", "check") else settings),
        "",
        *_examples(command),
    ]
    return "\n".join(lines)


def _versions() -> str:
    found = [f"lit_gen {__version__}"]
    for package in ("torch", "lightning", "jsonargparse"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join([*found, f"Python {sys.version.split()[0]}"])


def answer(words: Sequence[str]) -> list[str]:
    """Answer what needs no model: help, the version, and words that name no command.

    The words (what stands behind the program's name) are returned for the command line, which answers the rest.

    Raises:
        SystemExit: with code 0 when this was all that was asked for, with 2 after one line on standard error.
    """
    try:
        return _answer(list(words))
    except UserError as error:
        print(f"error: {error}".replace("python main.py", line_of([])), file=sys.stderr)
        raise SystemExit(2) from None


def _answer(words: list[str]) -> list[str]:
    if not words:
        raise UserError(f"which command? {_choice()}")
    if words[0] == "help" or words[1:] == ["help"]:
        words = [*(word for word in words if word != "help"), "--help"]
    first = words[0]
    if "--version" in words[:1]:
        _end(_versions())
    if not first.startswith("-") and first not in COMMANDS:
        meant = f" Did you mean {OTHER_WORDS[first]}?" if first in OTHER_WORDS else nearest(first, COMMANDS)
        raise UserError(f"there is no command {first!r}.{meant} {_choice()}")
    command = next((word for word in words if word in COMMANDS), None)
    if command is None and first.startswith(("--model", "--data", "--trainer", "--ckpt")):
        raise UserError(f"which command? It stands before {first}. {_choice()}")
    for number, word in enumerate(words):
        name, _, value = word.partition("=")
        if word in ("-h", "--help"):
            _end(command_help(command) if command else main_help())
        if name == "--help":
            if value != "all":
                raise UserError("--help takes nothing for one screen, or `all` for every setting: --help=all.")
            return [*words[:number], "--help", *words[number + 1 :]]
        if name in ("--model.help", "--data.help"):
            return _class_help(words, number)
    return words


def _class_help(words: list[str], number: int) -> list[str]:
    """Complete `--model.help <class>`, in which the class may be the one that stands before it, or none."""
    name, equals, value = words[number].partition("=")
    part = name.removeprefix("--").removesuffix(".help")
    before, after = words[:number], words[number + 1 :]
    if not equals and after and not after[0].startswith("-"):
        value, *after = after
    if not value:
        given = [word.partition("=")[2] for word in before if word.startswith(f"--{part}=")]
        given += [word for option, word in pairwise(before) if option == f"--{part}"]
        if not given:
            _end("\n".join([f"{name} <class> lists the settings of one of these:", *_rows(classes(part))]))
        value = given[-1]
    text = class_help(part, value)
    if text:
        _end(text)
    return [*before, f"{name}={value}", *after]


def _choice() -> str:
    return f"Commands: {', '.join(COMMANDS)}. `python main.py --help` explains them."


def _as_started(text: str) -> str:
    """Return a text for who started the program otherwise than by `main.py`: with its words, and recipes by name."""
    words = line_of([])
    if words.endswith("main.py"):
        return text
    return re.sub(r"configs/((?:quick/)?[\w<>]+)\.yaml", r"\1", text.replace("python main.py", words))


def _end(text: str) -> NoReturn:
    print(_as_started(text))
    raise SystemExit(0)
