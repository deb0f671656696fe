"""Files of rendered horses and zebras, in the format of horse2zebra, with the true counterparts of test images."""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.animals.render import render
from lit_gen.synthetic.animals.scene import sample_scene
from lit_gen.synthetic.drawing import save_jpeg

SPLIT_CODES = {"trainA": 0, "trainB": 1, "testA": 2, "testB": 3}


def write_horse2zebra(folder: Path, train_count: int, test_count: int, seed: int = 0) -> None:
    """Write the tree of horse2zebra: unpaired JPEG images of 256 x 256 pixels in trainA, trainB, testA and testB.

    A is horses, B is zebras. The test split also has truthA and truthB, the same scenes in the other domain under the
    same names, and maskA and maskB, PNG images that are 255 on the animal and 0 elsewhere. Counts are per domain. An
    image is a function of the seed, its split and its index.
    """
    for split, code in SPLIT_CODES.items():
        for name in (split,) if code < 2 else (split, f"truth{split[-1]}", f"mask{split[-1]}"):
            (folder / name).mkdir(exist_ok=True)
        count = train_count if code < 2 else test_count
        map_indices(partial(_write_scene, folder, split, seed), count, f"rendering {split}")


def _write_scene(folder: Path, split: str, seed: int, index: int) -> None:
    scene = sample_scene(np.random.default_rng([seed, SPLIT_CODES[split], index]))
    letter, name = split[-1], f"{index + 1:04d}"
    image, mask = render(scene, "horse" if letter == "A" else "zebra")
    save_jpeg(image, folder / split / f"{name}.jpg")
    if split.startswith("test"):
        truth, _ = render(scene, "zebra" if letter == "A" else "horse")
        save_jpeg(truth, folder / f"truth{letter}" / f"{name}.jpg")
        Image.fromarray(mask).save(folder / f"mask{letter}" / f"{name}.png")
