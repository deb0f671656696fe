"""Training schedules as pure functions of the images seen, or of the fraction of the training that is done."""

import math
from typing import NamedTuple


class Growth(NamedTuple):
    """The state of progressive growing."""

    stage: int  # 0 for 4x4 pixels; each is twice the side
    alpha: float  # weight of the newest one, in [0, 1]


def growth(images_seen: int, fade_images: int, stable_images: int, last_stage: int) -> Growth:
    """Return the stage and alpha of progressive growing (Karras et al., arXiv:1710.10196, section 2 and appendix A).

    The 4x4 networks train for `stable_images`. Every further stage fades in over `fade_images`, while alpha rises
    linearly from 0 to 1, and then trains for `stable_images`. The last stage trains until the end.

    Args:
        images_seen: number of real images shown so far.
        fade_images: length of a fade in images.
        stable_images: length of the training between two fades in images.
        last_stage: number of the stage of the full resolution.
    """
    into_cycle = images_seen - stable_images
    if into_cycle < 0 or last_stage == 0:
        return Growth(0, 1.0)
    cycle = fade_images + stable_images
    stage = 1 + into_cycle // cycle if cycle else last_stage + 1
    if stage > last_stage:
        return Growth(last_stage, 1.0)
    into_stage = into_cycle % cycle
    return Growth(stage, min(1.0, into_stage / fade_images) if fade_images else 1.0)


RESOLUTIONS = [4, 8, 16, 32, 64, 128, 256, 512, 1024]
GROWING_MINIBATCHES = {
    1: [128, 128, 128, 64, 32, 16, 8, 4, 4],
    2: [256, 256, 128, 64, 32, 16, 8, 8, 8],
    4: [512, 256, 128, 64, 32, 16, 16, 16, 16],
    8: [512, 256, 128, 64, 32, 32, 32, 32, 32],
}
"""Images per step of all GPUs together, by their number and by resolution (code of Karras et al., arXiv:1710.10196)."""
GROWING_RATES = {
    1: {1024: 1.5},
    2: {512: 1.5, 1024: 2.0},
    4: {256: 1.5, 512: 2.0, 1024: 3.0},
    8: {128: 1.5, 256: 2.0, 512: 3.0, 1024: 3.0},
}
"""Factors on the learning rate, which stand beside these; 1 at other resolutions."""


def growing_tables(processes: int) -> tuple[dict[int, int], dict[int, float]]:
    """Return images per step and process, and factors on the rate, per resolution: those of 1, 2, 4 or 8 GPUs."""
    gpus = max(number for number in GROWING_MINIBATCHES if number <= processes)
    sizes = zip(RESOLUTIONS, GROWING_MINIBATCHES[gpus], strict=True)
    return {resolution: size // gpus for resolution, size in sizes}, GROWING_RATES[gpus]


def passes_a_tenth(before: int, now: int) -> bool:
    """Return whether a count passes one of the numbers 1, 1.1, 1.1², 1.1³, ..., whose distances grow by a tenth.

    `before` is the count at the last look, which may have been 0, and `now` that at this one.
    """
    powers = (math.floor(math.log(count, 1.1)) if count else -1 for count in (before, now))
    return next(powers) < next(powers)


def constant_then_linear(progress: float) -> float:
    """Return a factor for learning rates: 1 in the first half of the training, then linear to 0 at its end.

    Zhu et al. (arXiv:1703.10593), section 4, and Choi et al. (arXiv:1711.09020), section 5, have it. `progress` is the
    fraction of the training that is done, from 0 to 1.
    """
    return min(1.0, 2 * (1 - progress))


def linear(images_seen: int, first: float, last: float, images: float) -> float:
    """Return a value that goes from `first` to `last` in equal steps over `images`, and stays there."""
    return first + (last - first) * (min(1.0, images_seen / images) if images else 1.0)


def divided(images_seen: int, divisor: float, images: int) -> float:
    """Return a factor that is divided by `divisor` for each `images` seen."""
    return math.exp(-math.log(divisor) * images_seen / images)


def tripling_stages(images_seen: int, first_images: int) -> float:
    """Return the factor on learning rates of Burda et al. (arXiv:1509.00519), section 5: 10^(-i/7) in stage i.

    Stage i is of 3^i times the images of the first, i = 0, ..., 7; the last goes on without an end.
    """
    stage = sum(images_seen >= first_images * (3**later - 1) // 2 for later in range(1, 8))
    return 10 ** (-stage / 7)


def log_spaced(progress: float, first: float, last: float) -> float:
    """Return the value of an exponential decay (or growth) from `first` to `last`, both positive, over the training."""
    return first * (last / first) ** progress
