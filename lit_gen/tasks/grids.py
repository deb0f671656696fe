"""Sample grids: images in rows on white, with a title, heads above the columns, and sentences above rows."""

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import pil_to_tensor
from torchvision.utils import make_grid

from lit_gen.data.pixel_values import as_floats

WIDTH, HIGHEST, NARROWEST = 768, 2048, 512
"""Pixels that a picture is enlarged to by a whole factor: this wide at least, unless it became higher than that. What
is written has more room beside a narrower one, and heads above it make it as wide as that."""
SIZES = (18, 16, 14, 12, 10)
"""Heights of letters in pixels. Heads take the largest that lets each of their words fit in its column."""
TITLE = 20  # likewise
MARGIN = 4


class Grid(NamedTuple):
    """A sample grid.

    picture: the images side by side, (C, H, W) in [-1, 1], at their own size; see `grid`.
    title: what they show.
    heads: what is written above the columns, which are as wide as each other.
    lines: what is written above each of as many rows, which are as high as each other.
    cells: how many equal groups of columns there are, with white around each.
    gap: pixels of that white, before the picture is enlarged.
    """

    picture: Tensor
    title: str
    heads: Sequence[str] = ()
    lines: Sequence[str] = ()
    cells: int = 1
    gap: int = 0

    def drawn(self, title: str = "") -> Tensor:
        """Return the picture (C, H', W') in [-1, 1] on the CPU, enlarged by a whole factor, with all that is written.

        A `title` stands in place of the grid's own.
        """
        picture = self.picture.detach().float().cpu().clamp(-1, 1)
        channels, height, width = picture.shape
        least = math.ceil(NARROWEST / width) if self.heads else 1  # heads need room
        factor = max(least, min(math.ceil(WIDTH / width), HIGHEST // height))
        picture = picture.repeat_interleave(factor, 1).repeat_interleave(factor, 2)
        width *= factor
        room = max(width, NARROWEST)
        parts = [lettering(title or self.title, room, channels, TITLE)]
        if self.heads:
            parts.append(_heads(self.heads, width, channels, self.cells, self.gap * factor))
        for line, row in zip(self.lines or [""], picture.chunk(max(1, len(self.lines)), 1), strict=True):
            parts += [lettering(line, room, channels)] if line else []
            parts.append(row)
        return stack(parts)


def as_grid(made: Grid | Tensor, name: str) -> Grid:
    """Return a grid of a task's `sample_grids`, which may be a picture without more."""
    return made if isinstance(made, Grid) else Grid(made, name.replace("_", " "))


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Tensor:
    """Return images side by side, row after row, on white.

    Args:
        images: (N, C, H, W) in [-1, 1].
        columns: images per row; by default as many as make a square.
        gap: pixels between images.

    Returns:
        (C, H', W') float32 on the CPU, in [-1, 1].
    """
    columns = columns or max(1, round(len(images) ** 0.5))
    images = images.detach().float().cpu().clamp(-1, 1)
    return make_grid(images, columns, gap, pad_value=1.0)[: images.shape[1]]  # it gives grey images three channels


def grid_of_cells(images: Tensor, most: int, heads: Sequence[str], title: str) -> Grid:
    """Return a grid of images that have several columns each, such as those of `side_by_side`, with white around each.

    Args:
        images: (N, C, H, W) in [-1, 1].
        most: images per row at most.
        heads: of the columns of one image.
        title: what they show.
    """
    cells, gap = min(most, len(images)), 6
    return Grid(grid(images, cells, gap), title, tuple(heads) * cells, (), cells, gap)


def side_by_side(images: Sequence[Tensor]) -> Tensor:
    """Return images (B, C, S, S) in a row, with white between them: (B, C, S, W)."""
    gap = images[0].new_ones(*images[0].shape[:3], 2)
    return torch.cat([part for image in images for part in (image, gap)][:-1], -1)


def lettering(text: str, width: int, channels: int, size: int = SIZES[0]) -> Tensor:
    """Write words in black on white, in as many lines as it takes: (channels, H, width) in [-1, 1].

    The width, and the `size` of the letters, which is their height, are in pixels.
    """
    lines = [(MARGIN, number, line) for number, line in enumerate(_wrapped(text, width - 2 * MARGIN, size))]
    return _written(lines, width, channels, size)


def _heads(heads: Sequence[str], width: int, channels: int, cells: int, gap: int) -> Tensor:
    """Write heads above the middles of columns, their words below each other where they have no room."""
    each, pitch = len(heads) // cells, (width - gap) / cells
    column_width = (pitch - gap) / each
    room = column_width - MARGIN
    texts = [head.replace("_", " ") for head in heads]
    words = [word for text in texts for word in text.split()]
    size = next((size for size in SIZES if all(_length(word, size) <= room for word in words)), SIZES[-1])
    lines = []
    for column, text in enumerate(texts):
        middle = gap + column // each * pitch + (column % each + 0.5) * column_width
        wrapped = enumerate(_wrapped(text, room, size))
        lines += [(middle - _length(line, size) / 2, number, line) for number, line in wrapped]
    return _written(lines, width, channels, size)


def _wrapped(text: str, width: float, size: int) -> list[str]:
    """Return the lines of a text that are no wider than `width` pixels, unless a word alone is."""
    lines = [""]
    text = re.sub("[\u0300-\u036f]", "", unicodedata.normalize("NFKD", text))  # the font has no letters with accents
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and _length(longer, size) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


@cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _length(line: str, size: int) -> float:
    font = _font(size)
    words = line.split(" ")
    return sum(font.getlength(word) for word in words) + _gap(size) * (len(words) - 1)


def _gap(size: int) -> float:
    """Return the white between two words in pixels: more than the font's own, which is lost at small sizes."""
    return 0.4 * size


def _written(lines: Sequence[tuple[float, int, str]], width: int, channels: int, size: int) -> Tensor:
    """Write lines, each with its left edge and its number from the top: (channels, H, width)."""
    font, step = _font(size), round(1.3 * size)
    paper = Image.new("L", (width, step * (1 + max(number for _, number, _ in lines)) + 6), 255)
    for left, number, line in lines:
        for word in line.split(" "):
            ImageDraw.Draw(paper).text((round(left), 2 + number * step), word, 0, font)
            left += font.getlength(word) + _gap(size)
    return as_floats(pil_to_tensor(paper)).expand(channels, -1, -1)


def stack(pictures: Sequence[Tensor]) -> Tensor:
    """Put pictures (C, H, W) one below the other, with white at the right of the narrower ones."""
    width = max(picture.shape[-1] for picture in pictures)
    return torch.cat([functional.pad(picture, (0, width - picture.shape[-1]), value=1.0) for picture in pictures], 1)
