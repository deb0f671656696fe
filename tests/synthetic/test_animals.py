"""The horses and zebras: what their pictures promise to whoever measures a translation on them."""

import dataclasses
import multiprocessing
from functools import partial

import numpy as np
import pytest
from PIL import Image

from lit_gen.files import parallel
from lit_gen.files.parallel import map_indices
from lit_gen.synthetic.animals.render import render
from lit_gen.synthetic.animals.scene import sample_scene
from lit_gen.synthetic.animals.write import write_horse2zebra

SCENES = 12


@pytest.fixture(scope="module")
def pictures():
    """[(horse, zebra, mask of the horse, mask of the zebra)] of some scenes."""
    scenes = [sample_scene(np.random.default_rng([11, index])) for index in range(SCENES)]
    pairs = [(render(scene, "horse"), render(scene, "zebra")) for scene in scenes]
    return [(horse, zebra, mask, other) for (horse, mask), (zebra, other) in pairs]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("horse2zebra")
    write_horse2zebra(folder, train_count=4, test_count=3, seed=5)
    return folder


def read(path):
    with Image.open(path) as image:
        return np.asarray(image)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_pictures_and_masks_have_the_promised_form(pictures):
    for horse, zebra, mask, _ in pictures:
        for picture in (horse, zebra):
            assert picture.shape == (256, 256, 3) and picture.dtype == np.uint8
            assert picture.std() > 10
        assert mask.shape == (256, 256) and mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 255}


def test_animal_has_a_reasonable_size(pictures):
    for _, _, mask, _ in pictures:
        columns = np.flatnonzero(mask.any(0))
        assert 0.3 < (columns[-1] - columns[0] + 1) / 256
        assert 0.03 < (mask > 0).mean() < 0.6


def test_domains_are_equal_outside_the_mask(pictures):
    for horse, zebra, mask, other in pictures:
        np.testing.assert_array_equal(mask, other)
        np.testing.assert_array_equal(horse[mask == 0], zebra[mask == 0])


def test_domains_differ_inside_the_mask(pictures):
    for horse, zebra, mask, _ in pictures:
        difference = np.abs(horse.astype(int) - zebra)[mask > 0].max(1)
        # Between a black horse and a zebra, the black stripes differ little.
        assert (difference > 20).mean() > 0.5


def local_contrast(picture, mask, size):
    """Mean deviation of the brightness in 5 x 5 windows of the picture at `size` that lie on the animal."""
    gray = Image.fromarray(picture).convert("L").resize((size, size), Image.Resampling.BOX)
    inside = np.asarray(Image.fromarray(mask).resize((size, size), Image.Resampling.BOX)) == 255
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(gray, np.float32), (5, 5))
    whole = np.lib.stride_tricks.sliding_window_view(inside, (5, 5)).mean((2, 3)) > 0.8
    return windows.std((2, 3))[whole].mean()


@pytest.mark.parametrize("size", [128, 64])
def test_stripes_are_seen_at_small_sizes(pictures, size):
    for horse, zebra, mask, _ in pictures:
        assert local_contrast(zebra, mask, size) > 1.5 * local_contrast(horse, mask, size)
        assert local_contrast(zebra, mask, size) > 20


def test_scene_follows_from_the_generator():
    scenes = [sample_scene(np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert scenes[0] == scenes[1] != scenes[2]
    np.testing.assert_array_equal(render(scenes[0], "zebra")[0], render(scenes[1], "zebra")[0])


def test_coat_follows_from_landscape_and_light():
    """No hidden randomness: on the same body in the same country, the coat does not depend on where bushes stand."""
    scene = sample_scene(np.random.default_rng(4))
    other = dataclasses.replace(scene, details=scene.details + 1)
    first, mask = render(scene, "horse")
    second, second_mask = render(other, "horse")
    # The grain of the picture is random: one level or a few.
    both = (np.minimum(mask, second_mask) > 0) & (np.arange(256) < (scene.animals[0].feet - 0.1) * 256)[:, None]
    assert np.median(np.abs(first.astype(int) - second)[both]) < 6
    assert np.abs(first.astype(int) - second)[mask == 0].mean() > 6


def test_tree_has_the_format_of_horse2zebra(tree):
    train = [f"{index:04d}" for index in (1, 2, 3, 4)]
    expected = {f"{split}/{name}.jpg" for split in ("trainA", "trainB") for name in train}
    for folder in ("testA", "testB", "truthA", "truthB"):
        expected |= {f"{folder}/{name}.jpg" for name in train[:3]}
    for folder in ("maskA", "maskB"):
        expected |= {f"{folder}/{name}.png" for name in train[:3]}
    assert set(contents(tree)) == expected
    for name in expected:
        with Image.open(tree / name) as image:
            form = ("PNG", "L") if name.startswith("mask") else ("JPEG", "RGB")
            assert (image.format, image.mode, image.size) == (*form, (256, 256))


@pytest.mark.parametrize("letter, code, own, other", [("A", 2, "horse", "zebra"), ("B", 3, "zebra", "horse")])
def test_truth_is_the_same_scene_in_the_other_domain(tree, letter, code, own, other):
    for index in range(3):
        scene = sample_scene(np.random.default_rng([5, code, index]))
        for folder, domain in ((f"test{letter}", own), (f"truth{letter}", other)):
            picture, mask = render(scene, domain)
            stored = read(tree / folder / f"{index + 1:04d}.jpg")
            assert np.abs(stored.astype(int) - picture).mean() < 5
        np.testing.assert_array_equal(read(tree / f"mask{letter}" / f"{index + 1:04d}.png"), mask)


def test_training_is_unpaired(tree):
    """No two pictures of the tree have the same surroundings: on the upper border there is never an animal."""
    borders = [read(path)[:4].astype(int) for split in ("trainA", "trainB", "testA", "testB")
               for path in sorted((tree / split).iterdir())]  # fmt: skip
    for index, first in enumerate(borders):
        for second in borders[:index]:
            assert np.abs(first - second).mean() > 2


def test_tree_follows_from_the_seed(tree, tmp_path):
    for name, seed in (("same", 5), ("other", 6)):
        (tmp_path / name).mkdir()
        write_horse2zebra(tmp_path / name, train_count=2, test_count=1, seed=seed)
    whole, same, other = contents(tree), contents(tmp_path / "same"), contents(tmp_path / "other")
    assert all(whole[name] == data for name, data in same.items())
    assert all(same[name] != data for name, data in other.items())


def test_tree_does_not_depend_on_the_number_of_processes(tree, tmp_path, monkeypatch):
    """map_indices works alone on so few pictures: here trainA is the first ones of 256, drawn by two processes."""

    def spread(function, count, description):
        if "trainA" in description:
            return map_indices(partial(_only_below, function, count), 256, description, workers=2)
        return map_indices(function, count, description)

    if "fork" in multiprocessing.get_all_start_methods():
        # Every process of another kind would first import all of lit_gen.data, for seconds.
        monkeypatch.setattr(parallel, "START_METHOD", "fork")
    monkeypatch.setattr("lit_gen.synthetic.animals.write.map_indices", spread)
    write_horse2zebra(tmp_path, train_count=4, test_count=3, seed=5)
    assert contents(tmp_path) == contents(tree)


def _only_below(function, count, index):
    if index < count:
        function(index)
