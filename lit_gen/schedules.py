"""Training schedules as pure functions of the number of images seen."""

from typing import NamedTuple


class Growth(NamedTuple):
    """stage: 0 for 4x4 pixels, doubling with each; alpha: the weight of the newest stage's path, in [0, 1]."""

    stage: int
    alpha: float


def growth(images_seen: int, fade_images: int, stable_images: int, last_stage: int) -> Growth:
    """Where progressive growing stands (Karras et al., arXiv:1710.10196, section 2 and appendix A).

    The 4x4 networks train for `stable_images`; every further stage fades in over `fade_images`, alpha rising linearly
    from 0, and then trains for `stable_images`. The last stage goes on for ever.

    Args:
        images_seen: real images shown so far.
        fade_images: length of a fade in images.
        stable_images: length of the training between fades in images.
        last_stage: stage of the full resolution.
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


def constant_then_linear(progress: float, constant: float = 0.5) -> float:
    """1 for the first part of the training, then a straight line to 0 at its end.

    Zhu et al. (arXiv:1703.10593), section 4, and Choi et al. (arXiv:1711.09020), section 5: the second half.

    Args:
        progress: the part of the training that is done, from 0 to 1.
        constant: the part before the decline.
    """
    return 1.0 if progress <= constant else (1 - progress) / (1 - constant)


def log_spaced(progress: float, first: float, last: float) -> float:
    """From `first` to `last` over the training, by equal factors in equal times.

    Args:
        progress: the part of the training that is done, from 0 to 1.
        first: positive.
        last: positive.
    """
    return first * (last / first) ** progress
