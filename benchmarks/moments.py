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
"""Pixels of each grid that are shown at most, from its title down: it is cut between two rows of images."""
SIDE = 440
"""Pixels of the width of each grid that has no gap between its rows: such grids stand side by side, and whole."""
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
    """Return what is shown of some pictures, a gap of 16 pixels between them: below each other, or side by side."""
    pixels = [np.asarray(picture) for picture in pictures]
    ends = [_end(each) for each in pixels]
    if any(end is None for end in ends):
        return _side_by_side(pictures)
    return below_each_other([each[:end] for each, end in zip(pixels, ends, strict=True)])


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


def _end(pixels: np.ndarray) -> int | None:
    """Return where the last whole row of images ends that there is room for; None where not one has room."""
    rows = rows_of(pixels)
    if len(pixels) <= HEIGHT or not rows:
        return HEIGHT
    return max((end for _, end in rows if end <= HEIGHT), default=None)


def _side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return pictures side by side on white, `SIDE` pixels wide each, below the title of the first."""
    title = rows_of(np.asarray(pictures[0]))[0][0]
    whole = Image.new("RGB", (len(pictures) * (SIDE + 16) - 16, title + SIDE), "white")
    whole.paste(pictures[0].crop((0, 0, pictures[0].width, title)))
    for number, picture in enumerate(pictures):
        below = picture.crop((0, title, picture.width, picture.height))
        below.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        whole.paste(below, (number * (SIDE + 16), title))
    return whole


if __name__ == "__main__":
    main()
