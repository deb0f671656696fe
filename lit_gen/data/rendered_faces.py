"""What is known of rendered faces: the images of the same scene with other attributes, and the scene's factors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from lit_gen.data.decoding import Box, decode_image
from lit_gen.synthetic.drawing import save_jpeg
from lit_gen.synthetic.faces.changes import with_attributes
from lit_gen.synthetic.faces.render import draw_scene
from lit_gen.synthetic.faces.scene import scene_attributes
from lit_gen.synthetic.faces.write import scene_of

Face = tuple[int, np.ndarray, Sequence[Mapping[str, bool]]]
"""The number of a rendered image, its attributes (40,) in {0, 1}, and the attributes of the images that are wanted."""


FACTORS = (
    "male", "young", "hair_colour", "hair_style", "glasses", "hat", "smile", "mouth_open", "yaw", "pitch", "roll",
    "scale", "ambient",
)  # fmt: skip
"""The fields of a scene that are compared with codes: what is seen of every face, and is not implied by another."""


def factors_of(numbers: Sequence[int], attributes: np.ndarray) -> dict[str, np.ndarray] | None:
    """Return the factors of rendered faces by their numbers and attributes (N, 40) in {0, 1}, each (N,) by its name.

    It is None if a face is not the renderer's.
    """
    scenes = [scene_of(number) for number in numbers]
    if not np.array_equal([list(scene_attributes(scene).values()) for scene in scenes], attributes > 0.5):
        return None
    columns = {name: np.array([getattr(scene, name) for scene in scenes]) for name in FACTORS}
    return columns | {
        "light": np.array([scene.light[0] for scene in scenes]),
        "skin": np.array([sum(scene.tone) for scene in scenes]),
    }


def true_images(size: int, box: Box, _: int, face: Face) -> list[np.ndarray | None]:
    """Return the images of a face with other attributes, (size, size, 3) uint8, made like those of the dataset.

    It is None for attributes that no such image has, and for all of a face that is not the renderer's.
    """
    number, attributes, wanted = face
    scene = scene_of(number)
    if list(scene_attributes(scene).values()) != (attributes > 0.5).tolist():
        return [None] * len(wanted)
    images: list[np.ndarray | None] = []
    with TemporaryDirectory() as folder:
        path = Path(folder) / "face.jpg"
        for values in wanted:
            changed = with_attributes(scene, values)
            if changed is None:
                images.append(None)
                continue
            save_jpeg(draw_scene(changed).image, path)
            images.append(decode_image(path, size, box))
    return images
