"""The sliced Wasserstein distance between small patches of images: Karras et al. 2018, arXiv:1710.10196, section 5."""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

SMALLEST = 16  # smallest side of the coarsest level, in pixels
PATCH = 7  # side of a patch in pixels
PATCHES = 128  # per image and level
DIRECTIONS = 512  # the authors repeat 128 of them four times, and average
AT_ONCE = 32  # directions
MANY = 1_000_000  # patches from which on there is a progress bar


def sliced_wasserstein(
    made: Tensor, real: Tensor, per_image: int = PATCHES, device: torch.device | None = None
) -> dict[int, float]:
    """Return the distance, times 1,000, between the patches of two sets of images at each level of a Laplacian pyramid.

    Each image gives 128 random patches of 7x7 pixels per level. Each set's patches are normalized to mean 0 and
    variance 1 per channel. The distance is the mean difference between the sorted projections of both sets on 512
    random directions. It falls with the number of images, also between two sets of real images: compare values of equal
    numbers only.

    Args:
        made: generated images (N, C, H, W), on any scale; H and W at least 7.
        real: real images (N, C, H, W), as many, on the same scale.
        per_image: number of patches per image and level; fewer are faster.
        device: where to compute; by default where the images are.

    Returns:
        The distance at each level, by the level's shorter side in pixels, the finest first. Each side is half of the
        previous one, down to at least 16 pixels.
    """
    generator = torch.Generator().manual_seed(0)  # of the patches' places and of the directions
    distances = {}
    for level, side in enumerate(levels(min(made.shape[-2:]))):
        first, second = (normed(patches(images, level, per_image, generator, device)) for images in (made, real))
        distances[side] = 1e3 * distance(first, second, generator)
    return distances


def levels(side: int) -> list[int]:
    """Return the sides of the levels of a pyramid in pixels."""
    sides = [side]
    while (smaller := (sides[-1] + 1) // 2) >= SMALLEST:
        sides.append(smaller)
    return sides


def patches(
    images: Tensor, level: int, per_image: int, generator: torch.Generator, device: torch.device | None = None
) -> Tensor:
    """Return random patches (N * per_image, C, 49), float32, of one level of the images (N, C, H, W)."""
    device = device or images.device
    found = torch.empty(len(images) * per_image, images.shape[1], PATCH**2, device=device)
    for place, piece in zip(found.split(256 * per_image), images.split(256), strict=True):
        maps = laplacian(piece.to(device).float())[level]
        count, _, height, width = maps.shape
        windows = maps.unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # (B, C, H', W', 7, 7)
        image = torch.arange(count).repeat_interleave(per_image)
        row, column = (torch.randint(side - PATCH + 1, (len(image),), generator=generator) for side in (height, width))
        place[:] = windows[image, :, row, column].flatten(2)
    return found


def laplacian(images: Tensor) -> list[Tensor]:
    """Return the levels of the Laplacian pyramid (Burt & Adelson 1983) of images (B, C, H, W), the finest first.

    Each level holds the details that the next coarser one lacks; the last is the blurred and halved image itself.
    """
    maps = [images]
    for _ in levels(min(images.shape[-2:]))[1:]:
        smaller = blur(maps[-1])[..., ::2, ::2]
        maps[-1] = maps[-1] - double(smaller, maps[-1].shape[-2:])
        maps.append(smaller)
    return maps


def blur(images: Tensor, gain: float = 1.0) -> Tensor:
    """Blur images with a binomial filter of 5x5 pixels; the border is mirrored."""
    row = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], device=images.device) / 16
    kernel = (gain * torch.outer(row, row)).expand(images.shape[1], 1, 5, 5)
    return functional.conv2d(functional.pad(images, (2, 2, 2, 2), mode="reflect"), kernel, groups=images.shape[1])


def double(images: Tensor, size: torch.Size) -> Tensor:
    """Enlarge images (B, C, H', W'), which are every other pixel, to `size` (H, W)."""
    spread = images.new_zeros(*images.shape[:2], *size)
    spread[..., ::2, ::2] = images
    return blur(spread, gain=4)


def normed(found: Tensor) -> Tensor:
    """Normalize patches (P, C, 49), in place, to mean 0 and variance 1 per channel; return them as (P, C * 49)."""
    variance, mean = torch.var_mean(found, (0, 2), correction=0, keepdim=True)
    return found.sub_(mean).mul_((variance + 1e-12).rsqrt()).flatten(1)


def distance(made: Tensor, real: Tensor, generator: torch.Generator) -> float:
    """Return the mean over random directions of the Wasserstein-1 distance between projections of two (P, D)."""
    directions = torch.randn(DIRECTIONS, made.shape[1], generator=generator)
    directions = functional.normalize(directions, dim=1).to(made.device)
    total = 0.0
    pieces = directions.split(AT_ONCE)
    for some in tqdm(pieces, desc="SWD of a level", unit="batch", disable=len(made) < MANY, leave=False):
        projections = [in_order(some @ points.T) for points in (made, real)]  # (32, P)
        total += float((projections[0] - projections[1]).abs().mean(1).double().sum())
    return total / len(directions)


def in_order(values: Tensor) -> Tensor:
    """Sort each row in ascending order."""
    if values.device.type != "cpu":
        return values.sort(dim=1).values
    return torch.from_numpy(np.sort(values.numpy(), axis=1))  # three times as fast as torch's
