"""Puts a run's weights into `pretrained/`, in 16 bits, with a card: `python -m benchmarks.pretrained runs/vae/<time>`.

The folder `pretrained/<system>` then has what `--ckpt_path=pretrained/<system>` and `lit_gen.load` read: the weights of
the run's last checkpoint, G's EMA in the place of G, without optimizers and without images of the data. What
`python -m benchmarks.measure` has written to the run is on the card.
"""

import argparse
import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import last
from benchmarks.records import table
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.runs.checkpoint_files import read_checkpoint

FOLDER = Path(__file__).parents[1] / "pretrained"
WEIGHTS, CARD = "last.ckpt", "card.md"
MOST = 8_000_000
"""Bytes of all weights together."""
KEPT = (
    "epoch", "global_step", "pytorch-lightning_version", "classes", "alphabet", "hparams_name",
    "datamodule_hparams_name",
)  # fmt: skip
"""What is kept of a checkpoint as it is."""
AVERAGE = "average.module."
ROWS = (
    "system", "data", "licence of the data", "trained by", "seed", "commit", "images seen", "weights", "SHA-256", "use",
)  # fmt: skip
"""The heads of a card's first table."""
USES = {
    "StarGAN": "--images=photo.png --attributes=+Blond_Hair",
    "CycleGAN": "--images=photo.png",
    "PuzzleGAN": "--images=photo.png",
    "Text2Image": '--prompts="a smiling woman"',
}
"""Options of `predict`, where those of a model are not a number of images."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a run's weights into pretrained/, in 16 bits and with a card.")
    parser.add_argument("run", type=Path, help="folder of a run that python -m benchmarks.measure has measured")
    parser.add_argument("--name", help="name of the folder in pretrained/; by default the system's")
    parser.add_argument("--licence", help="licence of the data; of rendered ones it is known")
    options = parser.parse_args()
    try:
        print(f"written to {add(options.run, options.name, options.licence)}")
    except UserError as error:
        parser.error(str(error))


def add(run: Path, name: str | None = None, licence: str | None = None) -> Path:
    """Write weights and card of a run, in place of those of that name, and return their folder.

    Raises:
        UserError: the run was not measured, its data have no licence, or there would be more than 8 MB of weights.
    """
    measures, place = run / "measures.json", FOLDER / (name or run.resolve().parent.name)
    if not measures.is_file():
        raise UserError(f"there is no {measures}: python -m benchmarks.measure {run} --command='...' writes it.")
    record = json.loads(measures.read_text(encoding="utf-8"))
    if record["data"].startswith("rendered"):
        licence = "MIT: this project draws them"
    if not licence or not record["command"]:
        raise UserError(f"the card lacks {'the command: measure with --command' if licence else 'a --licence'}.")
    file = io.BytesIO()
    torch.save(small(read_checkpoint(last(run))), file)
    content = file.getvalue()
    others = sum(path.stat().st_size for path in FOLDER.glob(f"*/{WEIGHTS}") if path.parent != place)
    if len(content) + others > MOST:
        raise UserError(
            f"{place.name} has {len(content):,} bytes, with the others {len(content) + others:,}, of {MOST:,}."
        )
    for path, written in (
        (place / WEIGHTS, content),
        (place / CARD, card(place.name, content, record, licence).encode()),
    ):
        with complete_file(path) as partial:
            partial.write_bytes(written)
    return place


def small(checkpoint: dict[str, Any]) -> dict[str, Any]:
    """Return what a trained model needs of a checkpoint, with weights in 16 bits.

    Raises:
        UserError: a weight is too large for 16 bits.
    """
    found = {name: value for name, value in checkpoint.items() if name in KEPT}
    data = checkpoint["classes"]["data"].rpartition(".")[2]  # whose state says how its images are split
    found |= {name: value for name, value in checkpoint.items() if name == data}
    # The paths of the machine that trained it say nothing.
    of_data = checkpoint["datamodule_hyper_parameters"]
    found["datamodule_hyper_parameters"] = {
        name: value for name, value in of_data.items() if not Path(str(value)).is_absolute()
    }
    weights = checkpoint["state_dict"]
    averages = {name.removeprefix(AVERAGE): value for name, value in weights.items() if name.startswith(AVERAGE)}
    weights = {name: value for name, value in weights.items() if not name.startswith("average.")}
    weights |= {f"generator.{name}": value for name, value in averages.items()}
    found["hyper_parameters"] = checkpoint["hyper_parameters"] | ({"ema_decay": 0.0} if averages else {})
    found["state_dict"] = {name: _small(name, value) for name, value in weights.items()}
    return found


def _small(name: str, value: Any) -> Any:
    """Return a weight in 16 bits; of the state of a module that keeps images, none."""
    if name.endswith("_extra_state"):
        return value[:0].clone() if isinstance(value, Tensor) else value
    if not value.is_floating_point():
        return value
    half = value.half()
    if not half.isfinite().all():
        raise UserError(f"{name} has values that are not finite in 16 bits.")
    return half


def card(name: str, content: bytes, record: dict[str, Any], licence: str) -> str:
    """Return the card of weights.

    Args:
        name: of their folder.
        content: of their file.
        record: what `benchmarks.measure` has written of the run.
        licence: of the data.
    """
    values = (
        record["system"],
        f"{record['data']}, {record['size']} pixels",
        licence,
        f"`{record['command']}`",
        str(record["seed"]),
        record["commit"],
        f"{record['images_seen']:,}, in {record['minutes']:g} minutes on {record['hardware']}",
        f"{len(content):,} bytes, in 16 bits; the metrics are those of 32 bits",
        hashlib.sha256(content).hexdigest(),
        f"`python main.py predict --ckpt_path=pretrained/{name} {USES.get(record['system'], '--count=16')}`",
    )
    metrics = [
        (figure.removeprefix("test/"), f"{measured['value']:.4g}", f"{measured['samples']:,}", measured["features"])
        for figure, measured in record["figures"].items()
    ]
    note = f"\n{record['note']}\n" if record["note"] else ""
    facts = table(("", ""), list(zip(ROWS, values, strict=True)))
    return f"# {name}\n\n{facts}{note}\n{table(('metric', 'value', 'of', 'by'), metrics)}"


def problems(folder: Path = FOLDER) -> list[str]:
    """Return what is wrong with a folder of weights and cards: one that is missing, or not of the other; their size."""
    found = []
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.parent != folder)
    for file in files:
        if file.name not in (WEIGHTS, CARD) or file.parent.parent != folder:
            found.append(f"{file} is neither {WEIGHTS} nor {CARD}")
        elif file.name == CARD and not (file.parent / WEIGHTS).is_file():
            found.append(f"{file} is of no weights")
        elif file.name == WEIGHTS:
            text = (file.parent / CARD).read_text(encoding="utf-8") if (file.parent / CARD).is_file() else ""
            rows = dict(re.findall(r"^\| ([^|]+?) \| ([^|]+?) \|$", text, re.MULTILINE))
            found += [f"the card of {file} lacks: {row}" for row in ROWS if row not in rows]
            if rows.get("SHA-256") != hashlib.sha256(file.read_bytes()).hexdigest():
                found.append(f"the card of {file} is of another file")
    size = sum(file.stat().st_size for file in files if file.name == WEIGHTS)
    return found + ([f"all weights together have {size:,} bytes, of {MOST:,}"] if size > MOST else [])


if __name__ == "__main__":
    main()
