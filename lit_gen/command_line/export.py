"""The command `export`: a trained model's networks as files that run without this project."""

import argparse
import json
import os
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lit_gen
from lit_gen.callbacks.predictions import check_output
from lit_gen.command_line.config_files import read_config
from lit_gen.command_line.network_files import ENDINGS, write
from lit_gen.command_line.parser import CommandParser
from lit_gen.command_line.paths import check_path, path_of
from lit_gen.command_line.words import check_words, first_config, kinds_named
from lit_gen.data.alphabet import ALPHABET
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_folder, remove_if_empty
from lit_gen.files.checksums import sha256_of
from lit_gen.import_paths import import_path
from lit_gen.models.of_checkpoint import class_named
from lit_gen.runs import folders
from lit_gen.runs.commands import line_of
from lit_gen.runs.names import ROOT
from lit_gen.runs.settings import read_settings
from lit_gen.tasks.exports import Exported

CARD, EXAMPLE, INPUTS = "export.json", "example.py", "inputs.npz"


def export(words: Sequence[str]) -> None:
    """Write a model's networks, each compared with the model, and beside them a card and an example.

    Raises:
        UserError: something is wrong that the user can mend; nothing is left behind then.
    """
    given = options_in(words)
    config, named = first_config(words), kinds_named(words)["model"]
    parent = Path(given.root).expanduser() / (Path(config).stem if config else "")
    class_path = None if config else named
    checkpoint = str(folders.find_checkpoint(given.ckpt_path, parent, "export", class_path=class_path))
    model = lit_gen.load(checkpoint, model=class_named(named), **own_networks(given.config))
    options = {} if given.resolution is None else {"resolution": given.resolution}
    if options and "resolution" not in model.task.all_options():
        raise UserError(f"--resolution is for models that grow, such as ProGAN, and not for {type(model).__name__}.")
    found = model.requires_grad_(False).task.exports(model, options)
    place = given.output or new_place(given.root, checkpoint, model)
    with complete_folder(place, "Set --output.") as partial, torch.no_grad():
        networks = {name: write(name, part, partial, given.format) for name, part in found.items()}
        write_example(found, model, partial, given.format)
        files = {path.name: sha256_of(path) for path in sorted(partial.iterdir())}
        card = card_of(model, checkpoint, words) | {"format": given.format, "networks": networks, "files": files}
        (partial / CARD).write_text(json.dumps(card, indent=1, default=str) + "\n", encoding="utf-8")
        make_room(place, partial, [*files, CARD])
    print(f"exported to {place}: {', '.join([*files, CARD])}")


def own_networks(config: str | None) -> dict[str, Any]:
    """Return the networks that a config takes from other packages, which a checkpoint may not name."""
    model = read_config(config).get("model") if config else None
    settings = dict(model.get("init_args") or {}) if isinstance(model, dict) else {}
    found = {name: value for name, value in settings.items() if isinstance(value, dict) and "class_path" in value}
    paths = {name: str(value["class_path"]) for name, value in found.items()}
    return {name: found[name] for name, path in paths.items() if "." in path and not path.startswith("lit_gen.")}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command's options."""
    found = CommandParser("export", "`export --help` has its options.", allow_abbrev=False)
    found.add_argument("--format", choices=list(ENDINGS), default="onnx")
    found.add_argument("--output", type=path_of)
    found.add_argument("--overwrite", action="store_true")
    found.add_argument("--trainer.default_root_dir", dest="root", default=ROOT)
    for name in ("--ckpt_path", "--resolution", "--config", "-c", "--model"):
        found.add_argument(name)
    return found


def options_in(words: Sequence[str]) -> argparse.Namespace:
    """Return the command's options.

    Raises:
        UserError: one is not known, or has a value that it cannot have; or a package is missing.
    """
    check_words(words)
    given = parser().parse_args(words[1:])
    check_path("ckpt_path", given.ckpt_path)
    check_path("trainer.default_root_dir", given.root)
    if given.format == "onnx" and not all(map(find_spec, ("onnx", "onnxscript", "onnxruntime"))):
        raise UserError('--format=onnx needs onnx, onnxscript and onnxruntime: pip install "lit-gen[export]"')
    if given.output is None and given.overwrite:
        raise UserError("--overwrite is for the folder that --output names.")
    if given.output is not None:
        check_output(given.output, given.overwrite, "what export has written there")
    return given


def new_place(root: str, checkpoint: str, model: Any) -> Path:
    """Return a folder in a new one below those of the runs of the checkpoint's system."""
    run = folders.run_of(checkpoint)
    system = (read_settings(run).get("system") if run else None) or type(model).__name__.lower()
    return folders.new_folder(folders.parent_of_runs(root, system), training=False) / "export"


def make_room(place: Path, new: Path, files: Sequence[str]) -> None:
    """Remove what an earlier `export` has written to a folder; beside files of others, put the new ones there.

    Raises:
        UserError: a file of others has the name of a new one.
    """
    earlier = files_of_export(place)
    if others := [name for name in files if name not in earlier and os.path.lexists(place / name)]:
        raise UserError(
            f"--output: {place / others[0]} is not of an earlier export, or was changed since. Move it away, or name "
            "another folder."
        )
    for name in earlier:
        (place / name).unlink()
    remove_if_empty(place)
    for name in files if place.is_dir() else ():
        os.replace(new / name, place / name)


def files_of_export(folder: Path) -> list[str]:
    """Return the names of the files of a folder that are as an earlier `export` has written them, its card last.

    The card says it by their SHA-256. Files that somebody has changed or put there since are not among them.
    """
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        sums = {folder / Path(name).name: value for name, value in card["files"].items()}
        if not {"command", "checkpoint", "networks"} <= card.keys():
            return []
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # there is none, or it is somebody else's
        return []
    plain = [path for path in sums if path.is_file() and not path.is_symlink()]
    return [*(path.name for path in plain if sha256_of(path) == sums[path]), CARD]


# ---------------------------------------------------------------------------------------------------- what lies beside


def card_of(model: Any, checkpoint: str, words: Sequence[str]) -> dict[str, Any]:
    """Return what the card says of the model."""
    spec, sha256 = model.spec, sha256_of(checkpoint)
    channels, height, width = model.image_shape
    return {
        "command": line_of(words),
        "checkpoint": {"file": Path(checkpoint).name, "sha256": sha256, "images_seen": model.images_seen},
        "model": {"class": import_path(type(model)), "settings": dict(model.hparams)},
        "weights": "EMA of the generator" if getattr(model, "average", None) is not None else "as trained",
        "versions": {"lit_gen": lit_gen.__version__, "torch": str(torch.__version__)},
        "images": f"{'RGB' if channels == 3 else 'grey'}, the largest centred square, resized to {width} x {height} "
        "pixels; where height and width are free, any multiples of 4 from 16 on",
        "classes": spec.get("classes") or spec["num_classes"],
        "attributes": list(getattr(model, "attributes", spec["attributes"])),
        "alphabet": ALPHABET if hasattr(model, "embed") else None,
    }


WEIGHTS_EXAMPLE = '''"""List the weights without lit_gen. Needs numpy and safetensors; see export.json."""

from pathlib import Path

from safetensors.numpy import load_file

for file in sorted(Path(__file__).parent.glob("*.safetensors")):
    for name, weights in load_file(file).items():
        print(file.stem, name, weights.shape, weights.dtype)
'''
EXAMPLE_TEXT = '''"""Use this {model}: python example.py{photo}. Needs numpy, pillow, {package}, no lit_gen."""

import sys
from pathlib import Path

import numpy as np
import {package}
from PIL import Image, ImageOps

here = Path(__file__).parent
inputs = dict(np.load(here / "inputs.npz"))
for path in sys.argv[1:]:
    photo = ImageOps.exif_transpose(Image.open(path)).convert("{mode}")  # upright
    photo = ImageOps.fit(photo, ({width}, {height}), Image.LANCZOS)
    inputs["image"][:] = np.atleast_3d(np.asarray(photo)).transpose(2, 0, 1) / 127.5 - 1
images = {run}
for number, image in enumerate(((images + 1) * 127.5).round().astype(np.uint8)):
    Image.fromarray(image.transpose(1, 2, 0).squeeze()).save(f"image-{{number}}.png")
'''
RUN = {
    "onnx": 'onnxruntime.InferenceSession(here / "{name}.onnx").run(None, inputs)[0]',
    "torch_export": 'torch.export.load(here / "{name}.pt2").module()(*map(torch.tensor, inputs.values()))[0].numpy()',
}


def write_example(networks: Mapping[str, Exported], model: Any, folder: Path, form: str) -> None:
    """Write a program that uses the first network, or lists the weights, without this project; and inputs for it."""
    text = WEIGHTS_EXAMPLE
    if form != "safetensors":
        name, part = next(iter(networks.items()))
        channels, height, width = model.image_shape
        text = EXAMPLE_TEXT.format(
            model=type(model).__name__, mode="RGB" if channels == 3 else "L", width=width, height=height,
            photo=" photo.jpg" if "image" in part.inputs else "", run=RUN[form].format(name=name),
            package="onnxruntime" if form == "onnx" else "torch",
        )  # fmt: skip
        if "image" not in part.inputs:
            text = re.sub(r"for path in sys.*?\n(?=images)|import sys\n|, ImageOps", "", text, flags=re.DOTALL)
        values = part.examples(1 if list(part.inputs) == ["image"] else 8)
        arrays: Any = {key: value.numpy() for key, value in zip(part.inputs, values, strict=True)}
        np.savez(folder / INPUTS, **arrays)
    (folder / EXAMPLE).write_text(text, encoding="utf-8")
