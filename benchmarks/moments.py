"""Puts three moments of a run on one picture for its page: `python -m benchmarks.moments runs/<system>/<run>`.

They are the first, a middle and the last sample grid; the picture goes to `docs/moments/<system>.jpg`. The middle grid
is the one nearest to a quarter of the training, by batches: a training changes most at its beginning.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lit_gen.files.atomic import complete_file
from lit_gen.report.images import grids_of

FOLDER = Path(__file__).parents[1] / "docs" / "moments"
HEIGHT = 320
"""Pixels of each grid that are shown at most, from its title down.

It is cut between two rows of images, and shown smaller where there is no gap between its rows."""
LINE = 40
"""Pixels that a line of text is lower than, and a row of images higher."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a run's first, middle and last sample grid on one picture.")
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--grid", default="samples", help="name of the grid, as of samples-0001000.png")
    parser.add_argument("--name", help="name of the picture; by default the system's")
    options = parser.parse_args()
    target = FOLDER / f"{options.name or options.run.resolve().parent.name}.jpg"
    pictures = [Image.open(path).convert("RGB") for path in moments(options.run, options.grid)]
    if not pictures:
        parser.error(f"{options.run}/samples has no grid {options.grid}")
    write(stacked(pictures), target)


def moments(run: Path, grid: str) -> list[Path]:
    """Return the files of a grid's first, middle and last moment, as many of them as differ."""
    found = dict(grids_of(run).get(grid, []))
    if not found:
        return []
    middle = min(found, key=lambda batches: abs(batches - max(found) / 4))
    return [found[batches] for batches in sorted({min(found), middle, max(found)})]


def write(picture: Image.Image, target: Path) -> None:
    """Write a picture for a page, and say where it is."""
    target.parent.mkdir(exist_ok=True)
    with complete_file(target) as partial:
        picture.save(partial, format="JPEG", quality=88)
    print(f"written to {target}")


def stacked(pictures: list[Image.Image]) -> Image.Image:
    """Return what is shown of some pictures, one below the other on white, with a gap of 16 pixels."""
    return below_each_other([_shown(picture) for picture in pictures])


def below_each_other(parts: list[np.ndarray]) -> Image.Image:
    """Return pictures (H, W, 3) one below the other on white, with a gap of 16 pixels."""
    whole = np.full(
        (sum(len(part) + 16 for part in parts) - 16, max(part.shape[1] for part in parts), 3), 255, np.uint8
    )
    top = 0
    for part in parts:
        whole[top : top + len(part), : part.shape[1]] = part
        top += len(part) + 16
    return Image.fromarray(whole)


def rows_of(pixels: np.ndarray) -> list[tuple[int, int]]:
    """Return where each row of images begins and ends; lines of text are none."""
    filled = np.concatenate([[False], (pixels < 255).any(axis=(1, 2)), [False]])
    begins, ends = np.flatnonzero(filled[1:] & ~filled[:-1]), np.flatnonzero(filled[:-1] & ~filled[1:])
    return [(begin, end) for begin, end in zip(begins.tolist(), ends.tolist(), strict=True) if end - begin > LINE]


def _shown(picture: Image.Image) -> np.ndarray:
    """Return as many whole rows of images as there is room for, with the title; or all rows, smaller, below it."""
    pixels = np.asarray(picture)
    rows = rows_of(pixels)
    if len(pixels) <= HEIGHT or not rows:
        return pixels[:HEIGHT]
    fitting = [end for _, end in rows if end <= HEIGHT]
    if fitting:
        return pixels[: fitting[-1]]
    title = rows[0][0]
    smaller = picture.crop((0, title, picture.width, picture.height))
    smaller.thumbnail((picture.width, HEIGHT - title), Image.Resampling.LANCZOS)
    shown = np.full((HEIGHT, picture.width, 3), 255, np.uint8)
    shown[:title] = pixels[:title]
    shown[title : title + smaller.height, : smaller.width] = np.asarray(smaller)
    return shown


if __name__ == "__main__":
    main()
