"""Files of rendered faces, in the format of the CelebA "aligned" distribution."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.drawing import save_jpeg
from lit_gen.synthetic.faces.names import ATTRIBUTES, LANDMARKS
from lit_gen.synthetic.faces.render import draw_scene
from lit_gen.synthetic.faces.scene import Scene, sample_scene

TENTHS = (8, 9)  # where validation and test begin, as in the official split


def write_celeba(folder: Path, count: int, seed: int = 0) -> None:
    """Write rendered faces and the five annotation files of CelebA into an existing folder.

    The images are `img_align_celeba/000001.jpg`, ...; the first 80 % of them are for training, the next 10 % for
    validation, the rest for testing. Every image shows another person; image i is a function of (seed, i) alone.
    """
    (folder / "img_align_celeba").mkdir()
    rows = map_indices(partial(_write_face, folder, seed), count, "rendering faces")

    def write_list(name: str, values: Iterable[str], header: tuple[str, ...] = ()) -> None:
        lines = [f"{_file_name(index)} {value}" for index, value in enumerate(values)]
        head = [str(count), " ".join(header)] if header else []
        (folder / name).write_text("\n".join([*head, *lines]) + "\n", encoding="utf-8")

    write_list("list_attr_celeba.txt", (" ".join(f"{value:2d}" for value in row) for row, _ in rows), ATTRIBUTES)
    write_list(
        "list_landmarks_align_celeba.txt", (" ".join(f"{value:4d}" for value in row) for _, row in rows), LANDMARKS
    )
    write_list(
        "list_eval_partition.txt",
        (str(sum(10 * index >= tenths * count for tenths in TENTHS)) for index in range(count)),
    )
    write_list("identity_CelebA.txt", (str(index + 1) for index in range(count)))


def scene_of(index: int, seed: int = 0) -> Scene:
    """Return the scene of an image of `write_celeba`, the first of which has the index 0."""
    return sample_scene(np.random.default_rng([seed, index]))


def _write_face(folder: Path, seed: int, index: int) -> tuple[list[int], list[int]]:
    """Write one image; return its attributes (1 or -1) and landmarks (pixels)."""
    face = draw_scene(scene_of(index, seed))
    save_jpeg(face.image, folder / "img_align_celeba" / _file_name(index))
    return [1 if value else -1 for value in face.attributes.values()], list(face.landmarks.values())


def _file_name(index: int) -> str:
    return f"{index + 1:06d}.jpg"
