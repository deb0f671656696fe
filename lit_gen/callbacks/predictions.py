"""Predictions: the images that `predict` writes, a grid of them, and a manifest."""

import json
import math
from collections.abc import Sequence
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
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file, make_folder
from lit_gen.files.checksums import sha256_of
from lit_gen.lightning_compat import data_of
from lit_gen.tasks.grids import Grid
from lit_gen.tasks.pictures import Picture, Plan, different

MANIFEST, GRID, MOVING = "manifest.json", "grid.png", "interpolation.gif"
CELL, GAP = 256, 2  # pixels of the grid
MOST_IN_GRID = 64  # pictures, where nothing says how they lie side by side
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
        self.names: list[str] = []
        self.sources: list[tuple[str, Path]] = []  # the files of the data's rows, each behind the name for its picture

    def setup(self, trainer: Trainer, model: LightningModule, stage: str) -> None:
        # Another node's has the time of another clock in its name.
        self.folder = trainer.strategy.broadcast(self.folder)
        if self.overwrite and trainer.is_global_zero:
            remove_earlier(self.folder)
        trainer.strategy.barrier("the folder is ready")

    @staticmethod
    def plan_of(trainer: Trainer) -> Plan:
        """Return the plan of the pictures; an empty one where a data module gives the batches."""
        return getattr(data_of(trainer), "plan", Plan([]))

    def on_predict_start(self, trainer: Trainer, model: Any) -> None:
        data: Any = data_of(trainer)
        files = getattr(data, "predicted_files", []) if model.task.predicts_from != "noise" else []
        names = different([str(file.relative_to(data.root).with_suffix("")) for file in files])
        self.sources = list(zip(names, files, strict=True))

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
            save_picture(image, self.folder / f"{name}.png")
            self.names.append(f"{name}.png")

    def on_predict_end(self, trainer: Trainer, model: LightningModule) -> None:
        written = torch.tensor(len(self.names), device=model.device)
        count = int(trainer.strategy.reduce(written, reduce_op="sum"))
        if count and self.command is not None and trainer.is_global_zero:
            self.finish(self.plan_of(trainer), model, self.command)
            self.log_on_wandb(trainer, self.command.options, count)
        trainer.strategy.barrier("the manifest is written")
        rank_zero_info(f"{count} images are in {self.folder}" if count else "no images: there was nothing to predict")

    def log_on_wandb(self, trainer: Trainer, options: dict[str, str], count: int) -> None:
        """Log on W&B how many images were made, and the grid, unless it shows what may not leave the machine."""
        alone = self.plan_of(trainer).pictures and not {"images", "patches"} & options.keys()
        may_leave = alone or self.all_to_wandb or getattr(data_of(trainer), "may_be_shared", False)
        for logger in (logger for logger in trainer.loggers if isinstance(logger, WandbLogger)):
            logger.log_metrics({"predict/images": count})
            if may_leave:
                logger.log_image("predict/grid", [str(self.folder / GRID)])
            else:
                rank_zero_info("W&B does not get the grid, which shows your images. To send it: --wandb.images=all")

    def finish(self, plan: Plan, model: Any, command: Command) -> None:
        """Write the grid, the moving picture, and last the manifest."""
        planned: list[tuple[str, int | None, Path | None]] = [(one.name, one.seed, one.source) for one in plan.pictures]
        planned += [(name, None, path) for name, path in self.sources]
        own = [one for one in planned if (self.folder / f"{one[0]}.png").is_file()]
        names = [f"{name}.png" for name, _, _ in own] or sorted(self.written_by_all())
        beside = [None if plan.heads else source for _, _, source in own] or [None] * len(names)
        shown = slice(None if plan.columns else MOST_IN_GRID)
        files = [self.folder / name for name in names]
        title = f"{type(model).__name__}: {len(files[shown])} of {len(files)} predictions"
        write_grid(self.folder / GRID, files[shown], beside[shown], plan, title)
        if plan.moving:
            write_moving(self.folder / MOVING, files)
        entries = [
            {"file": f"{name}.png"}
            | ({} if seed is None else {"seed": seed})
            | ({} if source is None else {"source": str(source)})
            for name, seed, source in own
        ]
        kind, sha256 = type(model), sha256_of(command.checkpoint)
        content = {
            "command": command.line,
            "checkpoint": {"path": command.checkpoint, "sha256": sha256, "images_seen": model.images_seen},
            "model": {"class": f"{kind.__module__}.{kind.__qualname__}", "settings": dict(model.hparams)},
            "options": command.options,
            "seed": command.seed,
            "others": [GRID, *([MOVING] if plan.moving else [])],
            "images": entries or [{"file": name} for name in names],
        }
        with complete_file(self.folder / MANIFEST) as partial:
            partial.write_text(json.dumps(content, indent=1, default=str) + "\n", encoding="utf-8")

    def written_by_all(self) -> list[str]:
        """Return the names of images that were numbered, of all processes."""
        return [path.name for path in self.folder.glob("[0-9]*-[0-9]*.png")]


def check_output(folder: Path, overwrite: bool, what: str) -> None:
    """Raise a `UserError` if a folder to write to is none, or not empty, unless `what` is there may be replaced."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output: {folder} is a file. Name a folder, which need not be there yet.")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UserError(
            f"--output: the folder {folder} is not empty. Name another one, or add --overwrite to replace {what}."
        )


def remove_earlier(folder: Path) -> None:
    """Remove what the manifest in a folder lists, and the manifest: nothing that somebody else has put there."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        names = [*manifest["others"], *(entry["file"] for entry in manifest["images"])]
    except (OSError, ValueError, KeyError, TypeError):
        return
    (folder / MANIFEST).unlink()
    inside = folder.resolve()
    for name in names:
        path = (folder / str(name)).resolve()
        if path.is_relative_to(inside) and path.suffix in (".png", ".gif"):
            path.unlink(missing_ok=True)


def write_grid(path: Path, files: Sequence[Path], beside: Sequence[Path | None], plan: Plan, title: str) -> None:
    """Write a grid of pictures, each in the middle of a cell, with what it was made from at its left.

    Args:
        path: of the grid.
        files: of the pictures.
        beside: the image file that each was made from, if any.
        plan: says how many stand in a row, by default as many as make a square, and what stands above them.
        title: of the grid.
    """
    columns = plan.columns or max(1, round(len(files) ** 0.5))
    cells: list[Image.Image] = []
    for file, source in zip(files, beside, strict=True):
        with Image.open(file) as picture:
            cells.append(_small(picture, max(CELL, picture.width if picture.width > 2 * picture.height else 0)))
        if source is not None:
            original = Image.fromarray(decode_image(source, lambda width, height: (width, height)))
            cells.insert(-1, _small(original, max(cells[-1].size)))
    heads = ("input", "output") * columns if any(beside) else plan.heads
    columns *= 1 + any(beside)
    width, height = (max(size) for size in zip(*(cell.size for cell in cells), strict=True))
    rows = math.ceil(len(cells) / columns)
    sheet = Image.new("RGB", (columns * (width + GAP), rows * (height + GAP)), "white")
    for number, cell in enumerate(cells):
        row, column = divmod(number, columns)
        left, upper = (width - cell.width) // 2, (height - cell.height) // 2
        sheet.paste(cell, (column * (width + GAP) + left, row * (height + GAP) + upper))
    save_picture(Grid(pil_to_tensor(sheet) / 127.5 - 1, title, heads, plan.lines).drawn(), path)


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
