"""Horses and zebras written to disk in the format of horse2zebra, with the true counterparts of test pictures."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lit_gen.errors import UserError
from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.animals.render import render
from lit_gen.synthetic.animals.scene import Domain, sample_scene

JPEG_QUALITY = 92
SPLIT_CODES = {"trainA": 0, "trainB": 1, "testA": 2, "testB": 3}


def write_horse2zebra(folder: Path, train_count: int, test_count: int, seed: int = 0) -> None:
    """Writes a tree like that of horse2zebra: unpaired JPEGs of 256 x 256 in trainA, trainB, testA, testB.

    A is horses, B is zebras. For the test split there are also truthA and truthB, the same scenes in the other domain
    under the same names, and maskA and maskB, PNGs that are 255 on the animal and 0 elsewhere.

    Args:
        folder: existing; files in it of the same names are replaced.
        train_count: pictures in each of trainA and trainB.
        test_count: pictures in each of testA and testB.
        seed: every picture is a function of the seed, its split and its index.
    """
    if train_count < 0 or test_count < 0:
        raise UserError(f"the numbers of pictures must not be negative, not {train_count} and {test_count}.")
    folder = Path(folder)
    for split, code in SPLIT_CODES.items():
        for name in (split,) if code < 2 else (split, f"truth{split[-1]}", f"mask{split[-1]}"):
            (folder / name).mkdir(exist_ok=True)
        count = train_count if code < 2 else test_count
        map_indices(partial(_write_picture, folder, split, seed), count, f"drawing {split}")


def _write_picture(folder: Path, split: str, seed: int, index: int) -> None:
    scene = sample_scene(np.random.default_rng([seed, SPLIT_CODES[split], index]))
    letter = split[-1]
    domain: Domain = "horse" if letter == "A" else "zebra"
    image, mask = render(scene, domain)
    name = f"{index + 1:04d}"
    Image.fromarray(image).save(folder / split / f"{name}.jpg", quality=JPEG_QUALITY)
    if split.startswith("test"):
        truth, _ = render(scene, "zebra" if domain == "horse" else "horse")
        Image.fromarray(truth).save(folder / f"truth{letter}" / f"{name}.jpg", quality=JPEG_QUALITY)
        Image.fromarray(mask).save(folder / f"mask{letter}" / f"{name}.png")
