"""MS-SSIM beside the authors' definition in NumPy, word for word, and beside what is known without it."""

import numpy as np
import pytest
import torch

from lit_gen.metrics.ms_ssim import WEIGHTS, pair_similarities, similarity


def valid(images, window):
    """Correlation of images (N, H, W, C) with the window at all places inside."""
    size, (height, width) = len(window), images.shape[1:3]
    result = np.zeros((len(images), height - size + 1, width - size + 1, images.shape[3]))
    for row in range(size):
        for column in range(size):
            shifted = images[:, row : row + height - size + 1, column : column + width - size + 1]
            result += window[row, column] * shifted
    return result


def ssim_for_multi_scale(a, b):
    """Of Odena et al. and Karras et al.: the window shrinks with the image, sigma in proportion."""
    size = min(11, *a.shape[1:3])
    offset = np.arange(size) - (size - 1) / 2
    window = np.exp(-(offset[:, None] ** 2 + offset**2) / (2 * (size * 1.5 / 11) ** 2))
    window /= window.sum()
    mu1, mu2 = valid(a, window), valid(b, window)
    sigma11, sigma22 = valid(a * a, window) - mu1 * mu1, valid(b * b, window) - mu2 * mu2
    sigma12 = valid(a * b, window) - mu1 * mu2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    v1, v2 = 2 * sigma12 + c2, sigma11 + sigma22 + c2
    ssim = ((2 * mu1 * mu2 + c1) * v1) / ((mu1 * mu1 + mu2 * mu2 + c1) * v2)
    return ssim.mean((1, 2, 3)), (v1 / v2).mean((1, 2, 3))


def ms_ssim(a, b):
    weights = np.array([0.0448, 0.2856, 0.3001, 0.2363, 0.1333])
    ssims, contrasts = [], []
    for _ in weights:
        ssim, contrast = ssim_for_multi_scale(a, b)
        ssims.append(ssim)
        contrasts.append(contrast)
        a, b = (x[:, : x.shape[1] // 2 * 2, : x.shape[2] // 2 * 2] for x in (a, b))  # theirs have no odd sides
        a, b = ((x[:, 0::2, 0::2] + x[:, 1::2, 0::2] + x[:, 0::2, 1::2] + x[:, 1::2, 1::2]) / 4 for x in (a, b))
    ssims, contrasts = np.clip(ssims, 0, None), np.clip(contrasts, 0, None)
    return np.prod(contrasts[:-1] ** weights[:-1, None], axis=0) * ssims[-1] ** weights[-1]


def pairs(side, channels, count=4):
    """Images and changed copies: lighter, noisier, blurred in some places; the last pair has nothing in common."""
    generator = torch.Generator().manual_seed(side)
    coarse = torch.rand(count, channels, side // 4, side // 4, generator=generator) * 255
    first = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    second = 0.7 * first + 40 + 15 * torch.randn(first.shape, generator=generator)
    second[-1] = 255 - first[-1]
    return (images.round().clamp(0, 255).to(torch.uint8) for images in (first, second))


@pytest.mark.parametrize("side, channels", [(16, 1), (28, 1), (32, 1), (64, 3), (128, 3)])
def test_the_authors_definition(side, channels):
    first, second = pairs(side, channels)
    expected = ms_ssim(*(images.permute(0, 2, 3, 1).double().numpy() for images in (first, second)))
    assert expected[-1] == 0 and expected[:-1].min() > 0.2 and expected.max() < 0.97
    np.testing.assert_allclose(pair_similarities(first, second), expected, atol=2e-5)


def test_equal_pictures_are_1_and_constants_differ_by_brightness_only():
    first, _ = pairs(64, 3)
    assert torch.equal(pair_similarities(first, first), torch.ones(4))
    a, b = 50.0, 200.0
    flat = [torch.full((1, 1, 32, 32), int(value), dtype=torch.uint8) for value in (a, b)]
    brightness = (2 * a * b + 2.55**2) / (a * a + b * b + 2.55**2)
    assert float(pair_similarities(*flat)) == pytest.approx(brightness ** WEIGHTS[-1], abs=1e-4)
    assert sum(WEIGHTS) == pytest.approx(1.0001)


def test_the_mean_is_over_adjacent_pictures():
    first, second = pairs(32, 1)
    both = torch.stack([first, second], 1).flatten(0, 1)
    expected = float(pair_similarities(first, second).mean())
    assert similarity(both) == pytest.approx(expected)
    assert similarity(torch.cat([both, first[:1]])) == pytest.approx(expected)  # the last is alone
    assert similarity(first[:1].repeat(7, 1, 1, 1)) == 1  # a generator of one picture
