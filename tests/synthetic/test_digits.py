from functools import cache

import numpy as np
import pytest

from lit_gen.files.idx import read_idx
from lit_gen.synthetic import digits

FILES = ["t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", "train-images-idx3-ubyte", "train-labels-idx1-ubyte"]


@cache
def rendered(seed: int = 0, each: int = 60) -> np.ndarray:
    """(10, each, 28, 28): digits of every class."""
    rng = np.random.default_rng(seed)
    return np.stack([[digits.render_digit(label, rng) for _ in range(each)] for label in range(10)])


def test_files_have_the_names_shapes_and_layout_of_mnist(tmp_path):
    digits.write_mnist(tmp_path, train_count=12, test_count=5)
    assert sorted(file.name for file in tmp_path.iterdir()) == FILES
    assert (tmp_path / "train-images-idx3-ubyte").read_bytes()[:16].hex() == "000008030000000c0000001c0000001c"
    assert (tmp_path / "t10k-labels-idx1-ubyte").read_bytes()[:8].hex() == "0000080100000005"
    assert (tmp_path / "train-images-idx3-ubyte").stat().st_size == 16 + 12 * 784
    assert (tmp_path / "t10k-labels-idx1-ubyte").stat().st_size == 8 + 5


def test_files_do_not_depend_on_processes_or_counts(tmp_path):
    """300 images are spread over processes and 40 are not; the smaller set must be the start of the larger."""
    for name, count in {"many": 300, "few": 40}.items():
        (tmp_path / name).mkdir()
        digits.write_mnist(tmp_path / name, train_count=count, test_count=10, seed=3)
    for file in FILES:
        many, few = read_idx(tmp_path / "many" / file), read_idx(tmp_path / "few" / file)
        np.testing.assert_array_equal(many[: len(few)], few)


def test_seeds_and_splits_give_other_pictures(tmp_path):
    images = []
    for seed in (0, 1):
        (tmp_path / str(seed)).mkdir()
        digits.write_mnist(tmp_path / str(seed), train_count=20, test_count=20, seed=seed)
        images += [read_idx(tmp_path / str(seed) / f"{split}-images-idx3-ubyte") for split in ("train", "t10k")]
    distinct = {picture.tobytes() for split in images for picture in split}
    assert len(distinct) == 80


def test_no_digits_at_all(tmp_path):
    digits.write_mnist(tmp_path, train_count=0, test_count=1)
    assert read_idx(tmp_path / "train-images-idx3-ubyte").shape == (0, 28, 28)
    assert read_idx(tmp_path / "t10k-images-idx3-ubyte").shape == (1, 28, 28)


def test_labels_are_balanced_and_belong_to_their_pictures(tmp_path):
    labels, images = [], []
    for seed in range(4):  # small sets, because starting processes takes seconds
        digits.write_mnist(tmp_path, train_count=250, test_count=0, seed=seed)
        labels.append(np.array(read_idx(tmp_path / "train-labels-idx1-ubyte")))
        images.append(np.array(read_idx(tmp_path / "train-images-idx3-ubyte"), float))
    labels, images = np.concatenate(labels), np.concatenate(images).reshape(1000, 784)
    counts = np.bincount(labels, minlength=10)
    assert len(counts) == 10
    assert abs(counts - 100).max() < 5 * np.sqrt(90)  # five standard deviations of random draws
    means = rendered().reshape(10, -1, 784).mean(1)
    guesses = ((images[:, None] - means) ** 2).sum(2).argmin(1)
    assert (guesses == labels).mean() > 0.6


def test_each_class_is_told_apart_by_its_mean_picture():
    means = rendered(seed=1).reshape(10, -1, 784).mean(1)
    guesses = ((rendered(seed=2).reshape(10, -1, 1, 784) - means) ** 2).sum(3).argmin(2)
    hits = (guesses == np.arange(10)[:, None]).mean(1)
    assert hits.min() > 0.4  # chance is 0.1
    assert hits.mean() > 0.65


@pytest.mark.parametrize("label", range(10))
def test_geometry_is_that_of_mnist(label):
    """Within a box of 20 x 20 that the longer side fills, and the centre of mass at the centre."""
    for image in rendered()[label]:
        assert image.dtype == np.uint8
        assert image.shape == (28, 28)
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 18 <= max(height, width) <= 20
        weights = image / image.sum()
        places = np.arange(28) + 0.5
        centre = np.array([weights.sum(1) @ places, weights.sum(0) @ places])
        assert abs(centre - 14).max() <= 0.55


def test_light_on_black_with_grey_edges_and_the_amount_of_ink_of_mnist():
    images = rendered()
    assert (images.max((2, 3)) >= 250).mean() > 0.95
    assert (images[..., 0, :] == 0).all()
    assert 28 < images.mean() < 39  # real: 33.3
    assert 0.45 < ((images > 0) & (images < 250)).sum() / (images > 0).sum() < 0.75  # real: 0.62


def test_writing_varies_in_shape_thickness_and_slant():
    images = rendered().astype(float)
    ink = images.mean((2, 3))
    assert (ink.std(1) / ink.mean(1) > 0.15).all()
    assert images.std(1).mean((1, 2)).min() > 20  # real: from 24 (ones) to 46
    offsets = np.arange(28) - 13.5
    slant = -np.einsum("lnyx,y,x->ln", images, offsets, offsets) / np.einsum("lnyx,y->ln", images, offsets**2)
    assert (slant.std(1) > 0.1).all()


def test_the_generator_alone_decides():
    first, second = (digits.render_digit(7, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
