"""Key patches against loops over pixels, boxes and images."""

from fractions import Fraction
from itertools import combinations, permutations

import pytest
import torch
from torch.nn import functional

from lit_gen.layers.key_patches import box_scores, candidate_boxes, cut, edge_energy, in_fixed_order, key_patches, union

CPU = torch.device("cpu")


def pictures(count, channels, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, size // 4, size // 4, generator=generator)
    fine = functional.interpolate(coarse, size=(size, size), mode="bilinear")
    return (fine * 255).round() / 127.5 - 1


def overlap(one, other):
    """Intersection over union of two boxes as an exact fraction, by counting pixels."""
    pixels = [{(x, y) for x in range(b[0], b[0] + b[2]) for y in range(b[1], b[1] + b[3])} for b in (one, other)]
    return Fraction(len(pixels[0] & pixels[1]), len(pixels[0] | pixels[1]))


def test_energy_by_hand():
    """A bright column in the middle of 5x5 pixels: 100 of 255 steps to its left and right; two channels add up."""
    image = torch.zeros(1, 2, 5, 5)
    image[:, :, :, 2] = 100 / 127.5
    row = [0, 200, 0, 200, 0]
    assert edge_energy(image).tolist() == [[row] * 5]
    assert edge_energy(image.transpose(2, 3)).tolist() == [[[value] * 5 for value in row]]
    slope = torch.arange(5.0).expand(1, 1, 5, 5) * 10 / 127.5
    assert edge_energy(slope)[0, 2].tolist() == [10, 20, 20, 20, 10]


@pytest.mark.parametrize("size", [16, 32, 64, 128])
def test_candidates(size):
    boxes = candidate_boxes(size, size, CPU)
    assert boxes.dtype == torch.long and len(boxes.unique(dim=0)) == len(boxes)
    sides, corner, end = boxes[:, 2:], boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    assert size * 0.25 <= sides.min() < size * 0.25 + 1 and size * 0.4 - 1 < sides.max() <= size * 0.4
    assert corner.min() == 1 and size - size // 32 - 1 <= end.max() <= size - 1
    assert candidate_boxes(16, 32, CPU)[:, 2].min() == 8 and candidate_boxes(16, 32, CPU)[:, 3].max() == 6


@pytest.mark.parametrize("size", [16, 32, 64])
def test_scores_against_slices(size):
    energy = torch.randint(0, 1000, (2, size, size))
    boxes = candidate_boxes(size, size, CPU)[::37]
    strip = {16: 1, 32: 2, 64: 4}[size]
    for image, scores in zip(energy.double(), box_scores(energy, boxes), strict=True):
        for (x, y, w, h), score in zip(boxes.tolist(), scores, strict=True):
            box = image[y : y + h, x : x + w]
            strips = [box[:strip], box[-strip:], box[:, :strip], box[:, -strip:]]
            inner = box[strip:-strip, strip:-strip]
            expected = inner.mean() - max(part.mean() for part in strips)
            assert score.item() == pytest.approx(expected.item(), abs=1e-2)


@pytest.mark.parametrize("channels", [1, 3])
def test_best_boxes_against_a_greedy_loop(channels):
    images = pictures(3, channels, 16)
    candidates = candidate_boxes(16, 16, CPU)
    scores = box_scores(edge_energy(images), candidates)
    for row, boxes in zip(scores.tolist(), key_patches(images, 4).boxes.tolist(), strict=True):
        kept = []
        for _, box in sorted(zip(row, candidates.tolist(), strict=True), key=lambda pair: -pair[0]):
            if all(overlap(box, other) < Fraction(1, 2) for other in kept):
                kept.append(box)
        assert boxes == kept[:4]


@pytest.mark.parametrize("size", [16, 32, 64, 128])
@pytest.mark.parametrize("kind", ["structure", "noise", "flat"])
def test_every_image_has_three_boxes_apart(size, kind):
    generator = torch.Generator().manual_seed(1)
    images = {
        "structure": pictures(4, 3, size),
        "noise": torch.rand(4, 3, size, size, generator=generator) * 2 - 1,
        "flat": torch.full((4, 3, size, size), 0.3),
    }[kind]
    patches, mask, boxes = key_patches(images)
    assert patches.shape == (4, 3, 3, size, size) and mask.shape == (4, 1, size, size) and boxes.shape == (4, 3, 4)
    assert boxes.dtype == torch.long and mask.dtype == patches.dtype == torch.float32
    assert patches.abs().max() <= 1 and torch.isfinite(patches).all()
    for three in boxes.tolist():
        assert all(overlap(*pair) < Fraction(1, 2) for pair in combinations(three, 2))


def test_boxes_go_to_features_and_not_along_outlines():
    """Three blobs of weak contrast, and a strong straight edge across the whole image."""
    image = torch.zeros(1, 1, 64, 64)
    image[..., 56:] = 1.0
    centers = [(14, 14), (14, 46), (40, 30)]
    for row, column in centers:
        image[..., row - 3 : row + 3, column - 3 : column + 3] = 0.4
    boxes = key_patches(image).boxes[0].tolist()
    held = {(row, col) for row, col in centers for x, y, w, h in boxes if x < col < x + w and y < row < y + h}
    assert held == set(centers)
    assert all(x + w <= 56 for x, y, w, h in boxes)


def test_a_picture_has_the_same_patches_in_any_batch():
    images = pictures(7, 3, 32)
    together = key_patches(images)
    for index in range(7):
        for whole, alone in zip(together, key_patches(images[index : index + 1]), strict=True):
            assert torch.equal(whole[index : index + 1], alone)
    again = key_patches(images)
    assert all(torch.equal(*pair) for pair in zip(together, again, strict=True))


def test_autocast_changes_nothing():
    images = pictures(2, 3, 32)
    with torch.autocast("cpu", torch.bfloat16):
        lower = key_patches(images)
    assert all(torch.equal(*pair) for pair in zip(key_patches(images), lower, strict=True))


def test_first_use_in_inference_mode():
    candidate_boxes.cache_clear()
    images = pictures(2, 1, 16)
    with torch.inference_mode():
        key_patches(images)
    weight = torch.ones(1, requires_grad=True)
    patches, mask, _ = key_patches(images)
    ((patches * weight).sum() + (mask * weight).sum()).backward()
    assert weight.grad is not None and not patches.requires_grad


@pytest.mark.parametrize("channels, size", [(1, 16), (3, 64)])
def test_cut_is_a_crop_enlarged(channels, size):
    images = pictures(2, channels, size)
    far, side = size - 6, size // 4
    boxes = torch.tensor(
        [[[0, 0, 6, 5], [far, far, 6, 6], [3, 2, side, 7]], [[1, 9, 5, side], [far, 0, 6, 4], [0, far, side, 6]]]
    )
    patches = cut(images, boxes)
    assert patches.shape == (2, 3, channels, size, size)
    for image, own_boxes, own_patches in zip(images, boxes.tolist(), patches, strict=True):
        for (x, y, w, h), patch in zip(own_boxes, own_patches, strict=True):
            crop = image[None, :, y : y + h, x : x + w]
            expected = functional.interpolate(crop, size=(size, size), mode="bilinear", align_corners=False)
            torch.testing.assert_close(patch[None], expected, rtol=0, atol=2e-5)


def test_union_by_hand():
    boxes = torch.tensor([[[0, 0, 2, 1], [1, 0, 2, 2]], [[3, 1, 1, 2], [3, 1, 1, 2]]])
    expected = [[[1, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1]]]
    assert union(boxes, 3, 4).tolist() == [[image] for image in expected]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_fixed_order_sorts_as_python_sorts_lists(count):
    """Values of few levels, so that many patches share their first pixels or are equal."""
    generator = torch.Generator().manual_seed(0)
    patches = torch.randint(0, 2, (200, count, 1, 2, 2), generator=generator).float()
    ordered = in_fixed_order(patches)
    for before, after in zip(patches.flatten(2).tolist(), ordered.flatten(2).tolist(), strict=True):
        assert after == sorted(before)
    for order in permutations(range(count)):
        assert torch.equal(in_fixed_order(patches[:, list(order)]), ordered)
