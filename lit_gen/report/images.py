"""Sample grids as images within a page, whose number and size are bounded."""

import base64
import io
import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

MOST_BYTES = 20_000_000
"""Of all images in a page, as text: what a browser opens at once, and a mail may carry."""
MOST_FRAMES = 60
"""Grids of one kind."""
FEWEST_FRAMES = 12
"""Grids of one kind that have room; where their files are too large, smaller JPEGs take their place."""
AS_TEXT = 4 / 3  # bytes of base64 for each byte


class Frame(NamedTuple):
    """A grid, the number of batches after which it was written, and its image as an address that holds all of it."""

    batches: int
    address: str


class Series(NamedTuple):
    """Grids of one kind, in the order of training, and how many of them were written."""

    name: str
    frames: list[Frame]
    written: int
    smaller: bool
    """Whether some are JPEGs in place of larger files."""


def grids_of(folder: Path) -> dict[str, list[tuple[int, Path]]]:
    """Return the sample grids in a run's folder by their names: batches so far and file, in the order of training."""
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.glob("samples/*.png"):
        if match := re.fullmatch(r"(.+)-(\d+)", path.stem):
            found.setdefault(match[1], []).append((int(match[2]), path))
    return {name: sorted(files) for name, files in found.items()}


def series_of(folder: Path, most_bytes: int = MOST_BYTES) -> list[Series]:
    """Return the sample grids in a run's folder, and the grid of its predictions, within `most_bytes` of text."""
    found = grids_of(folder)
    for path in folder.glob("predictions/grid.png"):
        found["predictions"] = [(0, path)]
    order = sorted(found, key=lambda name: (name != "samples", name))
    return [_series(name, found[name], most_bytes / AS_TEXT / len(found)) for name in order]


def _series(name: str, files: list[tuple[int, Path]], room: float) -> Series:
    share = room / min(len(files), FEWEST_FRAMES)
    largest = max(min(path.stat().st_size, share) for _, path in files)
    count = max(1, min(len(files), MOST_FRAMES, int(room / largest)))
    places = {round(place * (len(files) - 1) / max(1, count - 1)) for place in range(count)} | {len(files) - 1}
    frames, smaller = [], False
    for batches, path in (files[place] for place in sorted(places)[-count:]):
        data, kind = path.read_bytes(), "png"
        if len(data) > share:
            data, kind, smaller = _smaller(path, share), "jpeg", True
        frames.append(Frame(batches, f"data:image/{kind};base64,{base64.b64encode(data).decode()}"))
    return Series(name, frames, len(files), smaller)


def _smaller(path: Path, most: float) -> bytes:
    """Return a JPEG of an image, at most 1,280 pixels wide and high and `most` bytes long."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    side = 1280
    while True:
        picture.thumbnail((side, side))
        file = io.BytesIO()
        picture.save(file, "JPEG", quality=85)
        if file.tell() <= most or side <= 64:
            return file.getvalue()
        side = side * 3 // 4
