import gzip
import hashlib
import multiprocessing
import os
import re
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from lit_gen.data import MNIST, MNISTCaptions, mnist
from lit_gen.errors import UserError
from tests.data.stand_in import cut, garbage, page, sending, silent, status, well

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def ready(root: Path, **settings) -> MNIST:
    data = MNIST(root=root, download=False, **({"val_size": 100} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def stored(root: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels read by hand: headers of 16 and 8 bytes."""
    raw = root / "MNIST" / "raw"
    images = np.frombuffer((raw / f"{part}-images-idx3-ubyte").read_bytes()[16:], np.uint8).reshape(-1, 28, 28)
    return images, np.frombuffer((raw / f"{part}-labels-idx1-ubyte").read_bytes()[8:], np.uint8)


def rows_of(data: MNIST, split: str):
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset)))


@pytest.fixture
def copied_root(mnist_root, tmp_path) -> Path:
    shutil.copytree(mnist_root, tmp_path / "copy")
    return tmp_path / "copy"


def test_splits_are_the_first_the_last_and_the_test_digits(mnist_root):
    data = ready(mnist_root)
    images, labels = stored(mnist_root, "train")
    for split, rows in (("train", slice(0, 300)), ("val", slice(300, 400))):
        batch = rows_of(data, split)
        np.testing.assert_array_equal(batch.image[:, 0], images[rows])
        np.testing.assert_array_equal(batch.label, labels[rows])
    images, labels = stored(mnist_root, "t10k")
    np.testing.assert_array_equal(rows_of(data, "test").image[:, 0], images)
    np.testing.assert_array_equal(rows_of(data, "test").label, labels)


def test_a_checkpoints_split_gives_way_where_there_are_fewer_images(mnist_root, caplog):
    data = MNIST(mnist_root, val_size=100)
    data.load_state_dict({"split": {"val_size": 400}})
    with caplog.at_level("INFO"):
        data.setup("test")
    assert (len(data.datasets["train"]), len(data.datasets["val"])) == (300, 100)
    assert "the checkpoint's val_size is too large for 400 training images; 100 is used" in caplog.text


def test_a_checkpoints_split_holds_where_it_fits(mnist_root):
    data = MNIST(mnist_root, val_size=100)
    data.load_state_dict({"split": {"val_size": 399}})
    data.setup("test")
    assert (len(data.datasets["train"]), len(data.datasets["val"])) == (1, 399)


def test_a_split_that_does_not_fit_says_what_to_set(mnist_root):
    data = MNIST(mnist_root, val_size=500)
    data.load_state_dict({"split": {"val_size": 5000}})
    with pytest.raises(UserError, match=r"from 0 to 399, not 500: there are 400 training images. Set --data.val_size."):
        data.setup("test")


def test_types_at_each_stage(mnist_root):
    data = ready(mnist_root, batch_size=50)
    batch = next(iter(data.train_dataloader()))
    assert (batch.image.dtype, batch.image.shape) == (torch.uint8, (50, 1, 28, 28))
    assert (batch.label.dtype, batch.label.shape) == (torch.int64, (50,))
    moved = data.on_after_batch_transfer(batch, 0)
    assert (moved.image.dtype, moved.image.shape) == (torch.float32, (50, 1, 28, 28))
    assert moved.image.min() == -1  # paper
    assert 0.9 < moved.image.max() <= 1  # ink
    assert torch.equal(moved.label, batch.label)
    assert data.spec == {"image_shape": [1, 28, 28], "num_classes": 10, "attributes": []}


def test_images_stay_on_the_disk(mnist_root):
    data = ready(mnist_root)
    for dataset in data.datasets.values():
        assert isinstance(dataset.arrays[0], np.memmap)
    assert data.datasets["train"].arrays[0] is data.datasets["val"].arrays[0]


def test_thirty_two_pixels_are_twenty_eight_with_a_rim(mnist_root):
    data = ready(mnist_root, image_size=32)
    image = data.preview_batch(20).image
    assert image.shape == (20, 1, 32, 32)
    images, _ = stored(mnist_root, "train")
    expected = np.pad(images[300:320], ((0, 0), (2, 2), (2, 2)))
    np.testing.assert_array_equal(((image + 1) * 127.5).round()[:, 0], expected)
    assert data.spec["image_shape"] == [1, 32, 32]


def test_sixty_four_pixels_are_thirty_two_enlarged(mnist_root):
    small, large = (ready(mnist_root, image_size=size).preview_batch(20).image for size in (32, 64))
    assert large.shape == (20, 1, 64, 64)
    assert large.min() >= -1
    assert large.max() <= 1
    # Doubling by bilinear interpolation: each pixel of a square of four is 9/16 of the small one, and the rest is its
    # neighbours', so the mean of the four is near it and the mean of the picture is the same.
    torch.testing.assert_close(large.mean(dim=(1, 2, 3)), small.mean(dim=(1, 2, 3)), atol=1e-3, rtol=0)
    rows = small[:, :, :, :].numpy()
    expected = (
        9 * rows[:, :, 10:20, 10:20]
        + 3 * rows[:, :, 9:19, 10:20]
        + 3 * rows[:, :, 10:20, 9:19]
        + rows[:, :, 9:19, 9:19]
    ) / 16
    np.testing.assert_allclose(large[:, :, 20:40:2, 20:40:2], expected, atol=1e-5)


def test_fewer_pixels(mnist_root):
    image = ready(mnist_root, image_size=14).preview_batch(20).image
    assert image.shape == (20, 1, 14, 14)
    whole = ready(mnist_root).preview_batch(20).image
    torch.testing.assert_close(image.mean(), whole.mean(), atol=0.02, rtol=0)


def test_gzipped_files_are_read(copied_root, mnist_root):
    raw = copied_root / "MNIST" / "raw"
    for path in list(raw.iterdir()):
        (raw / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()
    data, expected = ready(copied_root), ready(mnist_root)
    for split in ("train", "val", "test"):
        assert torch.equal(rows_of(data, split).image, rows_of(expected, split).image)
        assert torch.equal(rows_of(data, split).label, rows_of(expected, split).label)


def test_files_made_by_hand(tmp_path):
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 3), ("t10k", 1)):
        images = b"".join(bytes([index + 1] * 784) for index in range(count))
        (raw / f"{part}-images-idx3-ubyte").write_bytes(struct.pack(">IIII", 0x803, count, 28, 28) + images)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">II", 0x801, count) + bytes([7, 8, 9][:count]))
    data = ready(tmp_path, val_size=1)
    assert rows_of(data, "train").label.tolist() == [7, 8]
    assert rows_of(data, "val").image.unique().tolist() == [3]
    assert rows_of(data, "test").label.tolist() == [7]


def test_a_truncated_file_is_named(copied_root):
    path = copied_root / "MNIST" / "raw" / IMAGES
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=f"{IMAGES} is truncated") as caught:
        ready(copied_root)
    assert "\n" not in str(caught.value)


def test_images_and_labels_of_different_numbers(copied_root):
    raw = copied_root / "MNIST" / "raw"
    shutil.copy(raw / "t10k-labels-idx1-ubyte", raw / LABELS)
    with pytest.raises(UserError, match=f"{IMAGES} .*400.* and {LABELS} .*100.* do not belong together"):
        ready(copied_root)


def test_labels_in_place_of_images(copied_root):
    raw = copied_root / "MNIST" / "raw"
    shutil.copy(raw / LABELS, raw / IMAGES)
    with pytest.raises(UserError, match="do not belong together"):
        ready(copied_root)


@pytest.mark.parametrize("val_size", [-1, 400, 5000])
def test_val_size_must_leave_training_images(mnist_root, val_size):
    with pytest.raises(UserError, match=f"val_size must be from 0 to 399, not {val_size}"):
        ready(mnist_root, val_size=val_size)


def test_no_validation_images(mnist_root):
    data = ready(mnist_root, val_size=0)
    assert len(data.datasets["train"]) == 400
    assert list(data.val_dataloader()) == []
    assert len(data.preview_batch(4).label) == 4


def test_a_missing_file_with_download_off(copied_root):
    raw = copied_root / "MNIST" / "raw"
    (raw / LABELS).unlink()
    with pytest.raises(UserError, match="is not there, and download is off") as caught:
        ready(copied_root)
    message = str(caught.value)
    assert "\n" not in message
    for part in (LABELS, str(raw), "https://", "data/README.md", "--data.synthetic=true"):
        assert part in message


@pytest.fixture
def sites(mirrors, monkeypatch, mnist_root):
    """Two servers that have the four files."""
    raw = mnist_root / "MNIST" / "raw"
    packed = {f"{path.name}.gz": gzip.compress(path.read_bytes()) for path in raw.iterdir()}
    for server in mirrors:
        server.files.update(packed)
    monkeypatch.setattr(mnist, "SITES", tuple(server.url for server in mirrors))
    sums = {name[:-3]: (hashlib.sha256(content).hexdigest(), len(content)) for name, content in packed.items()}
    monkeypatch.setattr(mnist, "SUMS", sums)
    return mirrors


def test_files_named_as_kaggle_does(copied_root, mnist_root):
    for path in list((copied_root / "MNIST" / "raw").iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert torch.equal(rows_of(ready(copied_root), "test").image, rows_of(ready(mnist_root), "test").image)


NAMES = sum(mnist.FILES.values(), ())


@pytest.mark.parametrize("behave", [silent, status(404), garbage, page(b"<title>Log in</title>")])
@pytest.mark.parametrize("there", [False, True])
def test_without_servers_nothing_is_left(tmp_path, sites, there, behave):
    root = tmp_path / "data"
    if there:
        root.mkdir()
    for server in sites:
        server.usual = behave
    with pytest.raises(UserError, match="could not be downloaded: .*(no answer|404|proxy|Log in)") as caught:
        MNIST(root=root).prepare_data()
    message = str(caught.value)
    assert "\n" not in message
    for part in (*NAMES, str(root / "MNIST" / "raw"), *mnist.SITES, "--data.synthetic=true"):
        assert part in message
    assert os.listdir(tmp_path) == (["data"] if there else [])
    if there:
        assert os.listdir(root) == []


@pytest.mark.parametrize("behave", [well, silent, status(503), cut(200), page(b"<title>Log in</title>"), sending(b"1")])
def test_a_download_puts_the_four_files_there(tmp_path, sites, mnist_root, behave):
    sites[0].usual = behave
    data = MNIST(root=tmp_path / "data", val_size=100)
    data.prepare_data()
    assert sorted(os.listdir(data.raw_folder)) == sorted(NAMES)
    data.setup("fit")
    assert torch.equal(rows_of(data, "test").image, rows_of(ready(mnist_root), "test").image)
    asked = len(sites[0].asked)
    data.prepare_data()  # nothing is fetched again
    assert len(sites[0].asked) == asked


def test_the_next_start_fetches_only_the_rest(tmp_path, sites):
    for server in sites:
        server.plan, server.usual = [well], cut(50)
    data = MNIST(root=tmp_path / "data", val_size=100)
    with pytest.raises(UserError, match="300 bytes are kept"):
        data.prepare_data()
    done = set(os.listdir(data.raw_folder)) & set(NAMES)
    assert done
    for server in sites:
        server.usual = well
        server.asked.clear()
    data.prepare_data()
    assert sorted(os.listdir(data.raw_folder)) == sorted(NAMES)
    assert not {name for name, _ in sites[0].asked} & {f"{name}.gz" for name in done}
    assert max(start for _, start in sites[0].asked) > 0


def test_several_starts_at_once(tmp_path, sites):
    data = MNIST(root=tmp_path, val_size=100)
    processes = [multiprocessing.get_context("fork").Process(target=data.prepare_data) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert sorted(os.listdir(data.raw_folder)) == sorted(NAMES)


@pytest.mark.parametrize("ending", ["", ".gz"])
@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda _: b"", lambda _: b"<html>Quota"])
def test_a_damaged_file_is_downloaded_again(copied_root, sites, caplog, ending, damage):
    raw = copied_root / "MNIST" / "raw"
    content = (raw / IMAGES).read_bytes()
    (raw / IMAGES).unlink()
    damaged = raw / f"{IMAGES}{ending}"
    damaged.write_bytes(damage(gzip.compress(content) if ending else content))
    with caplog.at_level("INFO"):
        MNIST(root=copied_root).prepare_data()
    assert (raw / IMAGES).read_bytes() == content
    assert f"{damaged.name}.damaged" in caplog.text and (raw / f"{damaged.name}.damaged").exists()
    assert not damaged.exists() or damaged == raw / IMAGES
    assert sites[0].asked == [(f"{IMAGES}.gz", 0)]


def test_a_damaged_file_stays_with_download_off(copied_root):
    path = copied_root / "MNIST" / "raw" / IMAGES
    path.write_bytes(b"<html>Quota")
    with pytest.raises(UserError, match=f"{IMAGES} is no IDX file"):
        ready(copied_root)
    assert path.read_bytes() == b"<html>Quota"


def test_files_of_another_kind_stay(copied_root, sites):
    """They may be the user's own: floats in the IDX format are not damaged."""
    path = copied_root / "MNIST" / "raw" / IMAGES
    path.write_bytes(b"\0\0\x0d" + path.read_bytes()[3:])
    with pytest.raises(UserError, match="values of type 0x0d"):
        MNIST(root=copied_root).prepare_data()
    assert path.exists() and not sites[0].asked


def test_sources_can_be_trusted():
    assert len(mnist.SITES) == 2 and all(url.startswith("https://") for url in mnist.SITES)
    assert "cvdf-datasets" in mnist.SITES[1]
    assert sorted(mnist.SUMS) == sorted(NAMES)
    assert {size for _, size in mnist.SUMS.values()} == {9_912_422, 28_881, 1_648_877, 4_542}  # as LeCun's page had it
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256, _ in mnist.SUMS.values())


def test_rendered_digits(tmp_path, monkeypatch):
    data = MNIST(root=tmp_path, synthetic=True, synthetic_count=120, val_size=20)
    data.prepare_data()
    raw = tmp_path / "rendered" / "mnist-120-v1" / "MNIST" / "raw"
    assert sorted(os.listdir(raw)) == sorted(sum(mnist.FILES.values(), ()))
    assert (raw / IMAGES).read_bytes()[:16] == struct.pack(">IIII", 0x803, 120, 28, 28)
    assert (raw / "t10k-labels-idx1-ubyte").read_bytes()[:8] == struct.pack(">II", 0x801, 20)
    monkeypatch.setattr(mnist, "write_mnist", None)  # a second rendering would fail
    data.prepare_data()
    data.setup("fit")
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {"train": 100, "val": 20, "test": 20}
    assert os.listdir(tmp_path) == ["rendered"]


@pytest.mark.skipif("LIT_GEN_DATA" not in os.environ, reason="LIT_GEN_DATA names no folder with MNIST/raw")
def test_real_mnist():
    root = Path(os.environ["LIT_GEN_DATA"])
    if not (root / "MNIST" / "raw").is_dir():
        pytest.skip(f"no {root / 'MNIST' / 'raw'}")
    data = MNIST(root=root, download=False)
    data.prepare_data()
    data.setup("fit")
    lengths = {split: len(dataset) for split, dataset in data.datasets.items()}
    assert lengths == {"train": 55_000, "val": 5_000, "test": 10_000}
    assert rows_of(data, "train").label[:5].tolist() == [5, 0, 4, 1, 9]
    assert rows_of(data, "test").label[:5].tolist() == [7, 2, 1, 0, 4]
    assert rows_of(data, "train").label.bincount(minlength=10).sum() == 55_000
    assert abs(float(data.preview_batch(5_000).image.mean()) - (2 * 0.1307 - 1)) < 0.01  # the known mean of MNIST


def in_training(data: MNIST) -> np.ndarray:
    """The labels (N,) of the training split as the training loader reads them."""
    dataset = data.training_dataset()
    return dataset.__getitems__(range(len(dataset))).label.numpy()


def test_a_fixed_and_balanced_set_keeps_its_labels(mnist_root):
    torch.manual_seed(5)
    data = ready(mnist_root, labelled=43)
    known, shown = rows_of(data, "train").label.numpy(), in_training(data)
    kept = shown >= 0
    assert (shown[~kept] == -1).all() and (shown[kept] == known[kept]).all()
    assert sorted(np.bincount(shown[kept], minlength=10)) == [4] * 7 + [5] * 3
    np.testing.assert_array_equal(shown, in_training(data))
    torch.manual_seed(6)
    assert (shown != in_training(data)).any(), "another seed, another set"
    torch.manual_seed(5)
    np.testing.assert_array_equal(shown, in_training(ready(mnist_root, labelled=43)))


def test_the_training_loader_alone_hides_labels(mnist_root):
    data = ready(mnist_root, labelled=20, batch_size=50)
    assert sum(int((batch.label >= 0).sum()) for batch in data.train_dataloader()) == 20
    for split in ("train", "val", "test"):  # metrics read the datasets
        assert (rows_of(data, split).label >= 0).all()
    assert (data.preview_batch(100).label >= 0).all()
    for loader in (data.val_dataloader(), data.test_dataloader(), data.predict_dataloader()):
        assert all((batch.label >= 0).all() for batch in loader)


def test_a_class_with_too_few_images_is_made_up_for_by_the_others():
    labels = np.array([0] * 50 + [1] * 3 + [2] * 50)
    kept = mnist.balanced_rows(labels, 23, seed=0)
    assert len(set(kept)) == 23 and (np.diff(kept) > 0).all()
    assert np.bincount(labels[kept]).tolist() == [10, 3, 10]


def test_all_and_no_labels(mnist_root):
    assert (in_training(ready(mnist_root, labelled=0)) == -1).all()
    everything = ready(mnist_root, labelled=300)
    np.testing.assert_array_equal(in_training(everything), rows_of(everything, "train").label)


@pytest.mark.parametrize("labelled", [-1, 301])
def test_more_labels_than_images(labelled, mnist_root):
    with pytest.raises(
        UserError, match=f"labelled must be from 0 to the number of training images, 300, not {labelled}"
    ):
        ready(mnist_root, labelled=labelled)


def test_captions_have_no_labels_to_hide(mnist_root):
    with pytest.raises(UserError, match="MNISTCaptions has no labels to hide"):
        MNISTCaptions(root=mnist_root, labelled=10)


def test_all_training_images_are_for_published_metrics(mnist_root):
    """Also those that are held back for validation; captions make no difference."""
    for kind in (MNIST, MNISTCaptions):
        data = kind(root=mnist_root, download=False, val_size=100)
        data.setup("test")
        images = data.all_training
        assert len(images) == 400 and len(data.datasets["train"]) == 300
        batch = data.to_floats(images.__getitems__([0, 399]), flip=False)
        assert torch.equal(batch.image[1], data.to_floats(data.datasets["val"].__getitems__([99]), flip=False).image[0])
