"""Draws the README's picture, `docs/samples.png`: `python -m benchmarks.overview --mnist <folder of real MNIST>`.

Training images stand first, then what models made of them: the upper left corner of a run's last sample grid, as it
lies in `docs`. Nothing is chosen by hand.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from lit_gen.data.pixel_values import as_bytes
from lit_gen.files.atomic import complete_file
from lit_gen.files.idx import read_idx
from lit_gen.synthetic.animals import render as animals
from lit_gen.synthetic.animals.scene import sample_scene
from lit_gen.synthetic.digits import render_digit
from lit_gen.synthetic.faces.render import draw_scene
from lit_gen.synthetic.faces.write import scene_of
from lit_gen.tasks.grids import lettering

DOCS = Path(__file__).parents[1] / "docs"
SIDE, GAP = 212, 12
"""Pixels of a panel, and between two."""
COLUMNS = 4
GRIDS = {
    "VAE on MNIST": ("vae-residual.png", 28),
    "AAE on MNIST": ("aae-parzen.png", 28),
    "GAN on MNIST": ("gan-mnist-long.png", 28),
    "DCGAN on MNIST": ("dcgan-mnist-wide.png", 32),
    "InfoGAN, a row per category": ("infogan-mnist.png", 28),
    "ProGAN on rendered faces": ("progan-quick.png", 32),
    "StarGAN: input, hair, gender, age": ("stargan-noise06.png", 32),
    "CycleGAN: horse, zebra, horse": ("cyclegan-quick.png", 64),
}
"""The file of a sample grid, with gaps of two pixels, and the side of an image."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the README's picture.")
    parser.add_argument("--mnist", type=Path, required=True, help="folder with train-images-idx3-ubyte")
    real = read_idx(next(parser.parse_args().mnist.rglob("train-images-idx3-ubyte*")))
    panels = {"training: MNIST": mosaic([Image.fromarray(image) for image in real[:36]], 32)}
    panels |= {"training: rendered digits": mosaic([digit(index) for index in range(36)], 32)}
    panels |= {"training: rendered faces": mosaic([face(index) for index in range(36)], 32)}
    panels |= {"training: horses and zebras": mosaic([animal(index) for index in range(9)], 64)}
    panels |= {title: corner(DOCS / file, size) for title, (file, size) in GRIDS.items()}
    with complete_file(DOCS / "samples.png") as partial:
        composed(panels).save(partial, "PNG")


def digit(index: int) -> Image.Image:
    return Image.fromarray(render_digit(index % 10, np.random.default_rng([0, index])))


def face(index: int) -> Image.Image:
    """Return a face, cut as the quick overlay of DCGAN does."""
    return Image.fromarray(draw_scene(scene_of(index)).image).crop((25, 57, 153, 185))


def animal(index: int) -> Image.Image:
    scene = sample_scene(np.random.default_rng([0, index]))
    return Image.fromarray(animals.render(scene, "zebra" if index % 2 else "horse")[0])


def mosaic(images: list[Image.Image], size: int) -> Image.Image:
    """Return images side by side, row after row, each `size` pixels wide and high, as many as fill a panel."""
    columns = SIDE // (size + 2)
    whole = Image.new("RGB", (SIDE, SIDE), "white")
    for number, image in enumerate(images[: columns * columns]):
        row, column = divmod(number, columns)
        whole.paste(image.resize((size, size), Image.Resampling.LANCZOS), (column * (size + 2), row * (size + 2)))
    return whole


def corner(path: Path, size: int) -> Image.Image:
    """Return as many whole images of a sample grid as fill a panel."""
    used = SIDE // (size + 2) * (size + 2)
    return Image.open(path).convert("RGB").crop((2, 2, used, used))


def composed(panels: dict[str, Image.Image]) -> Image.Image:
    """Return panels with their titles above them, in rows of four."""
    titles = [as_bytes(lettering(title, SIDE, 3, 13)).permute(1, 2, 0).numpy() for title in panels]
    height = max(len(title) for title in titles)
    rows = -(-len(panels) // COLUMNS)
    whole = Image.new("RGB", (COLUMNS * (SIDE + GAP) - GAP, rows * (height + SIDE + GAP) - GAP), "white")
    for number, (title, panel) in enumerate(zip(titles, panels.values(), strict=True)):
        row, column = divmod(number, COLUMNS)
        left, top = column * (SIDE + GAP), row * (height + SIDE + GAP)
        whole.paste(Image.fromarray(title), (left, top + height - len(title)))
        whole.paste(panel, (left, top + height))
    return whole


if __name__ == "__main__":
    main()
