"""The image of a face, painted from back to front."""

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lit_gen.synthetic.drawing import noise_crop
from lit_gen.synthetic.faces.canvas import HEIGHT, WIDTH, Canvas, Pose
from lit_gen.synthetic.faces.clothes import draw_body, draw_earrings, draw_glasses, draw_hat
from lit_gen.synthetic.faces.features import EYE_HALF_DISTANCE, draw_brows, draw_ears, draw_eyes, draw_mouth, draw_nose
from lit_gen.synthetic.faces.hair import Hair, draw_beard, has_hair
from lit_gen.synthetic.faces.names import LANDMARKS
from lit_gen.synthetic.faces.scene import Scene, scene_attributes
from lit_gen.synthetic.faces.skin import draw_age, draw_skin, shaded_skin


class Face(NamedTuple):
    """One image and its annotations."""

    image: np.ndarray  # uint8 (218, 178, 3), RGB
    attributes: dict[str, bool]  # the 40 names of `ATTRIBUTES`, in that order
    landmarks: dict[str, int]  # the 10 names of `LANDMARKS`, in that order; pixels of `image`


def draw_scene(scene: Scene) -> Face:
    """Paint a scene, and read off its annotations."""
    # One stream per part, so that changing one part (glasses on, glasses off) leaves the others as they are.
    streams = {
        name: np.random.default_rng([scene.texture_seed, number])
        for number, name in enumerate(("background", "body", "skin", "eyes", "hair", "wear", "camera"))
    }
    pose = Pose(scene)
    canvas = Canvas(_background(streams["background"]))
    skin, light_level = shaded_skin(scene, pose)
    hair = Hair(scene, pose, streams["hair"]) if has_hair(scene) else None
    if hair and scene.hair_hangs:
        hair.paint_behind(canvas)
    draw_body(canvas, scene, pose, streams["body"])
    draw_ears(canvas, scene, pose)
    face_mask = draw_skin(canvas, scene, pose, skin, streams["skin"])
    if not scene.young:
        draw_age(canvas, pose)
    draw_nose(canvas, scene, pose)
    draw_eyes(canvas, scene, pose, light_level, streams["eyes"])
    draw_brows(canvas, scene, pose)
    draw_beard(canvas, scene, pose)
    mouth_corners = draw_mouth(canvas, scene, pose, light_level, streams["skin"])
    if hair:
        hair.paint(canvas, face_mask)
    if scene.earrings:
        draw_earrings(canvas, scene, pose, streams["wear"])
    if scene.glasses != "none":
        draw_glasses(canvas, scene, pose, streams["wear"])
    if scene.hat != "none":
        draw_hat(canvas, scene, pose, face_mask, streams["wear"])
    image = _develop(canvas, scene, streams["camera"])
    eyes = pose.place(((-EYE_HALF_DISTANCE, 0), (EYE_HALF_DISTANCE, 0)))
    points = np.concatenate((eyes, pose.place((0, 27), lift=16), mouth_corners))
    coordinates = np.rint(points).astype(int).ravel().tolist()
    return Face(image, scene_attributes(scene), dict(zip(LANDMARKS, coordinates, strict=True)))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Return surroundings out of focus, planar float32 (3, 218, 178)."""
    small_width, small_height = WIDTH // 3 + 1, HEIGHT // 3 + 1
    kind = rng.choice(("studio", "colour", "blocks", "outdoors", "night"), p=(0.3, 0.2, 0.2, 0.18, 0.12))
    if kind == "studio":
        base = np.full(3, rng.choice((238, 205, 150, 90, 40))) + rng.uniform(-12, 12, 3)
    elif kind == "night":
        base = rng.uniform(10, 50, 3)
    else:
        base = rng.uniform(50, 225) + rng.uniform(-38, 38, 3)
    end = base * rng.uniform(0.55, 1.1) + rng.uniform(-18, 18, 3)
    across, down = np.linspace(0, 1, small_width), np.linspace(0, 1, small_height)
    angle = rng.uniform(0, 2 * math.pi)
    ramp = 0.5 + math.cos(angle) * (across[None] - 0.5) + math.sin(angle) * (down[:, None] - 0.5)
    small = base + ramp[..., None] * (end - base)
    image = Image.fromarray(np.clip(small, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)

    def rgb(colour: np.ndarray) -> tuple[int, ...]:
        return tuple(np.clip(colour, 0, 255).astype(int).tolist())

    def blob(colour: np.ndarray, radius: float) -> None:
        x, y = rng.uniform(0, small_width), rng.uniform(0, small_height)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb(colour))

    blur = 4.0
    if kind == "studio":
        blob(base * 1.12, rng.uniform(8, 22))
        blur = 9.0
    elif kind == "colour":
        for _ in range(6):
            blob(base + rng.uniform(-30, 30) + rng.uniform(-20, 20, 3), rng.uniform(6, 18))
        blur = 6.0
    elif kind == "blocks":
        for _ in range(7):
            x, y = rng.uniform(-5, small_width), rng.uniform(-5, small_height)
            colour = rgb(base + rng.uniform(-55, 55) + rng.uniform(-25, 25, 3))
            draw.rectangle((x, y, x + rng.uniform(6, 25), y + rng.uniform(6, 45)), fill=colour)
        blur = rng.uniform(1.0, 3.0)
    elif kind == "outdoors":
        leaf, sky = np.array((80, 115, 60)), np.array((180, 205, 230))
        for _ in range(16):
            mix = rng.random()
            blob((leaf * mix + sky * (1 - mix)) * rng.uniform(0.6, 1.15), rng.uniform(5, 14))
        blur = 3.0
    else:
        for _ in range(9):
            blob(rng.uniform(60, 255, 3) * (1.0, 0.85, 0.7), rng.uniform(2, 6))
        blur = 1.6
    image = image.filter(ImageFilter.GaussianBlur(blur)).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(image).transpose(2, 0, 1), dtype=np.float32)


def _develop(canvas: Canvas, scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the image that a camera takes, uint8 (218, 178, 3): with exposure, a colour of the light, grain, focus."""
    gain = rng.uniform(0.9, 1.06) * (1 + rng.uniform(-0.04, 0.04, 3) * (1, 0.3, 1))
    pixels = canvas.pixels * gain[:, None, None].astype(np.float32)
    if not scene.blurry:
        pixels += np.float32(rng.uniform(0.5, 2.2)) * noise_crop(rng, HEIGHT, WIDTH)
    image = np.ascontiguousarray(np.clip(pixels, 0, 255).astype(np.uint8).transpose(1, 2, 0))
    if scene.blurry:
        image = np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(rng.uniform(2.2, 3.2))))
    return image
