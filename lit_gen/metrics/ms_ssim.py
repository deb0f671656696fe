"""The multi-scale structural similarity of two images, as published measurements of generators have it.

Wang et al. 2003; Odena et al., arXiv:1610.09585; Karras et al., arXiv:1710.10196, whose code is followed. Libraries
have other borders, other windows on small images, and weights that sum to 1: their values differ, and by no constant.
"""

import torch
from torch import Tensor
from torch.nn import functional

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, the finest first; they sum to 1.0001
SMALLEST = 2 ** (len(WEIGHTS) - 1)  # smallest side of an image in pixels: the coarsest scale has one pixel
WINDOW, SIGMA = 11, 1.5  # pixels
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
MIDDLE = 128
AT_ONCE = 2**16  # values: larger pieces leave the cache of a processor and take twice as long


def pair_similarities(first: Tensor, second: Tensor) -> Tensor:
    """Return the MS-SSIM of each pair of images; 1 for equal images, 0 for images that have nothing in common.

    Each of five scales is half as large as the finer one, by means of 2x2 pixels. At each scale, a Gaussian window of
    11x11 pixels visits all places inside the image; where the image is smaller, the window has the image's size and is
    narrower in proportion. The contrast and structure of all but the coarsest scale, and the SSIM of the coarsest, are
    means over all places and channels. Negative ones count as 0. Their weighted product is the result.

    Args:
        first: images (N, C, H, W), uint8, of at least 16 pixels per side. Of an odd side, the last row of pixels is
            left out at the next scale (the authors have powers of 2 only).
        second: the images to compare with, in the same order.

    Returns:
        (N,) float32.
    """
    at_once = max(1, AT_ONCE // first[0].numel())
    pairs = zip(first.split(at_once), second.split(at_once), strict=True)
    return torch.cat([_similarities(*(images.float() for images in pair)) for pair in pairs])


def similarity(images: Tensor) -> float:
    """Return the mean MS-SSIM over pairs of adjacent images (N, C, H, W), uint8; an image is in one pair at most."""
    pairs = len(images) // 2
    return float(pair_similarities(images[: 2 * pairs : 2], images[1 : 2 * pairs : 2]).double().mean())


def _similarities(first: Tensor, second: Tensor) -> Tensor:
    product = torch.ones(len(first), device=first.device)
    for scale, weight in enumerate(WEIGHTS):
        if scale:
            first, second = (functional.avg_pool2d(images, 2) for images in (first, second))
        ssim, contrast = _ssim(first, second)
        product *= (ssim if scale == len(WEIGHTS) - 1 else contrast).clamp(min=0) ** weight
    return product


def _ssim(first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Return the SSIM of each pair of images (N, C, H, W) in [0, 255], and its factor of contrast and structure."""
    first, second = first - MIDDLE, second - MIDDLE  # variances lose fewer digits
    moments = torch.stack([first, second, first * first, second * second, first * second])  # (5, N, C, H, W)
    mean_1, mean_2, square_1, square_2, product = _windowed(moments.flatten(0, 2)).view(*moments.shape[:3], -1)
    variances = (square_1 - mean_1.square()) + (square_2 - mean_2.square())  # in brackets: exact for equal images
    contrast = (2 * (product - mean_1 * mean_2) + C2) / (variances + C2)
    mean_1, mean_2 = mean_1 + MIDDLE, mean_2 + MIDDLE
    brightness = (2 * mean_1 * mean_2 + C1) / (mean_1.square() + mean_2.square() + C1)
    return (brightness * contrast).mean((1, 2)), contrast.mean((1, 2))


def _windowed(maps: Tensor) -> Tensor:
    """Return the means of maps (M, H, W) under the window at each place inside, (M, H', W')."""
    size = min(WINDOW, *maps.shape[-2:])
    places = torch.arange(size, device=maps.device) - (size - 1) / 2
    window = torch.exp(-places.square() / (2 * (SIGMA * size / WINDOW) ** 2))
    window /= window.sum()
    maps = functional.conv2d(maps[:, None], window.view(1, 1, size, 1))
    return functional.conv2d(maps, window.view(1, 1, 1, size))[:, 0]
