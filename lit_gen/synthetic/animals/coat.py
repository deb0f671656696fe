"""The animal drawn with a depth buffer, shaded like a solid, in the coat of a horse or of a zebra.

The stripes of the zebra follow from the shape of the body.
"""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lit_gen.synthetic.animals.body import BODY, EAR, EYE, FRONT_LEG, HEAD, HIND_LEG, HOOF, MANE, NECK, TAIL, chains_of
from lit_gen.synthetic.animals.landscape import reduce_layer
from lit_gen.synthetic.animals.scene import COATS, DAYLIGHT, DAYTIMES, SCALE, SIZE, Animal, Coat, Domain, Scene
from lit_gen.synthetic.drawing import blend


@dataclass
class Segments:
    """All pairs of neighbouring balls of one animal, on the screen, in pixels of the large picture."""

    start: np.ndarray
    step: np.ndarray
    part: np.ndarray
    rest_start: np.ndarray
    rest_step: np.ndarray
    rest_axis: np.ndarray
    unit: float
    facing: float


def _project(animal: Animal) -> Segments:
    """Turns the animal, and scales and places it so that its width and feet are those asked for."""
    chains = chains_of(animal)
    cosine, sine = math.cos(animal.yaw), math.sin(animal.yaw)
    starts, ends, parts, rest_starts, rest_ends = [], [], [], [], []
    for chain in chains:
        x, y, z, radius = chain.nodes.T
        near = -x * sine + z * cosine
        # The camera looks down a little: what is nearer stands lower in the picture.
        screen = np.column_stack([x * cosine + z * sine, y - 0.14 * near, near, radius])
        starts.append(screen[:-1])
        ends.append(screen[1:])
        parts.append(np.full(len(screen) - 1, chain.part))
        rest_starts.append(chain.rest[:-1])
        rest_ends.append(chain.rest[1:])
    start, end = np.concatenate(starts), np.concatenate(ends)
    balls = np.concatenate([start, end])
    left, right = (balls[:, 0] - balls[:, 3]).min(), (balls[:, 0] + balls[:, 3]).max()
    low, high = (balls[:, 1] - balls[:, 3]).min(), (balls[:, 1] + balls[:, 3]).max()
    full = SIZE * SCALE
    unit = float(min(animal.width * full / (right - left), (animal.feet - 0.04) * full / (high - low)))
    room = full - (right - left) * unit
    origin = room * (0.06 + 0.88 * animal.center) - left * unit
    for points in (start, end):
        points *= unit
        points[:, 0] += origin
        points[:, 1] = animal.feet * full + low * unit * 0.5 - points[:, 1]
    rest_start, rest_end = np.concatenate(rest_starts), np.concatenate(rest_ends)
    rest_step = rest_end - rest_start
    rest_axis = rest_step / np.maximum(np.linalg.norm(rest_step, axis=1, keepdims=True), 1e-6)
    part = np.concatenate(parts).astype(np.int8)
    return Segments(start, end - start, part, rest_start, rest_step, rest_axis, unit, 1.0 if cosine > 0 else -1.0)


@dataclass
class Surface:
    """What is seen of an animal: one value for each pixel that it covers in the large picture.

    Attributes:
        box: left, top, width, height of the window that holds it, even numbers.
        pixels: index of the pixel in the window, row by row.
        part: of the body.
        x: place in the standing pose, where stripes and colours are fixed.
        y: the same, upwards.
        upper: how far to the upper side of its ball, -1 to 1.
        right: the normal's component to the right.
        down: the normal's component down.
        depth: towards the viewer, in heights of the withers.
    """

    box: tuple[int, int, int, int]
    pixels: np.ndarray
    part: np.ndarray
    x: np.ndarray
    y: np.ndarray
    upper: np.ndarray
    right: np.ndarray
    down: np.ndarray
    depth: np.ndarray


def _rasterise(segments: Segments) -> Surface:
    """Draws every cone between two balls into one depth buffer."""
    full = SIZE * SCALE
    balls = np.concatenate([segments.start, segments.start + segments.step])
    # The window begins and ends at whole pixels of the small picture.
    lowest = np.clip((balls[:, :2] - balls[:, 3:]).min(0) // SCALE, 0, SIZE - 1).astype(int) * SCALE
    highest = np.clip((balls[:, :2] + balls[:, 3:]).max(0) // SCALE + 1, 1, SIZE).astype(int) * SCALE
    (box_left, box_top), (wide, tall) = lowest.tolist(), (highest - lowest).tolist()
    depth = np.full((tall, wide), -np.inf, np.float32)
    owner = np.zeros((tall, wide), np.int16)
    grid = np.arange(full, dtype=np.float32)
    for index, (start, step) in enumerate(zip(segments.start.tolist(), segments.step.tolist(), strict=True)):
        x, y, z, radius = start[0] - box_left, start[1] - box_top, start[2], start[3]
        step_x, step_y, step_z, step_radius = step
        end_radius = radius + step_radius
        left = max(0, int(min(x - radius, x + step_x - end_radius)))
        right = min(wide, int(max(x + radius, x + step_x + end_radius)) + 2)
        top = max(0, int(min(y - radius, y + step_y - end_radius)))
        bottom = min(tall, int(max(y + radius, y + step_y + end_radius)) + 2)
        if left >= right or top >= bottom:
            continue
        offset_x, offset_y = grid[left:right] - x, (grid[top:bottom] - y)[:, None]
        length = step_x * step_x + step_y * step_y + 1e-6
        # With p the pixel's offset and t the nearest place on the line, the squared height of the cone over the line is
        # (radius + t step_radius)^2 - |p - t step|^2; it is computed in place, as a polynomial in t, for speed.
        product = offset_x * step_x + offset_y * step_y
        t = product * (1 / length)
        np.maximum(t, 0, out=t)
        np.minimum(t, 1, out=t)
        height = t * (step_radius * step_radius - length)
        product *= 2
        height += product
        height += 2 * radius * step_radius
        height *= t
        height -= offset_x * offset_x
        height += radius * radius - offset_y * offset_y
        seen = height > 0
        np.maximum(height, 0, out=height)
        np.sqrt(height, out=height)
        t *= step_z
        height += t
        height += z
        seen &= height > depth[top:bottom, left:right]
        np.copyto(depth[top:bottom, left:right], height, where=seen)
        np.copyto(owner[top:bottom, left:right], index, where=seen)
    pixels = np.flatnonzero(depth > -np.inf)
    rows, columns = np.divmod(pixels, wide)
    segment, depth = owner.ravel()[pixels], depth.ravel()[pixels]
    x, y, _, radius, step_x, step_y, _, step_radius = _gather(segment, segments.start, segments.step)
    right, down = grid[columns] + box_left - x, grid[rows] + box_top - y
    place = np.clip((right * step_x + down * step_y) / (step_x * step_x + step_y * step_y + 1e-6), 0, 1)
    radius += place * step_radius
    right, down = (right - place * step_x) / radius, (down - place * step_y) / radius
    length = np.sqrt(step_x * step_x + step_y * step_y) + 1e-6
    forward = (right * step_x + down * step_y) / length
    upper = (right * step_y - down * step_x) / length * segments.facing
    x, y, move_x, move_y, axis_x, axis_y = _gather(segment, segments.rest_start, segments.rest_step, segments.rest_axis)
    radius /= segments.unit
    x = x + place * move_x + radius * (forward * axis_x - upper * axis_y)
    y = y + place * move_y + radius * (forward * axis_y + upper * axis_x)
    box = (box_left, box_top, wide, tall)
    return Surface(box, pixels, segments.part[segment], x, y, upper, right, down, depth / segments.unit)


def draw_animal(scene: Scene, animal: Animal, domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """The animal's colour times its coverage, float32 (256, 256, 3), and its coverage, float32 (256, 256)."""
    segments = _project(animal)
    surface = _rasterise(segments)
    part = surface.part
    if domain == "zebra":
        color = _zebra_color(part, surface.x, surface.y, surface.upper, segments.unit)
    else:
        coat = COATS[scene.landscape][scene.daytime not in DAYLIGHT]
        color = _horse_color(part, surface.x, surface.y, surface.upper, coat)

    light = DAYTIMES[scene.daytime]
    toward = np.array((scene.sun * 0.8, -light.elevation, 0.75))
    toward = (toward / np.linalg.norm(toward)).astype(np.float32)
    right, down = _soften(surface, segments.unit)
    facing = np.sqrt(np.maximum(1 - right * right - down * down, 0))
    direct = np.maximum(right * toward[0] + down * toward[1] + facing * toward[2], 0)
    open_sky = 0.5 - 0.5 * down
    # Legs of the far side stand in the shade of the body, and so does all that is close under the belly.
    hidden = np.clip((surface.depth + 0.16) / 0.2, 0, 1)
    legs = (part == FRONT_LEG) | (part == HIND_LEG) | (part == HOOF)
    shade = np.where(legs, 0.55 + 0.45 * hidden, 1.0)[:, None].astype(np.float32)
    ambient = np.array(light.ambient, np.float32) * (0.45 + 0.6 * open_sky[:, None])
    color = color * (ambient + np.array(light.sun, np.float32) * 0.75 * direct[:, None]) * shade
    shine = np.square(np.square(np.square(direct))) * np.where(part == EYE, 0.25, 0.05).astype(np.float32)
    color += shine[:, None] * np.array(light.sun, np.float32)

    left, top, wide, tall = surface.box
    opaque = np.full((len(part), 4), 255, np.uint8)
    color *= 255
    np.clip(color, 0, 255, out=color)
    opaque[:, :3] = color
    drawn = np.zeros((tall * wide, 4), np.uint8)
    drawn[surface.pixels] = opaque
    small = reduce_layer(Image.frombuffer("RGBa", (wide, tall), drawn, "raw", "RGBa", 0, 1))
    whole = np.zeros((SIZE, SIZE, 4), np.float32)
    whole[top // SCALE : (top + tall) // SCALE, left // SCALE : (left + wide) // SCALE] = small
    return whole[..., :3], whole[..., 3]


def _gather(segment: np.ndarray, *tables: np.ndarray) -> list[np.ndarray]:
    """The columns of the tables (one row a segment) at the pixels' segments."""
    return [column.astype(np.float32)[segment] for table in tables for column in table.T]


def _soften(surface: Surface, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """The normals, to the right and down, blurred so that muscles run into each other."""
    _, _, wide, tall = surface.box
    field = np.zeros((tall * wide, 3), np.uint8)
    values = np.full((len(surface.pixels), 3), 255, np.uint8)
    values[:, 0] = surface.right * 127 + 128
    values[:, 1] = surface.down * 127 + 128
    field[surface.pixels] = values
    image = Image.fromarray(field.reshape(tall, wide, 3))
    # A blurred picture needs only a quarter of its pixels.
    small = image.reduce(2).filter(ImageFilter.GaussianBlur(max(0.8, 0.011 * unit)))
    blurred = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR)).reshape(-1, 3)[surface.pixels]
    right, down, weight = (channel.astype(np.float32) for channel in blurred.T)
    scale = (255 / 127) / np.maximum(weight, 1)
    offset = (128 / 255) * weight
    return (right - offset) * scale, (down - offset) * scale


def _ramp(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) / (high - low), 0, 1)


def _horse_color(part: np.ndarray, x: np.ndarray, y: np.ndarray, upper: np.ndarray, coat: Coat) -> np.ndarray:
    """Colours of the coat without light, float32 (pixels, 3)."""
    body, hair, legs = (np.array(color, np.float32) for color in (coat.body, coat.hair, coat.legs))
    color = np.broadcast_to(body, (len(part), 3)).copy()
    leg = (part == FRONT_LEG) | (part == HIND_LEG)
    blend(color, (leg * _ramp(y, 0.46, 0.28))[:, None], legs)
    if coat.socks:
        blend(color, ((part == HIND_LEG) * _ramp(y, 0.20, 0.17))[:, None], np.array((0.90, 0.88, 0.85), np.float32))
    head = part == HEAD
    blend(color, (head * _ramp(x, 0.33, 0.41) * 0.75)[:, None], np.array((0.15, 0.12, 0.11), np.float32))
    if coat.blaze:
        face = head * _ramp(upper, 0.55, 0.7) * _ramp(x, 0.08, 0.12)
        blend(color, face[:, None], np.array((0.93, 0.91, 0.88), np.float32))
    strands = 0.5 * np.sin(x * 83 + 14 * upper) + 0.5 * np.sin(x * 31 + 5 * upper)
    mane = (part == NECK) * _ramp(upper + 0.14 * strands + 0.35 * (x - 0.25), 0.42, 0.56)
    mane = np.maximum(mane, (part == MANE) | (part == TAIL))
    blend(color, mane[:, None], hair)
    color *= (1 + mane * 0.10 * strands)[:, None]
    color[part == HOOF] = (0.20, 0.17, 0.15)
    color[part == EYE] = (0.05, 0.04, 0.04)
    return color


def _zebra_color(part: np.ndarray, x: np.ndarray, y: np.ndarray, upper: np.ndarray, unit: float) -> np.ndarray:
    """Stripes without light, float32 (pixels, 3)."""
    # The smaller the animal, the wider its stripes: they must be seen at a quarter of the size (3 pixels there).
    period = min(max(3.0 * 4 * SCALE / unit, 0.125), 0.18)
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
    black = np.maximum(black, (part == HEAD) * _ramp(x, 0.32, 0.37))
    black = np.maximum(black, (part == TAIL) * _ramp(x, 0.26, 0.32))
    black = np.maximum(black, (part == EAR) * _ramp(x, 0.07, 0.10))
    black = np.maximum(black, (part == HOOF) | (part == EYE))
    white, dark = np.array((0.96, 0.94, 0.90), np.float32), np.array((0.07, 0.06, 0.06), np.float32)
    return (white + black[:, None] * (dark - white)).astype(np.float32)
