import itertools

import numpy as np
import pytest
import torch

from lit_gen.metrics import sliced_wasserstein as module
from lit_gen.metrics.sliced_wasserstein import distance, laplacian, levels, normed, patches, sliced_wasserstein


def test_levels():
    assert levels(128) == [128, 64, 32, 16]
    assert levels(28) == [28] and levels(16) == [16] and levels(8) == [8]
    assert levels(33) == [33, 17]


def filtered(image: np.ndarray, gain: float) -> np.ndarray:
    """Correlation with the 5x5 binomial kernel, mirrored at the border, pixel by pixel."""
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]) / 256 * gain
    padded = np.pad(image, 2, mode="reflect")
    rows, columns = image.shape
    return np.array([[(padded[r : r + 5, c : c + 5] * kernel).sum() for c in range(columns)] for r in range(rows)])


@pytest.mark.parametrize("shape", [(64, 64), (33, 40)])
def test_the_pyramid_by_hand(shape):
    images = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0))
    maps = laplacian(images)
    assert len(maps) == len(levels(min(shape)))
    for image in range(2):
        current = images[image, 1].double().numpy()
        for found in maps[:-1]:
            smaller = filtered(current, 1)[::2, ::2]
            spread = np.zeros_like(current)
            spread[::2, ::2] = smaller
            np.testing.assert_allclose(found[image, 1], current - filtered(spread, 4), atol=1e-5)
            current = smaller
        np.testing.assert_allclose(maps[-1][image, 1], current, atol=1e-5)


def test_patches_are_windows_from_everywhere():
    """Pixels that tell their place and their image."""
    rows, columns = torch.meshgrid(torch.arange(28.0), torch.arange(28.0), indexing="ij")
    images = torch.stack([torch.stack([rows, columns, torch.full_like(rows, index)]) for index in range(300)])
    found = patches(images, 0, 128, torch.Generator().manual_seed(0)).view(300, 128, 3, 7, 7)
    top, left = found[:, :, 0, 0, 0], found[:, :, 1, 0, 0]
    steps = torch.arange(7.0)
    assert torch.equal(found[:, :, 0], (top[..., None, None] + steps[:, None]).expand(300, 128, 7, 7))
    assert torch.equal(found[:, :, 1], (left[..., None, None] + steps).expand(300, 128, 7, 7))
    assert torch.equal(found[:, :, 2], torch.arange(300.0).view(300, 1, 1, 1).expand(300, 128, 7, 7))
    for corner in (top, left):
        assert corner.unique().tolist() == list(range(22))
        assert corner.mean() == pytest.approx(10.5, abs=0.15)


def test_each_channel_is_normed():
    torch.manual_seed(0)
    found = torch.randn(500, 3, 49) * torch.tensor([1.0, 50, 7]).view(1, 3, 1) + torch.tensor([0.0, -9, 300]).view(3, 1)
    values = normed(found).view(500, 3, 49).numpy()
    np.testing.assert_allclose(values.mean((0, 2)), 0, atol=1e-4)
    np.testing.assert_allclose(values.std((0, 2)), 1, atol=1e-4)
    assert normed(torch.full((10, 1, 49), 3.0)).abs().max() == 0  # a black picture


def test_distance_in_one_dimension_is_exact():
    torch.manual_seed(0)
    points = torch.randn(1_000, 1)
    assert distance(points, points + 2.5, torch.Generator()) == pytest.approx(2.5, rel=1e-5)
    assert distance(points, points[torch.randperm(1_000)], torch.Generator()) == 0


def test_distance_is_the_best_assignment(monkeypatch):
    """Of all 120 ways to pair five points with five, on each direction."""
    monkeypatch.setattr(module, "DIRECTIONS", 128)
    torch.manual_seed(0)
    made, real = torch.randn(5, 3), torch.randn(5, 3)
    directions = torch.randn(128, 3, generator=torch.Generator().manual_seed(7))
    directions /= directions.norm(dim=1, keepdim=True)
    expected = 0.0
    for direction in directions:
        a, b = made @ direction, real @ direction
        costs = [(a - b[list(order)]).abs().mean() for order in itertools.permutations(range(5))]
        expected += float(min(costs)) / 128
    assert distance(made, real, torch.Generator().manual_seed(7)) == pytest.approx(expected, rel=1e-5)


def test_blur_shows_where_it_is(monkeypatch):
    """Two draws of one kind of noise are near; a blur moves the finest level only, a shade none: patches are normed."""
    monkeypatch.setattr(module, "DIRECTIONS", 128)
    generator = torch.Generator().manual_seed(0)
    real, same = (torch.rand(150, 1, 32, 32, generator=generator) for _ in range(2))
    reference = sliced_wasserstein(same, real)
    assert list(reference) == [32, 16] and max(reference.values()) < 30
    blurred = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(same, (1, 1, 1, 1), mode="reflect"), 3, 1)
    distances = sliced_wasserstein(blurred, real)
    assert distances[32] > 5 * reference[32] and distances[32] > 2 * distances[16]
    assert sliced_wasserstein(same * 0.5 + 3, real) == pytest.approx(reference, rel=1e-2)
