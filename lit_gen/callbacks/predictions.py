"""Predictions: the images that `predict` writes, a grid of them, and a manifest."""

import json
import math
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from lit_gen.callbacks.sample_grids import save_picture
from lit_gen.data.decoding import decode_image
from lit_gen.data.image_files import GRID, MANIFEST, MOVING
from lit_gen.data.pixel_values import as_floats
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file, make_folder, remove_partial_of, write_text, writing
from lit_gen.files.checksums import sha256_of
from lit_gen.import_paths import import_path
from lit_gen.lightning_compat import data_of
from lit_gen.tasks.grids import Grid
from lit_gen.tasks.pictures import Picture, Plan, different, folders_above

JOURNAL = ".predict-*.partial"
"""Names of the lists of what a process is writing, a name a line; they go when the manifest is there."""
NUMBERED = re.compile(r"\d+-\d{6,}\.png")
CELL, GAP = 256, 2  # pixels of the grid
MOST_IN_GRID = 64  # pictures, or rows where something says how they lie side by side
FRAME = 80  # milliseconds


class Command(NamedTuple):
    """What the manifest says of a command, beside its pictures."""

    line: str
    options: dict[str, str]
    seed: int
    checkpoint: str


class PredictionWriter(BasePredictionWriter):
    """Write what `predict_step` returns, images (B, C, H, W) in [-1, 1], and at the end a grid and `manifest.json`.

    A picture of a plan has its own name, and one that is made from an image file of a data module that file's. Others
    are `folder/<rank>-<number>.png`. At the end it says how many all processes have written, and where.

    Until the manifest is there, each process lists what it writes, so that the pictures of a `predict` that was broken
    off are known. No picture takes the place of a file that is not of an earlier `predict`, or that it is made from.

    Args:
        folder: where to write.
        command: what the manifest says of it; without one there is neither manifest nor grid.
        overwrite: whether to remove the pictures that an earlier command has written there.
        all_to_wandb: whether W&B gets the grid where it shows images of the data, or what was made from them.
    """

    def __init__(
        self, folder: Path, command: Command | None = None, overwrite: bool = False, all_to_wandb: bool = False
    ) -> None:
        super().__init__("batch")
        self.folder, self.command, self.overwrite, self.all_to_wandb = folder, command, overwrite, all_to_wandb
        self.plan = Plan([])  # stays empty where a data module gives the batches
        self.names: list[str] = []
        self.sources: list[tuple[str, Path]] = []  # the files of the data's rows, each behind the name for its picture

    def setup(self, trainer: Trainer, model: Any, stage: str) -> None:
        # Another node's has the time of another clock in its name.
        self.folder = trainer.strategy.broadcast(self.folder)
        if stage != "predict":
            return
        data: Any = data_of(trainer)
        self.plan = getattr(data, "plan", self.plan)
        files = getattr(data, "predicted_files", []) if model.task.predicts_from != "noise" else []
        names = different([str(file.relative_to(data.root).with_suffix("")) for file in files])
        self.sources = list(zip(names, files, strict=True))
        refusal = self.refusal() if trainer.is_global_zero else None
        if refusal := trainer.strategy.broadcast(refusal):
            raise UserError(refusal)

    def planned(self) -> list[tuple[str, int | None, Path | None]]:
        """Return name, seed and source of each picture whose name is known before; those of a numbered one are not."""
        own = [(one.name, one.seed, one.source) for one in self.plan.pictures]
        return [*own, *((name, None, path) for name, path in self.sources)]

    def refusal(self) -> str | None:
        """Return why nothing may be written: a file of somebody else, or one to read, would be replaced or removed."""
        planned, earlier = self.planned(), set(written_earlier(self.folder))
        numbered = [path.name for path in self.folder.glob("*.png") if NUMBERED.fullmatch(path.name)]
        names = [f"{name}.png" for name, _, _ in planned] or numbered
        names += [] if self.command is None else [MANIFEST, GRID, *([MOVING] if self.plan.moving else [])]
        places, own = places_of(self.folder, names), {*places_of(self.folder, self.names), *earlier}
        sources = [*self.plan.sources, *(source for _, _, source in planned if source is not None)]
        read = {*(path.resolve() for path in sources), *places_of(Path(), sources)}
        if taken := sorted(read & {*places, *(earlier if self.overwrite else ())}):
            return f"--output: predict reads {taken[0]}, and would replace or remove it. Name another folder."
        folders = folders_above(places)
        if taken := sorted(folders & {*places}):
            return f"--output: {taken[0].name} is a file that predict writes. Rename the folder of that name it reads."
        files = [folder for folder in folders if os.path.lexists(folder) and not folder.is_dir()]
        if taken := [place for place in [*places, *files] if os.path.lexists(place) and place not in own]:
            return (
                f"--output: {taken[0]} is there already, and no earlier predict has written it. Move it away, or name "
                "another folder."
            )
        return None

    def on_predict_start(self, trainer: Trainer, model: Any) -> None:
        if self.overwrite and trainer.is_global_zero:
            remove_earlier(self.folder)
        trainer.strategy.barrier("the folder is ready")

    def write_on_batch_end(
        self, trainer: Trainer, model: LightningModule, prediction: Tensor, rows: Any, batch: Any, *_: Any
    ) -> None:
        make_folder(self.folder)
        for number, image in enumerate(prediction):
            name = f"{trainer.global_rank}-{len(self.names):06d}"
            if isinstance(batch, Picture):
                name = batch.name
            elif self.sources and rows:
                name = self.sources[rows[number]][0]
            self.note(trainer.global_rank, f"{name}.png")
            save_picture(image, self.folder / f"{name}.png")
            self.names.append(f"{name}.png")

    def note(self, rank: int, *names: str) -> None:
        """List files that this process is about to write."""
        if self.command is not None:
            path = self.folder / JOURNAL.replace("*", str(rank))
            with writing(f"write to the folder {self.folder}"), path.open("a", encoding="utf-8") as journal:
                journal.writelines(f"{json.dumps(name)}\n" for name in names)

    def on_predict_end(self, trainer: Trainer, model: LightningModule) -> None:
        written = torch.tensor(len(self.names), device=model.device)
        count = int(trainer.strategy.reduce(written, reduce_op="sum"))
        if count and self.command is not None and trainer.is_global_zero:
            self.finish(model, self.command)
            self.log_on_wandb(trainer, self.command.options, count)
        trainer.strategy.barrier("the manifest is written")
        written_to = f"{amount(count, 'image')} {'is' if count == 1 else 'are'} in {self.folder}"
        rank_zero_info(written_to if count else "no images: there was nothing to predict")

    def log_on_wandb(self, trainer: Trainer, options: dict[str, str], count: int) -> None:
        """Log on W&B how many images were made, and the grid, unless it shows what may not leave the machine."""
        alone = self.plan.pictures and not {"images", "patches"} & options.keys()
        may_leave = alone or self.all_to_wandb or getattr(data_of(trainer), "may_be_shared", False)
        for logger in (logger for logger in trainer.loggers if isinstance(logger, WandbLogger)):
            logger.log_metrics({"predict/images": count})
            if may_leave:
                logger.log_image("predict/grid", [str(self.folder / GRID)])
            else:
                rank_zero_info("W&B does not get the grid, which shows your images. To send it: --wandb.images=all")

    def finish(self, model: Any, command: Command) -> None:
        """Write the grid, the moving picture, and last the manifest."""
        written = {name for journal in self.folder.glob(JOURNAL) for name in names_in(journal)}
        plan, own = self.plan, [one for one in self.planned() if f"{one[0]}.png" in written]
        names = [f"{name}.png" for name, _, _ in own] or sorted(written)
        others = [GRID, *([MOVING] if plan.moving else [])]
        self.note(0, *others, MANIFEST)
        beside = [None if plan.heads else source for _, _, source in own] or [None] * len(names)
        shown = slice(MOST_IN_GRID * (plan.columns or 1))
        plan = plan._replace(lines=plan.lines[: math.ceil(len(names[shown]) / (plan.columns or 1))])
        files = [self.folder / name for name in names]
        part = f"{len(files[shown])} of " if files[shown] != files else ""
        title = f"{type(model).__name__}: {part}{amount(len(files), 'prediction')}"
        write_grid(self.folder / GRID, files[shown], beside[shown], plan, title)
        if plan.moving:
            write_moving(self.folder / MOVING, files)
        entries = [
            {"file": f"{name}.png"}
            | ({} if seed is None else {"seed": seed})
            | ({} if source is None else {"source": str(source)})
            for name, seed, source in own
        ]
        sha256 = sha256_of(command.checkpoint)
        content = {
            "command": command.line,
            "checkpoint": {"path": command.checkpoint, "sha256": sha256, "images_seen": model.images_seen},
            "model": {"class": import_path(type(model)), "settings": dict(model.hparams)},
            "options": command.options,
            "seed": command.seed,
            "others": others,
            "images": entries or [{"file": name} for name in names],
        }
        write_text(self.folder / MANIFEST, json.dumps(content, indent=1, default=str) + "\n")
        for journal in list(self.folder.glob(JOURNAL)):
            journal.unlink()


def amount(count: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{count} {noun}{'s' if count != 1 else ''}"


def check_output(folder: Path, overwrite: bool, what: str) -> None:
    """Raise a `UserError` if a folder to write to is none, or not empty, unless `what` is there may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output: {folder} is a file. Name a folder, which need not be there yet.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(
            f"--output: the folder {folder} is not empty. Name another one, or add --overwrite to replace {what}."
        )


def places_of(folder: Path, names: Iterable[str | Path]) -> list[Path]:
    """Return the true places of files of a folder, each once; a link is its own place, not that of what it leads to."""
    parents: dict[Path, Path] = {}  # of a million pictures, most have the same
    found: dict[Path, None] = {}
    for path in (folder / name for name in names):
        if path.parent not in parents:
            parents[path.parent] = path.parent.resolve()
        found[parents[path.parent] / path.name] = None
    return list(found)


def names_in(journal: Path) -> list[str]:
    """Return the names that a process has listed; its last line may be cut short, and its file was not begun then."""
    try:
        lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        return [str(json.loads(line)) for line in lines if line.endswith("\n")]
    except (OSError, ValueError):  # not one of ours
        return []


def written_earlier(folder: Path) -> list[Path]:
    """Return the files that an earlier `predict` has written to a folder, also one that was broken off; last its lists.

    Files that somebody else has put there, or behind a link in it, are not among them.
    """
    lists = sorted(folder.glob(JOURNAL))
    names = [name for journal in lists for name in names_in(journal)]
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if {"command", "checkpoint", "others", "images"} <= manifest.keys():
            names += [str(name) for name in (*manifest["others"], *(entry["file"] for entry in manifest["images"]))]
            lists.append(folder / MANIFEST)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass  # there is none, or it is somebody else's
    inside = folder.resolve()
    pictures = [name for name in names if name.endswith((".png", ".gif"))]
    places = [path for path in places_of(folder, pictures) if path.is_relative_to(inside)]
    places += places_of(folder, [one.name for one in lists])
    return [path for path in places if path.is_file() and not path.is_symlink()]


def remove_earlier(folder: Path) -> None:
    """Remove what an earlier `predict` has written to a folder, and nothing that somebody else has put there."""
    for journal in folder.glob(JOURNAL):
        for name in names_in(journal)[-1:]:  # which may be half-written
            remove_partial_of(folder / name)
    for path in written_earlier(folder):
        path.unlink()


def write_grid(path: Path, files: Sequence[Path], beside: Sequence[Path | None], plan: Plan, title: str) -> None:
    """Write a grid of pictures, each in the middle of a cell, with what it was made from at its left.

    In `beside` are these image files, None where there is none. The plan says how many stand in a row, by default as
    many as make a square, and what stands above them.
    """
    columns = plan.columns or max(1, round(len(files) ** 0.5))
    strips = bool(plan.heads) or not plan.pictures  # those of a data module, all of one size, may be strips too
    cells: list[Image.Image] = []
    for file, source in zip(files, beside, strict=True):
        with Image.open(file) as picture:
            wide = strips and picture.width > 2 * picture.height
            cells.append(_small(picture, max(CELL, picture.width) if wide else CELL))
        if source is not None:
            original = Image.fromarray(decode_image(source, lambda width, height: (width, height)))
            cells.insert(-1, _small(original, max(cells[-1].size)))
    heads = ("input", "output") * columns if any(beside) else plan.heads
    columns *= 1 + any(beside)
    width, height = (max(size) for size in zip(*(cell.size for cell in cells), strict=True))
    rows = math.ceil(len(cells) / columns)
    whole = Image.new("RGB", (columns * (width + GAP), rows * (height + GAP)), "white")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, upper = (width - cell.width) // 2, (height - cell.height) // 2
        whole.paste(cell, (column * (width + GAP) + left, row * (height + GAP) + upper))
    save_picture(Grid(as_floats(pil_to_tensor(whole)), title, heads, plan.lines).drawn(), path)


def _small(image: Image.Image, longest: int) -> Image.Image:
    """Return an image as RGB, no longer than `longest` pixels."""
    image = image.convert("RGB")
    image.thumbnail((longest, longest))
    return image


def write_moving(path: Path, files: Sequence[Path]) -> None:
    """Write pictures of one size as a GIF that goes there and back, for ever."""
    first, *others = [_small(Image.open(file), 2 * CELL) for file in files]
    frames = [first, *others, *others[-2::-1]]
    with complete_file(path) as partial:
        frames[0].save(partial, "GIF", save_all=True, append_images=frames[1:], duration=FRAME, loop=0)
