"""Faces written to disk in the format of the CelebA "aligned" distribution."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from lit_gen.errors import UserError
from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.faces.names import ATTRIBUTES, LANDMARKS
from lit_gen.synthetic.faces.render import render_face

JPEG_QUALITY = 92
TRAIN_TENTHS, VALID_TENTHS = 8, 1  # the rest is the test part, as in the official split


def write_celeba(folder: Path, count: int, seed: int = 0) -> None:
    """Writes `count` faces and the five annotation files of CelebA into `folder`, which must exist.

    Args:
        folder: receives `img_align_celeba/000001.jpg`, ..., `list_attr_celeba.txt`, `list_eval_partition.txt`,
            `list_landmarks_align_celeba.txt` and `identity_CelebA.txt`. Every picture shows another person.
        count: how many pictures; the first 80 % are for training, the next 10 % for validation, the rest for tests.
        seed: picture i is a function of (seed, i) alone.
    """
    if count < 1:
        raise UserError(f"cannot write {count} faces: ask for at least 1.")
    (folder / "img_align_celeba").mkdir()
    annotations = map_indices(functools.partial(_write_picture, folder, seed), count, "drawing faces")
    names = [_file_name(index) for index in range(count)]
    attributes = [
        f"{name} " + " ".join(f"{value:2d}" for value in row) for name, (row, _) in zip(names, annotations, strict=True)
    ]
    landmarks = [
        f"{name} " + " ".join(f"{value:4d}" for value in row) for name, (_, row) in zip(names, annotations, strict=True)
    ]
    partition = [f"{name} {_part(index, count)}" for index, name in enumerate(names)]
    identity = [f"{name} {index + 1}" for index, name in enumerate(names)]
    _write_lines(folder / "list_attr_celeba.txt", [str(count), " ".join(ATTRIBUTES), *attributes])
    _write_lines(folder / "list_landmarks_align_celeba.txt", [str(count), " ".join(LANDMARKS), *landmarks])
    _write_lines(folder / "list_eval_partition.txt", partition)
    _write_lines(folder / "identity_CelebA.txt", identity)


def _write_picture(folder: Path, seed: int, index: int) -> tuple[list[int], list[int]]:
    face = render_face(np.random.default_rng([seed, index]))
    path = folder / "img_align_celeba" / _file_name(index)
    Image.fromarray(face.image).save(path, quality=JPEG_QUALITY)
    return [1 if value else -1 for value in face.attributes.values()], list(face.landmarks.values())


def _file_name(index: int) -> str:
    return f"{index + 1:06d}.jpg"


def _part(index: int, count: int) -> int:
    """0 for training, 1 for validation, 2 for tests."""
    if 10 * index < TRAIN_TENTHS * count:
        return 0
    return 1 if 10 * index < (TRAIN_TENTHS + VALID_TENTHS) * count else 2


def _write_lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")
