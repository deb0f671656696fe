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
"""Pixels of each grid that are shown at most, from its title down; it is cut between two rows of images."""


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
    target.parent.mkdir(exist_ok=True)
    with complete_file(target) as partial:
        stacked(pictures).save(partial, format="JPEG", quality=88)
    print(f"written to {target}")


def moments(run: Path, grid: str) -> list[Path]:
    """Return the files of a grid's first, middle and last moment, as many of them as differ."""
    found = dict(grids_of(run).get(grid, []))
    if not found:
        return []
    middle = min(found, key=lambda batches: abs(batches - max(found) / 4))
    return [found[batches] for batches in sorted({min(found), middle, max(found)})]


def stacked(pictures: list[Image.Image]) -> Image.Image:
    """Return the upper parts of pictures, one below the other on white, with a gap of 16 pixels."""
    parts = [np.asarray(picture)[: _cut(np.asarray(picture))] for picture in pictures]
    whole = np.full(
        (sum(len(part) + 16 for part in parts) - 16, max(part.shape[1] for part in parts), 3), 255, np.uint8
    )
    top = 0
    for part in parts:
        whole[top : top + len(part), : part.shape[1]] = part
        top += len(part) + 16
    return Image.fromarray(whole)


def _cut(picture: np.ndarray) -> int:
    """Return the height of as many whole rows of images as there is room for, or all the room where one is higher."""
    white = (picture[:HEIGHT] == 255).all(axis=(1, 2))
    below_images = np.flatnonzero(white[1:] & ~white[:-1]) + 1
    if len(picture) <= HEIGHT or len(below_images) < 2:  # the first is below the title
        return HEIGHT
    return int(below_images[-1])


if __name__ == "__main__":
    main()
