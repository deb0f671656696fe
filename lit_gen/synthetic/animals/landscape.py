"""The landscape of a scene: sky, ground, plants, and the shadows on it."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from lit_gen.synthetic.animals.scene import DAYTIMES, LANDSCAPES, SCALE, SIZE, Animal, Daytime, Landscape, Scene
from lit_gen.synthetic.drawing import blend, lay_over, new_layer, noise_tile, noise_window, reduce_layer


def _ridge(rng: np.random.Generator, step: float) -> np.ndarray:
    """Return a line of heights, float32 (256,), of standard deviation 1; a larger `step` makes it rougher."""
    row, column = rng.integers(0, 512, 2)
    place = column + step * np.arange(SIZE)
    low = np.floor(place).astype(int)
    line = noise_tile()[row]
    return line[low & 511] + (place - low).astype(np.float32) * (line[(low + 1) & 511] - line[low & 511])


def _fill_below(image: np.ndarray, line: np.ndarray, colour: np.ndarray, bottom: int) -> None:
    """Fill an image in place between `line` (pixels from the top, one per column) and row `bottom`."""
    top = max(0, int(line.min()) - 1)
    if top < bottom:
        rows = np.arange(top, bottom, dtype=np.float32)[:, None]
        amount = np.clip(rows - line + 0.5, 0, 1)[..., None]
        blend(image[top:bottom], amount, colour[top:bottom] if colour.ndim == 3 else colour)


def draw_background(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return the image without animals and grass, float32 (256, 256, 3), 0 to 1."""
    land, light = LANDSCAPES[scene.landscape], DAYTIMES[scene.daytime]
    zenith, haze, cloud = (np.array(colour, np.float32) for colour in (light.zenith, light.horizon, light.cloud))
    lit = open_light(light)
    horizon = int(scene.horizon * SIZE)
    image = np.empty((SIZE, SIZE, 3), np.float32)

    height = np.linspace(0, 1, horizon + 1, dtype=np.float32)[:, None, None] ** 1.3
    image[: horizon + 1] = zenith + height * (haze - zenith)
    cover = rng.uniform(-0.9, 0.9)
    clouds = np.clip((noise_window(rng, 2 * horizon + 2, SIZE, 1)[::2] - cover) * 0.55, 0, 1) * 0.85
    blend(image[: horizon + 1], clouds[..., None], cloud)

    if rng.random() < land.mountains:
        for distance in (0.62, 0.42):
            line = horizon - rng.uniform(12, 34) * distance - _ridge(rng, 1.1) * (rng.uniform(9, 18) * distance)
            _fill_below(image, line, _mix(np.array(land.ridge) * lit, haze, distance), horizon)
    ground = _draw_ground(land, lit, haze, horizon, rng)
    if rng.random() < land.hills:
        for distance in (0.35, 0.15):
            line = horizon - 10 * distance - 4 - _ridge(rng, 0.35) * 14 * distance
            _fill_below(image, line, _mix(np.array(land.ground_far) * lit * 0.88, haze, distance), horizon)
    if rng.random() < land.treeline:
        tall = rng.uniform(26, 60) if scene.landscape == "forest" else rng.uniform(6, 14)
        line = horizon - tall - _ridge(rng, 0.8) * tall * 0.12 - _ridge(rng, 9) * tall * 0.06
        dapple = noise_window(rng, SIZE, SIZE, 5)[..., None] * 0.17 + 1
        _fill_below(image, line, _mix(np.array(land.leaves) * lit, haze, 0.12) * dapple, horizon)
    image[horizon:] = ground
    if rng.random() < land.water:
        _draw_water(image, horizon, zenith, haze, rng)
    plants = _draw_plants(scene, land, lit, haze, rng)
    plants[..., :3] *= 1 + 0.15 * noise_window(rng, SIZE, SIZE, 4)[..., None]
    lay_over(image, plants[..., :3], plants[..., 3])
    return image


def open_light(light: Daytime) -> np.ndarray:
    """Return the light on open country, float32 (3,)."""
    return np.array(light.ambient, np.float32) * 0.75 + np.array(light.sun, np.float32) * 0.55


def _mix(first: np.ndarray, second: np.ndarray, amount: float) -> np.ndarray:
    """Return a colour between two, float32; `amount` is the second's share."""
    return (first + amount * (second - first)).astype(np.float32)


def _draw_ground(
    land: Landscape, lit: np.ndarray, haze: np.ndarray, horizon: int, rng: np.random.Generator
) -> np.ndarray:
    """Return the rows from the horizon down, float32 (256 - horizon, 256, 3); their texture grows downwards."""
    rows = np.arange(SIZE - horizon, dtype=np.float32)
    near = (rows / rows[-1])[:, None]
    front, back = np.array(land.ground_near, np.float32), np.array(land.ground_far, np.float32)
    colour = (back + near[..., None] ** 0.6 * (front - back)) * lit
    colour += 0.35 * (1 - near[..., None]) ** 4 * (haze - colour)
    depth = 1 / (near + 0.06)
    across = (np.arange(SIZE, dtype=np.float32) - SIZE / 2) * depth
    tile = noise_tile()
    row, column = rng.integers(0, 512, 2)
    along = (row + 270 * depth).astype(int)
    patches = tile[along & 511, (column + 0.9 * across).astype(int) & 511]
    blades = tile[(row + 1100 * depth).astype(int) & 511, (column + 5.3 * across).astype(int) & 511]
    shade = 1 + land.patches * (0.45 * patches + 0.4 * blades * np.minimum(1, near * 2 + 0.2))
    return colour * shade[..., None]


def _draw_water(
    image: np.ndarray, horizon: int, zenith: np.ndarray, haze: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw a lake or a river: a band below the horizon that mirrors the sky."""
    top = horizon + rng.uniform(2, 8) - _ridge(rng, 0.8) * 1.2
    bottom = top + rng.uniform(12, 34) + _ridge(rng, 0.6) * 5
    rows = np.arange(horizon, SIZE, dtype=np.float32)[:, None]
    amount = np.clip(rows - top + 0.5, 0, 1) * np.clip((bottom - rows) * 0.5, 0, 1)
    ripple = noise_window(rng, 5 * (SIZE - horizon), SIZE, 1)[::5]
    depth = np.clip((rows - horizon) / 60, 0, 1)[..., None]
    colour = (haze + depth * (zenith - haze)) * 0.88 * (1 + 0.06 * ripple[..., None])
    blend(image[horizon:], 0.94 * amount[..., None], colour)


def _paint(colour: np.ndarray) -> tuple[int, int, int, int]:
    """Return a colour, 0 to 1, as Pillow takes it."""
    return _paints(colour[None])[0]


def _paints(colours: np.ndarray) -> list[tuple[int, int, int, int]]:
    """Return colours, (N, 3) from 0 to 1, as Pillow takes them."""
    return [(red, green, blue, 255) for red, green, blue in np.clip(colours * 255, 0, 255).astype(int).tolist()]


def _draw_plants(
    scene: Scene, land: Landscape, lit: np.ndarray, haze: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return a layer of trees, bushes and a fence, all behind the animals, float32 (256, 256, 4)."""
    layer, draw = new_layer(SIZE * SCALE)
    behind = min(animal.feet for animal in scene.animals)
    things = [(rng.uniform(0.05, 1) ** 1.5, land.tree) for _ in range(rng.integers(*land.trees, endpoint=True))]
    things += [(rng.uniform(0.05, 1), "bush") for _ in range(rng.integers(*land.bushes, endpoint=True))]
    if scene.fence:
        things.append((rng.uniform(0.35, 0.9), "fence"))
    for near, kind in sorted(things):
        base = (scene.horizon + near * max(0.02, behind - 0.06 - scene.horizon)) * SIZE * SCALE
        leaves = _mix(np.array(land.leaves) * lit * rng.uniform(0.8, 1.25), haze, 0.4 * (1 - near) ** 2)
        wood = _mix(np.array((0.30, 0.23, 0.17)) * lit * rng.uniform(0.8, 1.3), haze, 0.4 * (1 - near) ** 2)
        size = SCALE * (14 + 62 * near) * rng.uniform(0.8, 1.25)
        x = rng.uniform(-0.03, 1.03) * SIZE * SCALE
        if kind == "fence":
            _draw_fence(draw, base, size * 0.42, wood * 1.35, rng)
        elif kind == "conifer":
            _draw_conifer(draw, x, base, size * 1.6, leaves, wood, scene.sun)
        elif kind == "dead":
            for lean in (-0.35, 0.05, 0.4):
                draw.line((x, base, x + lean * size, base - size), _paint(wood), width=max(2, int(size / 16)))
        else:
            _draw_crown(draw, kind, x, base, size, leaves, wood, scene.sun, rng)
    return reduce_layer(layer, SCALE)


def _draw_crown(
    draw: ImageDraw.ImageDraw, kind: str, x: float, base: float, size: float, leaves: np.ndarray, wood: np.ndarray,
    sun: float, rng: np.random.Generator,
) -> None:  # fmt: skip
    """Draw a tree with a round or a flat crown, or a bush: blobs of leaves, the nearer to the sun the lighter."""
    wide, tall, middle = {"round": (0.55, 0.48, 1.0), "acacia": (0.95, 0.17, 0.95), "bush": (0.3, 0.16, 0.13)}[kind]
    if kind != "bush":
        trunk = size * 0.05
        for lean in (-0.3, 0.3) if kind == "acacia" else (0.0,):
            top = (x + lean * size, base - size * middle)
            draw.polygon([(x - trunk, base), (x + trunk, base), (top[0] + 1, top[1]), (top[0] - 1, top[1])],
                         _paint(wood))  # fmt: skip
    count = 18 if kind == "bush" else 34
    angle, radius = rng.uniform(0, 2 * math.pi, count), np.sqrt(rng.uniform(0, 1, count))
    across, up = radius * np.cos(angle), radius * np.sin(angle)
    light = 0.5 * up + 0.25 * sun * across
    blob = size * math.sqrt(wide * tall) * rng.uniform(0.3, 0.5, count) * (1.25 if kind == "bush" else 1)
    order = np.argsort(light)
    blobs = np.column_stack([x + across * size * wide, base - size * (middle + up * tall), blob])[order].tolist()
    shades = _paints(leaves * (0.92 + 0.55 * light[order, None]))
    for (left, top, half), shade in zip(blobs, shades, strict=True):
        draw.ellipse((left - half, top - 0.7 * half, left + half, top + 0.7 * half), shade)


def _draw_conifer(
    draw: ImageDraw.ImageDraw, x: float, base: float, size: float, leaves: np.ndarray, wood: np.ndarray, sun: float
) -> None:
    draw.rectangle((x - size * 0.025, base - size * 0.2, x + size * 0.025, base), _paint(wood))
    for level in range(6):
        low = base - size * (0.1 + 0.14 * level)
        half, high = size * 0.25 * (1 - level / 7), low - size * 0.25
        draw.polygon([(x - half, low), (x, high), (x, low + half * 0.15)], _paint(leaves * (0.9 - 0.2 * sun)))
        draw.polygon([(x + half, low), (x, high), (x, low + half * 0.15)], _paint(leaves * (0.9 + 0.2 * sun)))


def _draw_fence(
    draw: ImageDraw.ImageDraw, base: float, size: float, wood: np.ndarray, rng: np.random.Generator
) -> None:
    slope, gap, start = rng.uniform(-0.05, 0.05), size * rng.uniform(1.3, 2), rng.uniform(-50, 0)
    thick = max(2, int(size * 0.08))
    for level in (0.45, 0.85):
        y = base - level * size
        draw.line((0, y, SIZE * SCALE, y + slope * SIZE * SCALE), _paint(wood * 1.1), width=thick)
    for x in np.arange(start, SIZE * SCALE, gap):
        draw.rectangle((x, base + slope * x - size, x + thick * 1.3, base + slope * x), _paint(wood))


def draw_grass(scene: Scene, rng: np.random.Generator) -> np.ndarray:
    """Return a layer of grass in front of the animals, most of it at their feet, float32 (256, 256, 4)."""
    land, light = LANDSCAPES[scene.landscape], DAYTIMES[scene.daytime]
    lit = open_light(light)
    layer, draw = new_layer(SIZE * SCALE)
    feet = max(animal.feet for animal in scene.animals)
    spread = rng.uniform(0, 1, (land.grass, 6))
    near, leaves = np.array(land.ground_near), np.array(land.leaves)
    colours = (near + 0.55 * spread[:, 5:] * (leaves - near)) * lit * (0.75 + 0.5 * spread[:, 4:5])
    for (x, y, bend, length, _, _), colour in zip(spread.tolist(), _paints(colours), strict=True):
        base = (feet - 0.005 + y * (1.03 - feet)) * SIZE * SCALE
        tip = base - SCALE * (4 + 6 * length) * (0.7 + 0.9 * y)
        left = x * SIZE * SCALE
        draw.polygon([(left - 1.2, base), (left + 1.2, base), (left + (bend - 0.5) * 14, tip)], colour)
    return reduce_layer(layer, SCALE)


def cast_shadow(image: np.ndarray, coverage: np.ndarray, animal: Animal, scene: Scene) -> None:
    """Darken the ground in place: by the outline of the animal, laid down away from the sun, and a spot below it.

    `image`, float32 (256, 256, 3), is without the animal; `coverage`, float32 (256, 256), is the animal's.
    """
    light = DAYTIMES[scene.daytime]
    feet = animal.feet * SIZE
    outline = Image.fromarray((coverage * 255).astype(np.uint8))
    columns = np.flatnonzero(coverage.max(0) > 0.5)
    flat, lean = 0.10 + 0.12 * (1 - light.elevation), -scene.sun * (1.15 - light.elevation)
    # A point at height h over the feet throws its shadow at (x + lean * h, feet - flat * h); PIL wants the inverse.
    inverse = (1, lean / flat, -lean * feet / flat, 0, 1 / flat, feet - feet / flat)
    laid = outline.transform(outline.size, Image.Transform.AFFINE, inverse, Image.Resampling.BILINEAR)
    draw = ImageDraw.Draw(laid)
    quarter = (columns[-1] - columns[0]) / 4
    middle = (columns[-1] + columns[0]) / 2
    draw.ellipse((middle - 1.4 * quarter, feet - 0.16 * quarter, middle + 1.4 * quarter, feet + 0.13 * quarter), 170)
    # There is no shadow on the sky, nor far below the feet.
    start, stop = int(scene.horizon * SIZE) + 3, min(SIZE, int(feet) + 24)
    dark = np.asarray(laid.crop((0, start, SIZE, stop)).filter(ImageFilter.GaussianBlur(2.5))).astype(np.float32)
    image[start:stop] *= 1 - light.shadow / 255 * dark[..., None]
