"""The image of a scene, with horses or with zebras, and the mask of the animals.

The images of one scene in both domains are equal except on the animals.
"""

import numpy as np

from lit_gen.synthetic.animals.coat import draw_animal
from lit_gen.synthetic.animals.landscape import cast_shadow, draw_background, draw_grass
from lit_gen.synthetic.animals.scene import SIZE, Domain, Scene
from lit_gen.synthetic.drawing import lay_over, noise_window


def render(scene: Scene, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene with horses or with zebras in it.

    Args:
        scene: scene, which decides everything else.
        domain: kind of animal.

    Returns:
        The image, uint8 (256, 256, 3), and the mask, uint8 (256, 256): 255 wherever an animal contributes to the
        pixel, else 0. The mask does not depend on the domain, and neither does the image where the mask is 0.
    """
    rng = np.random.default_rng(scene.details)
    canvas = draw_background(scene, rng)
    grass = draw_grass(scene, rng)
    grain = noise_window(rng, SIZE, SIZE, 1)[..., None]
    drawn = [draw_animal(scene, animal, domain) for animal in scene.animals]
    for animal, (_, coverage) in zip(scene.animals, drawn, strict=True):
        cast_shadow(canvas, coverage, animal, scene)
    covered = np.zeros((SIZE, SIZE), np.float32)
    for colour, coverage in drawn:
        lay_over(canvas, colour, coverage)
        np.maximum(covered, coverage, out=covered)
    lay_over(canvas, grass[..., :3], grass[..., 3])
    canvas *= 255 + 6 * grain
    np.clip(canvas, 0, 255, out=canvas)
    mask = np.where((covered > 0) & (grass[..., 3] < 1), 255, 0).astype(np.uint8)
    return canvas.astype(np.uint8), mask
