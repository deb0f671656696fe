"""What `predict` makes: a plan of pictures, each by itself, by the options of a model's task.

A picture is a function of the checkpoint, of its own seed and of what it is made from. It is made in a batch of its
own: neither the number of processes nor any batch size can change it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader

from lit_gen.data.batches import DataSpec
from lit_gen.data.decoding import ImagesOnDemand, decode_image
from lit_gen.data.image_files import Search
from lit_gen.data.order import processes_that_share
from lit_gen.data.pixel_values import as_floats
from lit_gen.errors import UserError

COUNT = 64
MOST = 1_000_000
"""Pictures of one command. Those of another `--seed` begin this many image seeds further on."""

Options = Mapping[str, str]
"""The options of a command that its task knows, by name, as they were typed."""


class Picture(NamedTuple):
    """One picture to make."""

    name: str  # of its file, below the folder, without ending
    make: Callable[[Any], Tensor]  # gives the image (1, C, H, W) in [-1, 1] by the model
    seed: int = 0  # what is drawn for it follows from this
    source: Path | None = None  # the image file that it is made from, if there is one


class Plan(NamedTuple):
    """All pictures of a command."""

    pictures: list[Picture]
    columns: int | None = None  # of the grid; by default as many as make a square
    moving: bool = False  # whether they are also to be one moving picture
    heads: Sequence[str] = ()  # above the columns of the grid, or above the parts of pictures that are one a row
    lines: Sequence[str] = ()  # above the rows
    sources: Sequence[Path] = ()  # image files that it is made from, beside those that single pictures name


class Pictures(LightningDataModule):
    """The pictures of a plan as the data of `predict`, one a batch.

    Args:
        spec: what the model was trained on.
    """

    source = "the command's options"

    def __init__(self, spec: Any) -> None:
        super().__init__()
        # Told the type, the parser would copy all names of classes for each of them.
        self.spec: DataSpec = spec
        self.plan = Plan([])

    def predict_dataloader(self) -> DataLoader:
        processes_that_share(len(self.plan.pictures), self.trainer, "pictures")
        return DataLoader(self.plan.pictures, batch_size=None)  # type: ignore[arg-type]  # a list has rows too


# ------------------------------------------------------------------------------------------------------------- options


def whole_number(options: Options, name: str, default: int, lowest: int = 1) -> int:
    """Return the whole number that an option gives."""
    text = options.get(name, str(default))
    if not re.fullmatch(r"\d{1,18}", text) or not lowest <= int(text) <= MOST:
        raise UserError(f"--{name} must be a whole number from {lowest} to {MOST:,}, not {text or 'nothing'}.")
    return int(text)


def switch(options: Options, name: str) -> bool:
    """Return whether an option that takes no value is there."""
    text = options.get(name, "false").lower()
    if text not in ("", "true", "false"):
        raise UserError(f"--{name} takes no value, not {text}.")
    return text != "false"


def names_of(options: Options, name: str, known: Sequence[str]) -> list[str]:
    """Return what an option lists, separated by commas.

    Raises:
        UserError: one of them is not known.
    """
    found = [word.strip() for word in options[name].split(",") if word.strip()]
    if not found or not set(found) <= set(known):
        wrong = next((word for word in found if word not in known), "nothing")
        raise UserError(f"--{name} must be among {', '.join(known)}, not {wrong}.")
    return found


def name_of(options: Options, name: str, known: Sequence[str]) -> str:
    """Return the one thing that an option names.

    Raises:
        UserError: it is not known, or there are several.
    """
    found = names_of(options, name, known)
    if len(found) > 1:
        raise UserError(f"--{name} must be one of {', '.join(known)}, not {', '.join(found)}: make them one by one.")
    return found[0]


def image_seeds(options: Options, count: int = COUNT) -> list[int]:
    """Return the seeds of the images: those of `--image_seeds`, or else `--count` (`count` by default) by `--seed`."""
    if "image_seeds" not in options:
        first = base_seed(options) * MOST
        return list(range(first, first + whole_number(options, "count", count)))
    for other in ("count", "seed"):
        if other in options:
            raise UserError(f"--image_seeds says which images, and how many: leave --{other} out.")
    seeds: list[int] = []
    for part in options["image_seeds"].split(","):
        found = re.fullmatch(r"\s*(\d{1,18})(?:-(\d{1,18}))?\s*", part)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (1, 0)
        if last < first or last - first >= MOST:
            wrong = part.strip() or "nothing"
            raise UserError(f"--image_seeds must be numbers such as 0-63 or 3,8,20-29, not {wrong}.")
        seeds += range(first, last + 1)
    if len(set(seeds)) < len(seeds) and not switch(options, "interpolate"):  # a walk may come back to where it was
        again = next(one for one, other in pairwise(sorted(seeds)) if one == other)
        raise UserError(f"--image_seeds names {again} twice, which would be one image: name each seed once.")
    return seeds


def base_seed(options: Options) -> int:
    """Return `--seed`."""
    return whole_number(options, "seed", 0, 0)


def refuse_seed(options: Options) -> None:
    """Raise a `UserError` if `--seed` is there where nothing is drawn."""
    if "seed" in options:
        raise UserError("--seed sets what is drawn, and here nothing is: leave it out.")


# -------------------------------------------------------------------------------------------------------------- images


def image_paths(options: Options, name: str = "images", channels: int = 3) -> list[tuple[str, Path]]:
    """Return the image files that an option names, each behind the name for its picture, without ending.

    They are a file, all files of a folder and those within it, or several of either, separated by commas.

    Args:
        options: of the command.
        name: of the option.
        channels: that the model's images have; each file is read with as many once, before any picture is made.

    Raises:
        UserError: there is none, or one cannot be read.
    """
    typed = options[name]
    parts = [typed] if Path(typed).expanduser().exists() else [part.strip() for part in typed.split(",")]
    found: list[tuple[Path, Path]] = []
    for part in parts:
        path = Path(part).expanduser()
        if not part or not path.exists():
            raise UserError(f"--{name}: there is no image or folder {part or repr(part)}.")
        ignored = [Path(options["output"]).expanduser()] if "output" in options else []
        files = Search(path, ignored).find().paths if path.is_dir() else [path]
        if not files:
            raise UserError(f"--{name}: the folder {part} holds no image.")
        found += [(file.relative_to(path if path.is_dir() else path.parent), file) for file in files]
    files = [file for _, file in found]
    try:
        ImagesOnDemand(files, 1, channels=channels).check(f"--{name}")
    except UserError as error:  # of a size that a setting of the data would allow
        raise UserError(re.sub(r"Remove it, or set --data\..*", "Make it smaller.", str(error))) from error
    return list(zip(different([str(short.with_suffix("")) for short, _ in found]), files, strict=True))


def folders_above(paths: Iterable[Path]) -> set[Path]:
    """Return all folders that files lie in."""
    parents = {path.parent for path in paths}  # few, of many files
    return {folder for parent in parents for folder in (parent, *parent.parents)}


def different(names: Sequence[str]) -> list[str]:
    """Return the names, with a number behind each that was there before; capitals make no difference.

    A name whose file would be called as a folder of the others gets one too.
    """
    folders = {str(folder).casefold() for folder in folders_above(map(Path, names))}
    taken = {"grid"}  # the name of the grid of all
    found = []
    for name in names:
        number, other = 1, name
        while other.casefold() in taken or f"{other}.png".casefold() in folders:
            number += 1
            other = f"{name}-{number}"
        taken.add(other.casefold())
        found.append(other)
    return found


def read_square(path: Path, model: Any) -> Tensor:
    """Return the largest centred square of an image, (1, C, S, S) in [-1, 1], at the model's size and on its device."""
    channels, size, _ = model.image_shape
    return as_image(decode_image(path, size, channels=channels), model)


def as_image(pixels: Any, model: Any) -> Tensor:
    """Return pixels (H, W, C), uint8, as an image (1, C, H, W) in [-1, 1] on the model's device."""
    return as_floats(torch.tensor(pixels).permute(2, 0, 1)[None].to(model.device))


# ------------------------------------------------------------------------------------------------------------- latents


def latent_of(seed: int, model: Any) -> Tensor:
    """Return the latent (1, Z) of an image seed, the same on every device."""
    return model.sample_latent(1, torch.Generator().manual_seed(seed))


def of_latent(model: Any, latent: Tensor) -> Tensor:
    """Return the image (1, C, H, W) of a latent (1, Z)."""
    with torch.no_grad():
        return model(latent)


def of_classes(options: Options, classes: int, make: Callable[[int, int, Any], Tensor], head: str = "class {}") -> Plan:
    """Return the plan of images of the classes that `--classes` lists, which they take in turn.

    `make` gives an image (1, C, H, W) by a seed, a class (of as many as `classes`) and the model. `head` stands above a
    column of the grid, with the class in place of the braces.
    """
    asked = [int(value) for value in names_of(options, "classes", [str(value) for value in range(classes)])]
    found = []
    for number, seed in enumerate(image_seeds(options)):
        value = asked[number % len(asked)]
        found.append(Picture(f"{seed:06d}-class-{value}", partial(make, seed, value), seed))
    if len(asked) == 1:
        return Plan(found)
    turns = max(1, round(min(COUNT, len(found)) ** 0.5 / len(asked)))  # so many side by side make about a square
    heads = [head.format(value) for value in asked * turns][: len(found)]
    return Plan(found, columns=len(heads), heads=heads)


def frames(ends: Sequence[Callable[[Any], Tensor]], options: Options, of_images: bool = False) -> Plan:
    """Return the plan of a walk from latent to latent, in equal steps; the first and the last picture are of its ends.

    Two or more `ends` give the latents (1, Z) by the model. `--count` is the number of pictures. Between codes
    `of_images` the walk is straight, as it is between latents that are not Gaussian.
    """
    if len(ends) < 2:
        raise UserError("--interpolate needs two images or more to go between.")
    count = whole_number(options, "count", COUNT, 2)
    pictures = []
    for number in range(count):
        place = number * (len(ends) - 1) / (count - 1)
        part = min(int(place), len(ends) - 2)
        make = partial(_frame, ends[part], ends[part + 1], place - part, of_images)
        pictures.append(Picture(f"frame-{number:04d}", make))
    return Plan(pictures, moving=True)


def _frame(
    start: Callable[[Any], Tensor], end: Callable[[Any], Tensor], part: float, of_images: bool, model: Any
) -> Tensor:
    walk = torch.lerp if of_images or not getattr(model, "has_gaussian_latents", True) else slerp
    return of_latent(model, walk(start(model), end(model), part))


def slerp(start: Tensor, end: Tensor, part: float) -> Tensor:
    """Return the point (1, Z) on the great circle between two, after White (2016, arXiv:1609.04468).

    Draws of a Gaussian in many dimensions lie near a sphere, and the straight line between two leaves it.
    """
    one, other = (torch.nn.functional.normalize(point.double(), dim=-1) for point in (start, end))
    angle = torch.acos((one * other).sum(-1, keepdim=True).clamp(-1, 1))
    weights = torch.sin((1 - part) * angle) / angle.sin(), torch.sin(part * angle) / angle.sin()
    arc = weights[0] * start + weights[1] * end
    straight = torch.lerp(start.double(), end.double(), part)  # where the angle is nothing, or half a turn
    return torch.where(angle.sin() > 1e-6, arc, straight).to(start.dtype)
