import hashlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import Callback
from PIL import Image

from lit_gen.data import Horse2Zebra, horse2zebra
from lit_gen.data.batches import UnpairedImages
from lit_gen.data.horse2zebra import UnpairedDataset
from lit_gen.errors import UserError
from lit_gen.models import CycleGAN
from tests.data.stand_in import cut, page, silent, status, well
from tests.models import tiny

PARTS = ("trainA", "trainB", "testA", "testB")


def ready(root: Path, **settings) -> Horse2Zebra:
    data = Horse2Zebra(root=root, download=False, **({"image_size": 16, "load_size": 20, "batch_size": 4} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def numbered(count: int) -> np.ndarray:
    """Images of which each shows its number."""
    return np.tile(np.arange(count, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 3))


def numbers(image: torch.Tensor) -> list[int]:
    return image[:, 0, 0, 0].tolist()


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def copied_root(horse2zebra_root, tmp_path) -> Path:
    """A copy, linked to save time: replace files in it, do not write into them."""
    source = horse2zebra_root / "horse2zebra"
    shutil.copytree(source, tmp_path / "copy" / "horse2zebra", copy_function=os.link)
    return tmp_path / "copy"


# ----------------------------------------------------------------------------------------------------------- the pairs


@pytest.mark.parametrize(("count_a", "count_b"), [(7, 3), (3, 7), (5, 5)])
@pytest.mark.parametrize("fixed", [False, True])
def test_an_epoch_shows_each_picture_of_the_longer_domain_once(count_a, count_b, fixed):
    dataset = UnpairedDataset(numbered(count_a), numbered(count_b), fixed)
    assert len(dataset) == max(count_a, count_b)
    batch = dataset.__getitems__(list(range(len(dataset))))
    longer = batch.image_a if count_a >= count_b else batch.image_b
    assert numbers(longer) == list(range(len(dataset)))
    assert len(batch.image_a) == len(batch.image_b) == len(dataset)


@pytest.mark.parametrize(("count_a", "count_b"), [(7, 3), (3, 7), (5, 5)])
def test_partners_in_training_are_random(count_a, count_b):
    torch.manual_seed(0)
    dataset = UnpairedDataset(numbered(count_a), numbered(count_b), fixed=False)
    batch = dataset.__getitems__([2] * 700)
    own, other = (batch.image_a, batch.image_b) if count_a >= count_b else (batch.image_b, batch.image_a)
    assert set(numbers(own)) == {2}
    counts = np.bincount(numbers(other))
    expected = 700 / min(count_a, count_b)
    assert len(counts) == min(count_a, count_b)
    assert np.all(np.abs(counts - expected) < 5 * expected**0.5)


def test_partners_in_tests_are_fixed():
    dataset = UnpairedDataset(numbered(7), numbered(3), fixed=True)
    for _ in range(3):
        assert numbers(dataset.__getitems__([0, 4, 6]).image_b) == [0, 1, 0]


def test_one_index_is_one_pair(horse2zebra_root):
    pair = ready(horse2zebra_root).datasets["train"][3]
    assert pair.image_a.shape == pair.image_b.shape == (3, 20, 20)


def test_lengths_of_the_splits(horse2zebra_root):
    data = ready(horse2zebra_root)
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {"train": 11, "val": 1, "test": 4}


def files_of(data: Horse2Zebra, split: str, domain: int) -> set[int]:
    """The numbers, in the order of their names, of the training files that a split shows."""
    dataset = data.datasets[split]
    assert dataset.domains[domain] is data.sets[f"train{'AB'[domain]}"].images
    return set(dataset.rows_of[domain].tolist())


def test_validation_shows_training_files_that_training_does_not(horse2zebra_root):
    data = ready(horse2zebra_root, val_fraction=0.4)
    for domain in range(2):
        train, val = (files_of(data, split, domain) for split in ("train", "val"))
        assert not train & val and train | val == set(range(12)) and val
    counts = [len(rows) for rows in data.datasets["val"].rows_of]
    assert len(data.datasets["val"]) == max(counts)
    pair = data.datasets["val"][0]
    row = data.datasets["val"].rows_of[0][0]
    middle = data.sets["trainA"].images[row][2:18, 2:18]  # of 20 pixels
    np.testing.assert_array_equal(pair.image_a.permute(1, 2, 0), middle)
    assert data.preview_batch(1).image_a.shape == (1, 3, 16, 16)
    seen = {image.numpy().tobytes() for batch in data.train_dataloader() for image in batch.image_a}
    assert seen <= {
        np.ascontiguousarray(data.sets["trainA"].images[row].transpose(2, 0, 1)).tobytes()
        for row in files_of(data, "train", 0)
    }


def test_more_files_move_none(copied_root):
    before = ready(copied_root, val_fraction=0.4)
    folder = copied_root / "horse2zebra" / "trainA"
    kept = files_of(before, "val", 0)
    for number in range(100, 130):
        shutil.copy(folder / "0001.jpg", folder / f"{number:04d}.jpg")
    after = ready(copied_root, val_fraction=0.4)
    assert {row for row in files_of(after, "val", 0) if row < 12} == kept
    assert files_of(after, "val", 1) == files_of(before, "val", 1)


def test_a_run_of_before_keeps_the_test_images_for_validation(horse2zebra_root):
    data = ready(horse2zebra_root)
    new = data.state_dict()
    data.load_state_dict({"order_seed": 0})
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {"train": 12, "val": 4, "test": 4}
    assert data.datasets["val"] is data.datasets["test"]
    fresh = ready(horse2zebra_root)
    fresh.load_state_dict(data.state_dict())
    assert len(fresh.datasets["train"]) == 12
    fresh.load_state_dict(new)
    assert len(fresh.datasets["train"]) == 11


def test_uneven_domains(copied_root):
    for number in (2, 3, 4):
        (copied_root / "horse2zebra" / "testA" / f"{number:04d}.jpg").unlink()
    for number in range(6, 13):
        (copied_root / "horse2zebra" / "trainB" / f"{number:04d}.jpg").unlink()
    data = ready(copied_root)
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {"train": 11, "val": 1, "test": 4}
    [batch] = data.test_dataloader()
    assert torch.equal(batch.image_a, batch.image_a[:1].expand(4, -1, -1, -1))
    assert sum(len(batch.image_b) for batch in data.train_dataloader()) == 8  # whole batches of 4 among 11


# -------------------------------------------------------------------------------------------------------- the pictures


def test_types_at_each_stage(horse2zebra_root):
    data = ready(horse2zebra_root)
    batch = next(iter(data.train_dataloader()))
    moved = data.on_after_batch_transfer(batch, 0)
    for before, after in zip(batch, moved, strict=True):
        assert (before.dtype, before.shape) == (torch.uint8, (4, 3, 20, 20))
        assert (after.dtype, after.shape) == (torch.float32, (4, 3, 16, 16))
        assert -1 <= after.min() < after.max() <= 1
    [batch] = data.test_dataloader()
    assert batch.image_a.shape == batch.image_b.shape == (4, 3, 16, 16)
    assert data.spec == {"image_shape": [3, 16, 16], "num_classes": 0, "attributes": []}
    for dataset in data.datasets.values():
        assert all(isinstance(images, np.memmap) for images in dataset.domains)


def test_test_pictures_are_those_of_the_folders(horse2zebra_root):
    [batch] = ready(horse2zebra_root, image_size=256, load_size=256).test_dataloader()
    for part, images in (("testA", batch.image_a), ("testB", batch.image_b)):
        for number in (1, 4):
            with Image.open(horse2zebra_root / "horse2zebra" / part / f"{number:04d}.jpg") as image:
                np.testing.assert_array_equal(images[number - 1].permute(1, 2, 0), np.asarray(image))


def test_crops_lie_within_the_pictures_everywhere_and_are_the_same_for_a_batch():
    torch.manual_seed(0)
    data = Horse2Zebra(image_size=4, load_size=6, horizontal_flip=False)
    places = torch.arange(36, dtype=torch.uint8).reshape(1, 1, 6, 6).expand(3, 3, 6, 6)
    seen = set()
    for _ in range(300):
        batch = data.to_floats(UnpairedImages(places, places), flip=False)
        corners = []
        for image in batch:
            found = ((image + 1) * 127.5).round().long()
            assert found.shape == (3, 3, 4, 4)
            top, left = divmod(int(found[0, 0, 0, 0]), 6)
            expected = places[:, :, top : top + 4, left : left + 4]
            assert torch.equal(found, expected.long())
            corners.append((top, left))
        seen.add(tuple(corners))
    corners = [(top, left) for top in range(3) for left in range(3)]
    assert {pair[0] for pair in seen} == {pair[1] for pair in seen} == set(corners)
    assert any(first != second for first, second in seen)  # a place of its own for each domain


class Draws(Callback):
    """Draws something after each training batch, and keeps the images that the next one has."""

    def __init__(self, count: int) -> None:
        self.count, self.seen = count, []

    def on_train_batch_start(self, trainer, model, batch, index) -> None:
        self.seen += [image.clone() for image in batch]

    def on_train_batch_end(self, *_) -> None:
        torch.rand(self.count)


@pytest.mark.parametrize("flip", [False, True])
def test_random_crops_depend_on_the_place_in_a_training_alone(flip, horse2zebra_root, tmp_path):
    """So a resumed run has those of the unbroken one, whatever callbacks and validations drew."""
    seen = []
    for count in (1, 1, 100):
        data = ready(horse2zebra_root, batch_size=1, horizontal_flip=flip, load_size=32)
        torch.manual_seed(0)
        model, callback = tiny.build(CycleGAN, channels=3), Draws(count)
        tiny.trainer(tmp_path, max_epochs=2, callbacks=[callback]).fit(model, datamodule=data)
        seen.append(torch.stack(callback.seen))
    assert len(seen[0]) >= 8 and torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])


def test_the_usual_load_size_is_that_of_the_paper():
    assert Horse2Zebra().load_size == 286
    assert Horse2Zebra(image_size=128).load_size == 143


def test_load_size_must_leave_room_for_the_crop():
    with pytest.raises(UserError, match=r"load_size \(15\) must not be smaller than image_size \(16\)"):
        Horse2Zebra(image_size=16, load_size=15)


def test_preview_is_the_same_each_time(horse2zebra_root):
    data = ready(horse2zebra_root, val_fraction=0.5)
    first, second = data.preview_batch(3), data.preview_batch(3)
    assert first.image_a.shape == (3, 3, 16, 16)
    assert torch.equal(first.image_a, second.image_a)
    assert torch.equal(first.image_b, second.image_b)


def test_preview_of_training_images_is_the_same_each_time_and_their_middle(horse2zebra_root):
    data = ready(horse2zebra_root, val_fraction=0)
    first, second = data.preview_batch(3), data.preview_batch(3)
    training = data.datasets["train"]
    for number, (image, again) in enumerate(zip(first, second, strict=True)):
        assert torch.equal(image, again)
        stored = training.domains[number][training.rows_of[number][:3], 2:18, 2:18]  # of 20 pixels
        assert torch.allclose(image, torch.from_numpy(stored).permute(0, 3, 1, 2) / 127.5 - 1, atol=1e-6)


def test_a_damaged_picture_is_named(copied_root):
    path = copied_root / "horse2zebra" / "trainB" / "0005.jpg"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="trainB/0005.jpg") as caught:
        ready(copied_root)
    one_line(caught)


def test_damaged_pictures_are_skipped_on_request(copied_root, horse2zebra_root, caplog):
    for part, number in (("trainB", 5), ("testA", 2)):
        path = copied_root / "horse2zebra" / part / f"{number:04d}.jpg"
        path.unlink()
        path.write_bytes(b"no image")
    with caplog.at_level("INFO"):
        found = ready(copied_root, skip_broken=True).sets
    whole = ready(horse2zebra_root).sets
    for part, row in (("trainB", 4), ("testA", 1), ("trainA", None), ("testB", None)):
        expected = whole[part].images if row is None else np.delete(whole[part].images, row, axis=0)
        np.testing.assert_array_equal(found[part].images, expected)
    for line in ("1 of the 12 files for horse2zebra-trainB", "1 of the 4 files for horse2zebra-testA"):
        assert line in caplog.text


# ---------------------------------------------------------------------------------------------------- getting the files


def make_zip(root: Path, name: str = "horse2zebra") -> bytes:
    """Replaces a set's folder by the zip file of the distribution, and gives its content."""
    with zipfile.ZipFile(root / f"{name}.zip", "w") as zipped:
        for path in sorted((root / name).rglob("*.jpg")):
            zipped.write(path, path.relative_to(root))
    shutil.rmtree(root / name)
    return (root / f"{name}.zip").read_bytes()


def test_a_zip_file_put_there_by_hand_is_unpacked(copied_root, horse2zebra_root):
    make_zip(copied_root)
    [found], [expected] = (ready(root).test_dataloader() for root in (copied_root, horse2zebra_root))
    assert torch.equal(found.image_a, expected.image_a)
    assert torch.equal(found.image_b, expected.image_b)


def test_a_zip_file_cut_short_is_named(copied_root):
    content = make_zip(copied_root)
    (copied_root / "horse2zebra.zip").write_bytes(content[:-1000])
    with pytest.raises(UserError, match="horse2zebra.zip is damaged or cut short .*zip.damaged") as caught:
        ready(copied_root)
    one_line(caught)
    assert os.listdir(copied_root) == ["horse2zebra.zip.damaged"]


def test_a_zip_file_that_leads_out_is_refused(copied_root):
    make_zip(copied_root)
    with zipfile.ZipFile(copied_root / "horse2zebra.zip", "a") as zipped:
        zipped.writestr("/evil", b"evil")
    with pytest.raises(UserError, match="unsafe path '/evil'"):
        ready(copied_root)
    assert os.listdir(copied_root) == ["horse2zebra.zip"]


def assert_tells_how(message: str, root: Path) -> None:
    for part in (*(f"{part}/" for part in PARTS), str(root), "horse2zebra.zip", horse2zebra.SITE, "data/README.md"):
        assert part in message
    assert "--data.synthetic=true" in message


def test_nothing_there_and_download_off(tmp_path):
    with pytest.raises(UserError, match="horse2zebra is not there, and download is off") as caught:
        ready(tmp_path / "data")
    assert_tells_how(one_line(caught), tmp_path / "data")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def site(mirrors, monkeypatch, copied_root):
    """The first of two servers that have the set; the list of what was asked of it is `asked`."""
    content = make_zip(copied_root)
    for server in mirrors:
        server.files["horse2zebra.zip"] = content
    monkeypatch.setattr(horse2zebra, "SITE", mirrors[0].url)
    monkeypatch.setattr(horse2zebra, "MIRROR", mirrors[1].url)
    monkeypatch.setitem(horse2zebra.SETS, "horse2zebra", (hashlib.sha256(content).hexdigest(), len(content)))
    return mirrors[0]


@pytest.mark.parametrize("behave", [silent, status(404), page(b"<title>Log in</title>")])
@pytest.mark.parametrize("there", [False, True])
def test_without_servers_nothing_is_left(tmp_path, site, mirrors, there, behave):
    root = tmp_path / "data"
    if there:
        root.mkdir()
    for server in mirrors:
        server.usual = behave
    with pytest.raises(UserError, match="no answer|404|Log in") as caught:
        Horse2Zebra(root=root).prepare_data()
    assert_tells_how(one_line(caught), root)
    assert root.exists() == there
    assert not there or os.listdir(root) == []


def test_a_download_is_unpacked_and_made_once(tmp_path, site):
    data = Horse2Zebra(root=tmp_path / "data", image_size=16)
    data.prepare_data()
    data.prepare_data()
    assert site.asked == [("horse2zebra.zip", 0)]
    assert set(PARTS) <= set(os.listdir(data.folder))


def test_a_download_goes_on_at_the_other_site_and_at_the_next_start(tmp_path, site, mirrors):
    for server in mirrors:
        server.usual = cut(1000)
    data = Horse2Zebra(root=tmp_path / "data", image_size=16)
    with pytest.raises(UserError, match="6,000 bytes are kept") as caught:
        data.prepare_data()
    assert_tells_how(one_line(caught), data.root)
    assert [start for _, start in site.asked] == [0, 2000, 4000]
    site.usual = well
    data.prepare_data()
    assert site.asked[-1] == ("horse2zebra.zip", 6000)
    assert set(PARTS) <= set(os.listdir(data.folder))


def test_a_damaged_zip_file_is_downloaded_again(tmp_path, site, caplog):
    data = Horse2Zebra(root=tmp_path / "data", image_size=16)
    data.root.mkdir()
    (data.root / "horse2zebra.zip").write_bytes(b"<html>Quota exceeded</html>")
    with caplog.at_level("INFO"):
        data.prepare_data()
    assert "horse2zebra.zip is damaged or cut short" in caplog.text and "downloaded again" in caplog.text
    assert (data.root / "horse2zebra.zip.damaged").read_bytes() == b"<html>Quota exceeded</html>"
    assert set(PARTS) <= set(os.listdir(data.folder))


def test_sources_can_be_trusted():
    assert all(url.startswith("https://") for url in (horse2zebra.SITE, horse2zebra.MIRROR))
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) and size > 10**7 for sha256, size in horse2zebra.SETS.values())
    assert horse2zebra.SETS["horse2zebra"] == (  # as TensorFlow Datasets records it
        "a74d9d392eecca9966b51287a76ca126af473d9de4f3e8fc0e9cda08fa1730a1", 116_867_962
    )  # fmt: skip


def test_a_misspelt_set_gets_a_hint_and_asks_no_server(tmp_path, monkeypatch):
    monkeypatch.setattr(horse2zebra, "fetch", None)
    with pytest.raises(
        UserError, match="horses2zebra is not one of the public sets. Did you mean horse2zebra"
    ) as caught:
        Horse2Zebra(root=tmp_path, dataset="horses2zebra").prepare_data()
    one_line(caught)


def test_a_set_of_your_own(copied_root):
    (copied_root / "horse2zebra").rename(copied_root / "cats and dögs")
    assert len(ready(copied_root, dataset="cats and dögs").datasets["train"]) == 11


def test_a_missing_part_is_named(copied_root):
    shutil.rmtree(copied_root / "horse2zebra" / "testB")
    with pytest.raises(UserError, match="testB is missing"):
        ready(copied_root)


def test_an_empty_part_is_named(copied_root):
    for path in (copied_root / "horse2zebra" / "trainA").iterdir():
        path.unlink()
    with pytest.raises(UserError, match="no image file below .*horse2zebra/trainA"):
        ready(copied_root)


def test_rendered_animals(tmp_path, monkeypatch):
    written = []

    def write(folder, train_count, test_count):
        written.append((train_count, test_count))
        original(folder, 5, 2)  # fewer, to save time

    original = horse2zebra.write_horse2zebra
    monkeypatch.setattr(horse2zebra, "write_horse2zebra", write)
    data = Horse2Zebra(root=tmp_path, image_size=16, synthetic=True, synthetic_count=100)
    data.prepare_data()
    data.prepare_data()
    assert written == [(100, 10)]
    folder = tmp_path / "rendered" / "horse2zebra-100-v1" / "horse2zebra"
    assert set(PARTS) <= set(os.listdir(folder))
    with Image.open(folder / "trainA" / "0001.jpg") as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (256, 256), "RGB")
    data.setup("fit")
    assert [len(data.datasets[split]) for split in ("train", "val", "test")] == [4, 1, 2]
    assert os.listdir(tmp_path) == ["rendered"]
