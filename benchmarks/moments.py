"""Puts a run's first, middle and last sample grid side by side for its page: `python -m benchmarks.moments runs/<run>`.

The picture goes to `docs/moments/<system>.jpg`. The middle grid is the one nearest to a quarter of the training, by
batches: a training changes most at its beginning.
"""

import argparse
import re
from pathlib import Path

from PIL import Image

from lit_gen.files.atomic import complete_file

FOLDER = Path(__file__).parents[1] / "docs" / "moments"
ROWS = 512
"""Pixels of each grid's height that are shown, from its title down."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Put a run's first, middle and last sample grid side by side.")
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--grid", default="samples", help="name of the grid, as of samples-0001000.png")
    parser.add_argument("--name", help="name of the picture; by default the system's")
    options = parser.parse_args()
    target = FOLDER / f"{options.name or options.run.resolve().parent.name}.jpg"
    pictures = [Image.open(path).convert("RGB") for path in moments(options.run / "samples", options.grid)]
    if not pictures:
        parser.error(f"{options.run}/samples has no grid {options.grid}")
    target.parent.mkdir(exist_ok=True)
    with complete_file(target) as partial:
        side_by_side(pictures).save(partial, format="JPEG", quality=88)
    print(f"written to {target}")


def moments(folder: Path, grid: str) -> list[Path]:
    """Return the files of a grid's first, middle and last moment, as many of them as differ."""
    found = {
        int(path.stem.rpartition("-")[2]): path
        for path in folder.glob(f"{grid}-*.png")
        if re.fullmatch(rf"{re.escape(grid)}-\d+", path.stem)
    }
    if not found:
        return []
    middle = min(found, key=lambda batches: abs(batches - max(found) / 4))
    return [found[batches] for batches in sorted({min(found), middle, max(found)})]


def side_by_side(pictures: list[Image.Image]) -> Image.Image:
    """Return the upper parts of pictures in one row on white, from left to right, with a gap of 16 pixels."""
    height = min(ROWS, max(picture.height for picture in pictures))
    row = Image.new("RGB", (sum(picture.width + 16 for picture in pictures) - 16, height), "white")
    left = 0
    for picture in pictures:
        row.paste(picture, (left, 0))
        left += picture.width + 16
    return row


if __name__ == "__main__":
    main()
