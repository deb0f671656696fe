"""The sliced Wasserstein distance between small patches of images: Karras et al. 2018, arXiv:1710.10196, section 5."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

SMALLEST = 16  # pixels of the coarsest level
PATCH = 7  # pixels a side
PATCHES = 128  # an image and level
REPEATS, DIRECTIONS = 4, 128
AT_ONCE = 32  # directions


def sliced_wasserstein(made: Tensor, real: Tensor, seed: int = 0, per_image: int = PATCHES) -> dict[int, float]:
    """How different the patches of two sets of images are, at each level of a Laplacian pyramid; times 1,000.

    From each image and level 128 random patches of 7x7 pixels; each set's patches are normed to mean 0 and variance 1 a
    channel; then the mean distance between their sorted projections on 512 random directions. It falls with the number
    of images, also between two sets of real ones: compare figures of the same number only.

    Args:
        made: (N, C, H, W), on any scale; 7 pixels or more.
        real: (N, C, H, W), as many, on the same scale.
        seed: of the places and directions.
        per_image: how many patches of an image and level; fewer are quicker.

    Returns:
        For each level, the finest first, by its shorter side in pixels: halved as long as 16 pixels are left.
    """
    generator = torch.Generator().manual_seed(seed)
    distances = {}
    for level, side in enumerate(levels(min(made.shape[-2:]))):
        sets = [normed(patches(images, level, per_image, generator)) for images in (made, real)]
        distances[side] = 1e3 * distance(*sets, generator)
    return distances


def levels(side: int) -> list[int]:
    """The sides of the levels of a pyramid."""
    sides = [side]
    while (smaller := (sides[-1] + 1) // 2) >= SMALLEST:
        sides.append(smaller)
    return sides


def patches(images: Tensor, level: int, per_image: int, generator: torch.Generator) -> Tensor:
    """(N * per_image, C, 49) float32: random patches of one level of the images (N, C, H, W)."""
    found = []
    for piece in images.split(256):
        maps = laplacian(piece.float())[level]
        count, channels, height, width = maps.shape
        windows = maps.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (B, C, H', W', 7, 7)
        image = torch.arange(count).repeat_interleave(per_image)
        row, column = (torch.randint(side - PATCH + 1, (len(image),), generator=generator) for side in (height, width))
        found.append(windows[image, :, row, column].reshape(-1, channels, PATCH**2))
    return torch.cat(found)


def laplacian(images: Tensor) -> list[Tensor]:
    """The levels of the Laplacian pyramid (Burt & Adelson 1983) of images (B, C, H, W), the finest first.

    Each is what the next coarser one lacks; the last is the blurred and halved image itself.
    """
    maps = [images]
    for _ in levels(min(images.shape[-2:]))[1:]:
        smaller = halve(maps[-1])
        maps[-1] = maps[-1] - double(smaller, maps[-1].shape[-2:])
        maps.append(smaller)
    return maps


def blur(images: Tensor, gain: float = 1.0) -> Tensor:
    """A binomial filter of 5x5 pixels; the border is a mirror."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (gain * torch.outer(row, row)).expand(images.shape[1], 1, 5, 5)
    return functional.conv2d(functional.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=images.shape[1])


def halve(images: Tensor) -> Tensor:
    return blur(images)[..., ::2, ::2]


def double(images: Tensor, size: tuple[int, int]) -> Tensor:
    """To `size` (H, W), of which the images (B, C, H', W') are every other pixel."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[..., ::2, ::2] = images
    return blur(spread, gain=4)


def normed(found: Tensor) -> Tensor:
    """Patches (P, C, 49) with mean 0 and variance 1 in each channel, as (P, C * 49)."""
    variance, mean = torch.var_mean(found, (0, 2), correction=0, keepdim=True)
    return ((found - mean) * (variance + 1e-12).rsqrt()).flatten(1)


def distance(made: Tensor, real: Tensor, generator: torch.Generator) -> float:
    """The mean over random directions of the Wasserstein-1 distance between projections of (P, D) and (P, D)."""
    directions = torch.randn(REPEATS * DIRECTIONS, made.shape[1], generator=generator)
    directions = functional.normalize(directions, dim=1).to(made.device)
    total = 0.0
    for some in directions.split(AT_ONCE):
        projections = [in_order(some @ points.T) for points in (made, real)]  # (32, P)
        total += float((projections[0] - projections[1]).abs().mean(1).double().sum())
    return total / len(directions)


def in_order(values: Tensor) -> Tensor:
    """Each row in ascending order."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))  # three times as quick as torch's
