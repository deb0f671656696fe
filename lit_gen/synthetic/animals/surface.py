"""The surface of an animal as the camera sees it: its body turned, placed, and drawn into a depth buffer."""

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lit_gen.synthetic.animals.body import chains_of
from lit_gen.synthetic.animals.scene import SCALE, SIZE, Animal


@dataclass
class Segments:
    """The S pairs of neighbouring balls of one animal, in pixels of the large image."""

    start: np.ndarray  # (S, 4): x, y, nearness and radius of the first ball
    step: np.ndarray  # (S, 4): the same of the second ball, less the first
    part: np.ndarray  # (S,): part of the body
    rest_start: np.ndarray  # (S, 2): x, y of the first ball in the standing pose, in the body's units
    rest_step: np.ndarray  # (S, 2): the same of the second ball, less the first
    rest_axis: np.ndarray  # (S, 2): direction of `rest_step`, of length 1
    unit: float  # pixels per unit of the body
    facing: float  # 1 if the animal looks to the right, -1 to the left


def _project(animal: Animal) -> Segments:
    """Turn the animal, and scale and place it so that its width and feet are those asked for."""
    chains = chains_of(animal)
    cosine, sine = math.cos(animal.yaw), math.sin(animal.yaw)
    screens = []
    for chain in chains:
        x, y, z, radius = chain.nodes.T
        near = -x * sine + z * cosine
        # The camera looks down a little: a nearer point stands lower in the image.
        screens.append(np.column_stack([x * cosine + z * sine, y - 0.14 * near, near, radius]))
    start = np.concatenate([screen[:-1] for screen in screens])
    end = np.concatenate([screen[1:] for screen in screens])
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
    rest_start = np.concatenate([chain.rest[:-1] for chain in chains])
    rest_step = np.concatenate([chain.rest[1:] for chain in chains]) - rest_start
    rest_axis = rest_step / np.maximum(np.linalg.norm(rest_step, axis=1, keepdims=True), 1e-6)
    part = np.concatenate([np.full(len(chain.rest) - 1, chain.part, np.int8) for chain in chains])
    return Segments(start, end - start, part, rest_start, rest_step, rest_axis, unit, 1.0 if cosine > 0 else -1.0)


@dataclass
class Surface:
    """The seen surface of an animal: arrays (P,) of one value per pixel that it covers in the large image."""

    unit: float  # pixels per unit of the body
    box: tuple[int, int, int, int]  # left, top, width, height of the window that holds it, in pixels; even numbers
    pixels: np.ndarray  # index of the pixel in the window, row by row
    part: np.ndarray  # part of the body
    x: np.ndarray  # place in the standing pose, forward, in units of the body
    y: np.ndarray  # the same, upwards
    upper: np.ndarray  # place on its ball, from -1 (lower side) to 1 (upper side)
    right: np.ndarray  # component of the normal to the right
    down: np.ndarray  # component of the normal downwards
    depth: np.ndarray  # distance towards the viewer, in units of the body


def surface_of(animal: Animal) -> Surface:
    """Draw every cone between two balls of an animal into one depth buffer, and return the nearest."""
    segments = _project(animal)
    balls = np.concatenate([segments.start, segments.start + segments.step])
    # The window begins and ends at whole pixels of the small image.
    lowest = np.clip((balls[:, :2] - balls[:, 3:]).min(0) // SCALE, 0, SIZE - 1).astype(int) * SCALE
    highest = np.clip((balls[:, :2] + balls[:, 3:]).max(0) // SCALE + 1, 1, SIZE).astype(int) * SCALE
    (box_left, box_top), (wide, tall) = lowest.tolist(), (highest - lowest).tolist()
    depth = np.full((tall, wide), -np.inf, np.float32)
    owner = np.zeros((tall, wide), np.int16)
    grid = np.arange(SIZE * SCALE, dtype=np.float32)
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
    box, part, depth = (box_left, box_top, wide, tall), segments.part[segment], depth / segments.unit
    return Surface(segments.unit, box, pixels, part, x, y, upper, right, down, depth)


def _gather(segment: np.ndarray, *tables: np.ndarray) -> list[np.ndarray]:
    """Return the columns of tables (one row per segment) at the pixels' segments."""
    return [column.astype(np.float32)[segment] for table in tables for column in table.T]


def soft_normals(surface: Surface) -> tuple[np.ndarray, np.ndarray]:
    """Return the normals, to the right and down, blurred so that muscles run into each other."""
    _, _, wide, tall = surface.box
    field = np.zeros((tall * wide, 3), np.uint8)
    values = np.full((len(surface.pixels), 3), 255, np.uint8)
    values[:, 0] = surface.right * 127 + 128
    values[:, 1] = surface.down * 127 + 128
    field[surface.pixels] = values
    image = Image.fromarray(field.reshape(tall, wide, 3))
    # A blurred image needs only a quarter of its pixels.
    small = image.reduce(2).filter(ImageFilter.GaussianBlur(max(0.8, 0.011 * surface.unit)))
    blurred = np.asarray(small.resize(image.size, Image.Resampling.BILINEAR)).reshape(-1, 3)[surface.pixels]
    right, down, weight = (channel.astype(np.float32) for channel in blurred.T)
    scale = (255 / 127) / np.maximum(weight, 1)
    offset = (128 / 255) * weight
    return (right - offset) * scale, (down - offset) * scale
