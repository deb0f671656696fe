"""The coat of an animal, of a horse or of a zebra, and the light on it.

The stripes of the zebra follow from the shape of the body.
"""

import math

import numpy as np
from PIL import Image

from lit_gen.synthetic.animals.body import BODY, EAR, EYE, FRONT_LEG, HEAD, HIND_LEG, HOOF, MANE, NECK, TAIL
from lit_gen.synthetic.animals.scene import COATS, DAYLIGHT, DAYTIMES, SCALE, SIZE, Animal, Coat, Domain, Scene
from lit_gen.synthetic.animals.surface import Surface, soft_normals, surface_of
from lit_gen.synthetic.drawing import blend, reduce_layer


def draw_animal(scene: Scene, animal: Animal, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Return the animal's colour times its coverage, float32 (256, 256, 3), and its coverage, float32 (256, 256)."""
    surface = surface_of(animal)
    part = surface.part
    if domain == "zebra":
        colour = _zebra_colour(surface)
    else:
        colour = _horse_colour(surface, COATS[scene.landscape][scene.daytime not in DAYLIGHT])

    light = DAYTIMES[scene.daytime]
    toward = np.array((scene.sun * 0.8, -light.elevation, 0.75))
    toward = (toward / np.linalg.norm(toward)).astype(np.float32)
    right, down = soft_normals(surface)
    facing = np.sqrt(np.maximum(1 - right * right - down * down, 0))
    direct = np.maximum(right * toward[0] + down * toward[1] + facing * toward[2], 0)
    open_sky = 0.5 - 0.5 * down
    # Legs of the far side stand in the shade of the body, and so does all that is close under the belly.
    hidden = np.clip((surface.depth + 0.16) / 0.2, 0, 1)
    legs = (part == FRONT_LEG) | (part == HIND_LEG) | (part == HOOF)
    shade = np.where(legs, 0.55 + 0.45 * hidden, 1.0)[:, None].astype(np.float32)
    ambient = np.array(light.ambient, np.float32) * (0.45 + 0.6 * open_sky[:, None])
    colour = colour * (ambient + np.array(light.sun, np.float32) * 0.75 * direct[:, None]) * shade
    shine = np.square(np.square(np.square(direct))) * np.where(part == EYE, 0.25, 0.05).astype(np.float32)
    colour += shine[:, None] * np.array(light.sun, np.float32)

    left, top, wide, tall = surface.box
    opaque = np.full((len(part), 4), 255, np.uint8)
    colour *= 255
    np.clip(colour, 0, 255, out=colour)
    opaque[:, :3] = colour
    drawn = np.zeros((tall * wide, 4), np.uint8)
    drawn[surface.pixels] = opaque
    small = reduce_layer(Image.frombuffer("RGBa", (wide, tall), drawn, "raw", "RGBa", 0, 1), SCALE)
    whole = np.zeros((SIZE, SIZE, 4), np.float32)
    whole[top // SCALE : (top + tall) // SCALE, left // SCALE : (left + wide) // SCALE] = small
    return whole[..., :3], whole[..., 3]


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return 0 up to `low`, 1 from `high` on, and a straight ramp between."""
    return np.clip((values - low) / (high - low), 0, 1)


def _horse_colour(surface: Surface, coat: Coat) -> np.ndarray:
    """Return the colours of a horse before light falls on them, float32 (P, 3)."""
    part, x, y, upper = surface.part, surface.x, surface.y, surface.upper
    body, hair, legs = (np.array(colour, np.float32) for colour in (coat.body, coat.hair, coat.legs))
    colour = np.broadcast_to(body, (len(part), 3)).copy()
    leg = (part == FRONT_LEG) | (part == HIND_LEG)
    blend(colour, (leg * _ramp(y, 0.46, 0.28))[:, None], legs)
    if coat.socks:
        blend(colour, ((part == HIND_LEG) * _ramp(y, 0.20, 0.17))[:, None], np.array((0.90, 0.88, 0.85), np.float32))
    head = part == HEAD
    blend(colour, (head * _ramp(x, 0.33, 0.41) * 0.75)[:, None], np.array((0.15, 0.12, 0.11), np.float32))
    if coat.blaze:
        face = head * _ramp(upper, 0.55, 0.7) * _ramp(x, 0.08, 0.12)
        blend(colour, face[:, None], np.array((0.93, 0.91, 0.88), np.float32))
    strands = 0.5 * np.sin(x * 83 + 14 * upper) + 0.5 * np.sin(x * 31 + 5 * upper)
    mane = (part == NECK) * _ramp(upper + 0.14 * strands + 0.35 * (x - 0.25), 0.42, 0.56)
    mane = np.maximum(mane, (part == MANE) | (part == TAIL))
    blend(colour, mane[:, None], hair)
    colour *= (1 + mane * 0.10 * strands)[:, None]
    colour[part == HOOF] = (0.20, 0.17, 0.15)
    colour[part == EYE] = (0.05, 0.04, 0.04)
    return colour


def _zebra_colour(surface: Surface) -> np.ndarray:
    """Return the stripes of a zebra before light falls on them, float32 (P, 3)."""
    part, x, y, upper = surface.part, surface.x, surface.y, surface.upper
    # The smaller the animal, the wider its stripes: they must be seen at a quarter of the size (3 pixels there).
    period = min(max(3.0 * 4 * SCALE / surface.unit, 0.125), 0.18)
    # The trunk: upright stripes, which fan out over the haunch about a point in the flank until they lie level.
    back, flank, fan = -0.06, 0.47, 0.36
    angle = np.arctan2(np.maximum(back - x, 0), np.maximum(y - flank, 1e-3))
    haunch = back - fan * angle
    trunk = np.where(x > back, x + 0.05 * (y - 0.7), haunch + 0.05 * (y - 0.7))
    below = back - fan * math.pi / 2 - np.maximum(flank - y, 0) * 1.25
    hind = np.where(y > flank, trunk, below)
    front = 0.28 + (0.62 - y) * 1.15 + 0.35 * x * (y > 0.5)
    neck = 0.30 + x * 0.95 + 0.10 * upper * upper
    head = 0.10 + 1.35 * x - 0.05 * upper
    nape = (part == NECK) | (part == MANE)
    way = np.select(
        [part == BODY, part == HIND_LEG, part == FRONT_LEG, nape, part == HEAD, part == TAIL],
        [trunk, hind, front, neck, head, x * 1.1],
        np.float32(0),
    )
    wobble = 0.012 * np.sin(9 * y + 4 * x) + 0.006 * np.sin(31 * y + 13 * x)
    wave = np.sin((way + wobble * (part == BODY)) * (2 * math.pi / period))
    # White prevails under the belly.
    belly = (part == BODY) * _ramp(y, 0.62, 0.50)
    black = np.clip(wave * 2.2 + 0.5 - 2.6 * belly, 0, 1)
    for tip, low, high in ((HEAD, 0.32, 0.37), (TAIL, 0.26, 0.32), (EAR, 0.07, 0.10)):
        black = np.maximum(black, (part == tip) * _ramp(x, low, high))
    black = np.maximum(black, (part == HOOF) | (part == EYE))
    white, dark = np.array((0.96, 0.94, 0.90), np.float32), np.array((0.07, 0.06, 0.06), np.float32)
    return (white + black[:, None] * (dark - white)).astype(np.float32)
