"""Horses or zebras in a landscape, and their mask.

The pictures of one scene in both domains differ nowhere but on the animals.
"""

import numpy as np

from lit_gen.synthetic.animals.coat import draw_animal
from lit_gen.synthetic.animals.landscape import cast_shadow, draw_background, draw_grass, lay_over
from lit_gen.synthetic.animals.scene import SIZE, Domain, Scene
from lit_gen.synthetic.drawing import noise_window


def render(scene: Scene, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Draws a scene with horses or with zebras in it.

    Args:
        scene: what to draw.
        domain: what kind of animal.

    Returns:
        The picture, uint8 (256, 256, 3), and the mask, uint8 (256, 256): 255 wherever an animal contributes to the
        pixel, else 0. The mask does not depend on the domain, and neither does the picture where the mask is 0.
    """
    if domain not in ("horse", "zebra"):
        raise ValueError(f"domain must be 'horse' or 'zebra', not {domain!r}")
    rng = np.random.default_rng(scene.details)
    picture = draw_background(scene, rng)
    grass = draw_grass(scene, rng)
    grain = noise_window(rng, SIZE, SIZE, 1)[..., None]
    drawn = [draw_animal(scene, animal, domain) for animal in scene.animals]
    for animal, (_, coverage) in zip(scene.animals, drawn, strict=True):
        cast_shadow(picture, coverage, animal, scene)
    covered = np.zeros((SIZE, SIZE), np.float32)
    for color, coverage in drawn:
        lay_over(picture, color, coverage)
        np.maximum(covered, coverage, out=covered)
    lay_over(picture, grass[..., :3], grass[..., 3])
    picture *= 255 + 6 * grain
    np.clip(picture, 0, 255, out=picture)
    image = picture.astype(np.uint8)
    mask = np.where((covered > 0) & (grass[..., 3] < 1), 255, 0).astype(np.uint8)
    return image, mask
