import csv
import hashlib
import os
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.data import CelebA, cache, celeba, celeba_files
from lit_gen.data.celeba import read_attributes, read_partition
from lit_gen.errors import UserError
from lit_gen.synthetic.faces.names import ATTRIBUTES
from tests.data.stand_in import StandIn, cut, garbage, page, sending, silent, status, well

LISTS = ("list_attr_celeba.txt", "list_eval_partition.txt")


def ready(root: Path, **settings) -> CelebA:
    data = CelebA(root=root, download=False, **({"image_size": 16, "batch_size": 8} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def rows_of(data: CelebA, split: str):
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset)))


def listed(root: Path) -> dict[str, dict[str, int]]:
    """The attributes by file and name, parsed by hand."""
    lines = (root / "celeba" / LISTS[0]).read_text().split("\n")
    names = lines[1].split()
    return {line.split()[0]: dict(zip(names, map(int, line.split()[1:]), strict=True)) for line in lines[2:] if line}


@pytest.fixture
def copied_root(celeba_root, tmp_path) -> Path:
    """A copy, linked to save time: replace files in it, do not write into them."""
    shutil.copytree(celeba_root / "celeba", tmp_path / "copy" / "celeba", copy_function=os.link)
    return tmp_path / "copy"


def rewrite(path: Path, content: str | bytes) -> None:
    path.unlink()  # it is a link to the common tree's
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- the pictures


def test_splits_follow_the_list(celeba_root):
    data = ready(celeba_root)
    assert {split: len(dataset) for split, dataset in data.datasets.items()} == {"train": 96, "val": 12, "test": 12}
    rows = [line.split() for line in (celeba_root / "celeba" / LISTS[1]).read_text().splitlines()]
    for split, code in (("train", "0"), ("val", "1"), ("test", "2")):
        assert data.datasets[split].rows.tolist() == [row for row, (_, found) in enumerate(rows) if found == code]


def test_splits_need_not_be_in_order(copied_root):
    path = copied_root / "celeba" / LISTS[1]
    lines = path.read_text().splitlines()
    rewrite(path, "\n".join(line[:-1] + str(row % 3) for row, line in list(enumerate(lines))[::-1]) + "\n")
    data = ready(copied_root)
    assert data.datasets["val"].rows.tolist() == list(range(1, 120, 3))


def test_types_at_each_stage(celeba_root):
    data = ready(celeba_root)
    batch = next(iter(data.train_dataloader()))
    assert (batch.image.dtype, batch.image.shape) == (torch.uint8, (8, 3, 16, 16))
    assert (batch.attributes.dtype, batch.attributes.shape) == (torch.float32, (8, 40))
    moved = data.on_after_batch_transfer(batch, 0)
    assert (moved.image.dtype, moved.image.shape) == (torch.float32, (8, 3, 16, 16))
    assert -1 <= moved.image.min() < moved.image.max() <= 1
    assert data.spec == {"image_shape": [3, 16, 16], "num_classes": 0, "attributes": list(ATTRIBUTES)}
    assert isinstance(data.datasets["train"].arrays[0], np.memmap)


def test_the_usual_crop_is_the_middle_square(celeba_root):
    data = ready(celeba_root, image_size=178)
    with Image.open(celeba_root / "celeba" / "img_align_celeba" / "000109.jpg") as image:
        expected = np.asarray(image)[20:198]
    np.testing.assert_array_equal(rows_of(data, "test").image[0].permute(1, 2, 0), expected)


def test_a_crop_lies_where_it_was_asked_for(celeba_root):
    data = ready(celeba_root, image_size=128, crop_size=128, crop_center=(89, 121))
    with Image.open(celeba_root / "celeba" / "img_align_celeba" / "000098.jpg") as image:
        expected = np.asarray(image)[57:185, 25:153]
    np.testing.assert_array_equal(rows_of(data, "val").image[1].permute(1, 2, 0), expected)


def test_a_crop_is_averaged_down(celeba_root):
    data = ready(celeba_root, image_size=64, crop_size=128, crop_center=(89, 121))
    with Image.open(celeba_root / "celeba" / "img_align_celeba" / "000001.jpg") as image:
        crop = np.asarray(image)[57:185, 25:153]
    mean = crop.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    assert np.abs(rows_of(data, "train").image[0].permute(1, 2, 0).numpy() - mean).max() <= 1


@pytest.mark.parametrize(
    "settings", [{"crop_size": 179}, {"crop_size": 0}, {"crop_size": 128, "crop_center": (63, 109)},
                 {"crop_size": 128, "crop_center": (89, 155)}],
)  # fmt: skip
def test_a_crop_must_lie_within_the_picture(settings):
    with pytest.raises(UserError, match="does not lie within CelebA's 178x218"):
        CelebA(**settings)


def test_the_second_use_decodes_nothing(celeba_root, monkeypatch):
    first = rows_of(ready(celeba_root), "test").image
    monkeypatch.setattr(cache, "decode_image", None)
    assert torch.equal(rows_of(ready(celeba_root), "test").image, first)


def test_another_crop_decodes_anew(celeba_root):
    usual, tight = ready(celeba_root), ready(celeba_root, crop_size=100)
    assert not torch.equal(rows_of(usual, "test").image, rows_of(tight, "test").image)


@pytest.mark.parametrize("damage", ["cut", "emptied", "removed"])
def test_a_damaged_picture_is_named(copied_root, damage):
    path = copied_root / "celeba" / "img_align_celeba" / "000077.jpg"
    content = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"")
    with pytest.raises(UserError, match="img_align_celeba/000077.jpg") as caught:
        ready(copied_root)
    one_line(caught)
    assert not list(copied_root.glob("cache/*"))


def test_a_picture_of_another_size_is_named(copied_root):
    path = copied_root / "celeba" / "img_align_celeba" / "000005.jpg"
    path.unlink()
    Image.new("RGB", (409, 687)).save(path)  # the pictures in the wild have any size: the crop would miss the face
    with pytest.raises(UserError, match="000005.jpg .it has 409x687 pixels, not 178x218"):
        ready(copied_root)


BROKEN = (2, 33, 97, 110)  # rows of training, validation and test


def break_some(root: Path) -> None:
    for row in BROKEN:
        path = root / "celeba" / "img_align_celeba" / f"{row + 1:06d}.jpg"
        content = path.read_bytes()
        path.unlink()
        if row != 33:
            path.write_bytes(content[: len(content) // 2])


def test_attributes_stay_with_their_pictures_when_some_are_skipped(copied_root, celeba_root, caplog):
    break_some(copied_root)
    with caplog.at_level("INFO"):
        found = ready(copied_root, skip_broken=True)
    assert "skipped 4 of the 120 files for celeba" in caplog.text
    assert "000003.jpg, 000034.jpg, 000098.jpg and 1 more" in caplog.text
    whole = ready(celeba_root)
    for split in ("train", "val", "test"):
        kept = [place for place, row in enumerate(whole.datasets[split].rows) if row not in BROKEN]
        expected, batch = whole.datasets[split].__getitems__(kept), rows_of(found, split)
        assert torch.equal(batch.image, expected.image) and torch.equal(batch.attributes, expected.attributes)


# ----------------------------------------------------------------------------------------------------- the attributes


def test_all_attributes_in_the_official_order(celeba_root):
    expected = np.array([list(row.values()) for row in listed(celeba_root).values()])[108:] == 1
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(rows_of(ready(celeba_root), "test").attributes, expected)
    header = (celeba_root / "celeba" / LISTS[0]).read_text().splitlines()[1]
    assert (header.split()[0], header.split()[20], header.split()[39]) == ("5_o_Clock_Shadow", "Male", "Young")


def test_chosen_attributes_in_the_chosen_order(celeba_root):
    chosen = ["Young", "Black_Hair", "Male"]
    data = ready(celeba_root, attributes=chosen)
    expected = [[float(row[name] == 1) for name in chosen] for row in listed(celeba_root).values()][:96]
    assert rows_of(data, "train").attributes.tolist() == expected
    assert data.spec["attributes"] == chosen


def test_attributes_stay_with_their_pictures_when_shuffled(celeba_root):
    data = ready(celeba_root)
    ordered = rows_of(data, "train")
    place = {image.numpy().tobytes(): row for row, image in enumerate(ordered.image)}
    for batch in data.train_dataloader():
        rows = [place[image.numpy().tobytes()] for image in batch.image]
        assert torch.equal(batch.attributes, ordered.attributes[rows])


@pytest.mark.parametrize(("wrong", "near"), [("smiling", "Smiling"), ("Blonde_Hair", "Blond_Hair"), ("Yung", "Young")])
def test_a_misspelt_attribute_gets_a_hint(wrong, near):
    with pytest.raises(UserError, match=f"no attribute '{wrong}'. Did you mean {near}?") as caught:
        CelebA(attributes=["Male", wrong])
    one_line(caught)


def attribute_list(tmp_path: Path, text: str) -> Path:
    path = tmp_path / LISTS[0]
    path.write_bytes(text.encode())
    return path


HEADER = " ".join(ATTRIBUTES)
ROW = " ".join(["-1", " 1"] * 20)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_attribute_list_made_by_hand(tmp_path, end):
    names, values = read_attributes(
        attribute_list(tmp_path, end.join(["2", HEADER + " ", f"b.jpg {ROW}", "a.jpg " + "1 " * 40, ""]))
    )
    assert names == ["b.jpg", "a.jpg"]
    assert values.dtype == np.float32
    assert values.tolist() == [[0, 1] * 20, [1] * 40]


ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n", " \r\n"])
@pytest.mark.parametrize("after", ["", "\n", "\r\n\r\n", "  \n\t\n"])
def test_lists_saved_by_any_editor(tmp_path, encoding, end, after):
    """With byte order marks, blank lines, and the ends of lines of any system."""
    path = tmp_path / LISTS[0]
    path.write_bytes((end.join(["1", HEADER, f"a.jpg {ROW}"]) + after).encode(encoding))
    names, values = read_attributes(path)
    assert names == ["a.jpg"] and values.tolist() == [[0, 1] * 20]
    path.write_bytes((end.join(["a.jpg 2", "b.jpg 0"]) + after).encode(encoding))
    assert read_partition(path, ["a.jpg", "b.jpg"]).tolist() == [2, 0]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("between", [",", ";", ", ", "\t"])
@pytest.mark.parametrize("quote", ["", '"'])
def test_lists_of_kaggle(tmp_path, encoding, between, quote):
    """As they are, and as a spreadsheet saves them."""

    def text(*rows: list[str]) -> bytes:
        lines = [between.join(f"{quote}{word}{quote}" for word in row) for row in rows]
        return "\r\n".join([*lines, ""]).encode(encoding)

    path = tmp_path / "list.csv"
    path.write_bytes(text(["image_id", *ATTRIBUTES], ["b.jpg", *ROW.split()], ["a.jpg", *["1"] * 40]))
    names, values = read_attributes(path)
    assert names == ["b.jpg", "a.jpg"] and values.tolist() == [[0, 1] * 20, [1] * 40]
    path.write_bytes(text(["image_id", "partition"], ["a.jpg", "2"], ["b.jpg", "0"]))
    assert read_partition(path, names).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([["image_id", *ATTRIBUTES[::-1]], ["a", *["1"] * 40]], "attribute names"),
        ([["image_id", *ATTRIBUTES], ["a", *["1"] * 39]], "40 values"),
        ([["image_id", *ATTRIBUTES], ["a", *["0"] * 40]], "40 values"),
        ([["a", *["1"] * 40], ["b", *["1"] * 40]], "attribute names"),
    ],
)
def test_a_defective_list_of_kaggle(tmp_path, rows, complaint):
    path = attribute_list(tmp_path, "\n".join(",".join(row) for row in rows))
    with pytest.raises(UserError, match=f"is not CelebA's list of attributes .*{complaint}") as caught:
        read_attributes(path)
    one_line(caught)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["3", HEADER, f"a {ROW}", f"b {ROW}"], "says 3 images, but 2 follow"),
        (["1", HEADER, f"a {ROW}", f"b {ROW}"], "says 1 images, but 2 follow"),
        (["2", HEADER, f"a {ROW}", f"a {ROW}"], "listed twice"),
        (["1", HEADER, f"a {ROW} 1"], "40 values"),
        (["1", HEADER, f"a {ROW[:-2]}"], "40 values"),
        (["1", HEADER, f"a {ROW[:-1]}0"], "40 values"),
        (["1", HEADER, f"a {ROW[:-1]}300"], "40 values"),
        (["1", HEADER, f"a {ROW[:-1]}x"], "40 values"),
        (["1", HEADER.replace("Male Mouth_Slightly_Open", "Mouth_Slightly_Open Male"), f"a {ROW}"], "attribute names"),
        (["1", HEADER, f"../a {ROW}"], "'../a' is no name of a file"),
        (["2", HEADER, f"a {ROW}", f"/etc/a.jpg {ROW}"], "'/etc/a.jpg' is no name of a file"),
        (["1", HEADER, f"in/a.jpg {ROW}"], "'in/a.jpg' is no name of a file"),
        (["1", HEADER, f"..\\a.jpg {ROW}"], "is no name of a file"),
        (["1", HEADER, f"C:a.jpg {ROW}"], "'C:a.jpg' is no name of a file"),
        (["1", HEADER, f".. {ROW}"], "'..' is no name of a file"),
        (["1", HEADER, f"a\0.jpg {ROW}"], "is no name of a file"),
        (["<html>", "Quota exceeded"], "invalid literal"),
        (["1"], "less than two lines"),
        ([""], "less than two lines"),
    ],
)
def test_a_defective_attribute_list(tmp_path, lines, complaint):
    path = attribute_list(tmp_path, "\n".join(lines) + "\n")
    with pytest.raises(UserError, match=f"{path} is not CelebA's list of attributes .*{complaint}") as caught:
        read_attributes(path)
    one_line(caught)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_partition_made_by_hand(tmp_path, end):
    path = attribute_list(tmp_path, end.join(["a 2", "b 0", "c 1", "d 0", ""]))
    assert read_partition(path, ["b", "c", "a"]).tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a 0\n", "does not list the image 'b'"),
        ("a 0\nb 3\n", "none of 0, 1, 2"),
        ("a 0\nb x\n", "invalid literal"),
        ("a 0\nb\n", "unpack"),
        ("a 0\nb 1\nb 2\n", "listed twice"),
    ],
)
def test_a_defective_partition(tmp_path, text, complaint):
    path = attribute_list(tmp_path, text)
    with pytest.raises(UserError, match=complaint) as caught:
        read_partition(path, ["a", "b"])
    assert str(path) in one_line(caught)


@pytest.mark.parametrize("read", [read_attributes, lambda path: read_partition(path, ["a"])])
@pytest.mark.parametrize("content", [b"\xff\xfe\x00", None])
def test_an_unreadable_list(tmp_path, read, content):
    path = tmp_path / "list.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="cannot read .*list.txt") as caught:
        read(path)
    one_line(caught)


# ----------------------------------------------------------------------------------------------- getting the files


def zip_images(folder: Path) -> None:
    """Replaces img_align_celeba/ by the zip file of the distribution."""
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as zipped:
        for path in sorted((folder / "img_align_celeba").iterdir()):
            zipped.write(path, f"img_align_celeba/{path.name}")
    shutil.rmtree(folder / "img_align_celeba")


def test_a_zip_file_put_there_by_hand_is_unpacked(copied_root, celeba_root):
    zip_images(copied_root / "celeba")
    data = ready(copied_root)
    assert len(os.listdir(copied_root / "celeba" / "img_align_celeba")) == 120
    assert torch.equal(rows_of(data, "val").image, rows_of(ready(celeba_root), "val").image)


def test_a_zip_file_cut_short_is_named(copied_root):
    folder = copied_root / "celeba"
    zip_images(folder)
    archive = folder / "img_align_celeba.zip"
    archive.write_bytes(archive.read_bytes()[:-1000])
    with pytest.raises(UserError, match="img_align_celeba.zip is damaged or cut short") as caught:
        ready(copied_root)
    assert_tells_how(one_line(caught), copied_root, "img_align_celeba.zip")
    assert {path.name for path in folder.iterdir() if "img" in path.name} == {"img_align_celeba.zip.damaged"}


def test_a_zip_file_that_leads_out_is_refused(copied_root):
    folder = copied_root / "celeba"
    zip_images(folder)
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "a") as zipped:
        zipped.writestr("img_align_celeba/../../../evil", b"evil")
    with pytest.raises(UserError, match="unsafe path"):
        ready(copied_root)
    assert not list(copied_root.parent.rglob("evil"))
    assert not (folder / "img_align_celeba").exists()


def assert_tells_how(message: str, root: Path, *missing: str) -> None:
    """That the message has the whole links of the missing files in a browser, and the way by Kaggle."""
    for part in ("img_align_celeba/", str(root / "celeba"), "mmlab.ie.cuhk.edu.hk", "--data.synthetic=true"):
        assert part in message
    assert "https://www.kaggle.com/datasets/jessicali9530/celeba-dataset " in message
    for name in missing or ("img_align_celeba.zip", *LISTS):
        link = celeba_files.ON_DRIVE[name].replace("&", "/view?")
        assert name in message and f"https://drive.google.com/file/d/{link} " in message


def test_nothing_there_and_download_off(tmp_path):
    with pytest.raises(UserError, match="CelebA is not there, and download is off") as caught:
        ready(tmp_path / "data")
    assert_tells_how(one_line(caught), tmp_path / "data")
    assert os.listdir(tmp_path) == []


def test_sources_can_be_trusted():
    urls = [*celeba_files.DRIVES, *sum(celeba_files.MIRRORS.values(), ())]
    assert all(url.startswith("https://") for url in urls)
    assert sorted(celeba_files.SUMS) == sorted(celeba_files.ON_DRIVE) == sorted(["img_align_celeba.zip", *LISTS])
    assert celeba_files.SUMS["img_align_celeba.zip"][1] == 1_443_490_838
    assert all(re.fullmatch("[0-9a-f]{64}", sha256) for sha256, _ in celeba_files.SUMS.values())


# What Google Drive answers when many ask, when a file is not public, and before it sends a large file.
PAGES = {
    "Google Drive - Quota exceeded": page(b"<!DOCTYPE html><html><head><title>Google Drive - Quota exceeded</title>"),
    "Sign in - Google Accounts": page(b"<html><TITLE>\nSign in - Google Accounts</TITLE>"),
    "Google Drive - Virus scan warning": page(b"<html><title>Google Drive - Virus scan warning</title>"),
    "Sorry": page(b"<html><title>Sorry...</title>", 429),
    "HTTP 403 Forbidden": status(403),
    "no answer for": silent,
    "proxy says no": garbage,
}


@pytest.fixture
def drive(mirrors, monkeypatch, celeba_root, tmp_path) -> StandIn:
    """Google Drive, with the files of the common tree; the other server has the images only."""
    shelf = tmp_path / "shelf"
    shutil.copytree(celeba_root / "celeba", shelf)
    zip_images(shelf)
    google, mirror = mirrors
    google.files = {name: (shelf / name).read_bytes() for name in ("img_align_celeba.zip", *LISTS)}
    mirror.files = {"img_align_celeba.zip": google.files["img_align_celeba.zip"]}
    sums = {name: (hashlib.sha256(content).hexdigest(), len(content)) for name, content in google.files.items()}
    monkeypatch.setattr(celeba_files, "SUMS", sums)
    monkeypatch.setattr(celeba_files, "DRIVES", (f"{google.url}uc?id=",))
    monkeypatch.setattr(celeba_files, "ON_DRIVE", {name: name for name in sums})
    monkeypatch.setattr(celeba_files, "MIRRORS", {"img_align_celeba.zip": (f"{mirror.url}img_align_celeba.zip",)})
    shutil.rmtree(shelf)
    return google


def names_asked(server: StandIn) -> list[str]:
    return sorted(name for name, _ in server.asked)


@pytest.mark.parametrize("answer", PAGES)
@pytest.mark.parametrize("there", [False, True])
def test_a_drive_that_refuses_leaves_nothing(tmp_path, drive, answer, there):
    root = tmp_path / "data"
    if there:
        root.mkdir()
    drive.usual = PAGES[answer]
    with pytest.raises(UserError, match=f"could not be downloaded: .*{answer}") as caught:
        CelebA(root=root).prepare_data()
    assert_tells_how(one_line(caught), root)
    assert [path for path in tmp_path.rglob("*") if path != root] == []
    assert root.exists() == there


def test_a_drive_that_refuses_the_images_keeps_the_lists(tmp_path, drive, mirrors):
    drive.plan, drive.usual = [well, well], PAGES["Google Drive - Quota exceeded"]
    mirrors[1].usual = status(403)
    with pytest.raises(UserError, match="Google Drive - Quota exceeded") as caught:
        CelebA(root=tmp_path).prepare_data()
    assert_tells_how(one_line(caught), tmp_path, "img_align_celeba.zip")
    assert "put img_align_celeba.zip into" in str(caught.value)
    assert sorted(os.listdir(tmp_path / "celeba")) == sorted(LISTS)


@pytest.mark.parametrize("answer", PAGES)
def test_the_images_come_from_the_mirror(tmp_path, drive, mirrors, answer, celeba_root):
    drive.plan, drive.usual = [well, well], PAGES[answer]
    data = CelebA(root=tmp_path, image_size=16)
    data.prepare_data()
    data.setup("fit")
    assert names_asked(mirrors[1]) == ["img_align_celeba.zip"]
    assert torch.equal(rows_of(data, "test").image, rows_of(ready(celeba_root), "test").image)


def test_a_download_fetches_what_is_needed_once(tmp_path, drive, celeba_root):
    data = CelebA(root=tmp_path / "data", image_size=16)
    data.prepare_data()
    assert names_asked(drive) == sorted(["img_align_celeba.zip", *LISTS])
    data.setup("fit")
    assert torch.equal(rows_of(data, "test").image, rows_of(ready(celeba_root), "test").image)
    data.prepare_data()
    assert len(drive.asked) == 3
    assert sorted(os.listdir(data.source / "celeba")) == sorted(["img_align_celeba", "img_align_celeba.zip", *LISTS])


def test_a_download_leaves_what_is_there(tmp_path, drive, copied_root):
    (copied_root / "celeba" / LISTS[1]).unlink()
    CelebA(root=copied_root, image_size=16).prepare_data()
    assert names_asked(drive) == [LISTS[1]]


def test_a_download_that_is_cut_goes_on_at_the_next_start(tmp_path, drive, mirrors):
    drive.plan = [well, well]
    for server in mirrors:
        server.usual = cut(1000)
    data = CelebA(root=tmp_path, image_size=16)
    with pytest.raises(UserError, match="6,000 bytes are kept"):
        data.prepare_data()
    drive.usual = well
    data.prepare_data()
    assert drive.asked[-1] == ("img_align_celeba.zip", 6000)


def test_a_download_that_does_not_match_its_checksum_is_refused(tmp_path, drive, mirrors):
    drive.plan = [well, well]
    for server in mirrors:
        server.usual = sending(bytes(len(drive.files["img_align_celeba.zip"])))
    with pytest.raises(UserError, match="could not be downloaded: .*another file"):
        CelebA(root=tmp_path / "data").prepare_data()
    assert not list((tmp_path / "data").rglob("*.zip"))


def test_a_damaged_zip_file_is_downloaded_again(copied_root, drive, caplog):
    zip_images(copied_root / "celeba")
    archive = copied_root / "celeba" / "img_align_celeba.zip"
    damaged = archive.read_bytes()[:-1000]
    archive.write_bytes(damaged)
    with caplog.at_level("INFO"):
        CelebA(root=copied_root, image_size=16).prepare_data()
    assert "img_align_celeba.zip is damaged or cut short" in caplog.text
    assert archive.with_name("img_align_celeba.zip.damaged").read_bytes() == damaged
    assert names_asked(drive) == ["img_align_celeba.zip"]


# ----------------------------------------------------------------------------------------------- as others lay it out


def as_kaggle(folder: Path, target: Path) -> None:
    """Writes the files of CelebA to `target` as Kaggle has them."""
    images = target / "img_align_celeba" / "img_align_celeba"
    images.mkdir(parents=True)
    for path in (folder / "img_align_celeba").iterdir():
        os.link(path, images / path.name)
    lines = [line.split() for line in (folder / LISTS[0]).read_text().splitlines()]
    with (target / "list_attr_celeba.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image_id", *lines[1]], *lines[2:]])
    rows = [line.split() for line in (folder / LISTS[1]).read_text().splitlines()]
    with (target / "list_eval_partition.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["image_id", "partition"], *rows])
    (target / "list_bbox_celeba.csv").write_text("image_id,x_1,y_1,width,height\n")


def zipped(folder: Path, archive: Path) -> None:
    """Moves the files of a folder to a zip file."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w") as target:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                target.write(path, path.relative_to(folder))
    shutil.rmtree(folder)


def assert_is_celeba(root: Path, celeba_root: Path, **settings) -> None:
    found, expected = ready(root, **settings), ready(celeba_root)
    for split in ("train", "val", "test"):
        batch, right = rows_of(found, split), rows_of(expected, split)
        assert torch.equal(batch.image, right.image) and torch.equal(batch.attributes, right.attributes)


@pytest.mark.parametrize("place", ["", "archive", "celeba-dataset"])
def test_kaggles_files_are_read_as_they_are(tmp_path, celeba_root, place):
    as_kaggle(celeba_root / "celeba", tmp_path / "celeba" / place)
    before = sorted(os.listdir(tmp_path / "celeba"))
    assert_is_celeba(tmp_path, celeba_root)
    assert sorted(os.listdir(tmp_path / "celeba")) == before


@pytest.mark.parametrize("name", ["archive.zip", "celeba-dataset.zip", "archive (1).zip", "img_align_celeba.zip"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_kaggles_zip_file_is_read_as_it_is(tmp_path, celeba_root, name, elsewhere, monkeypatch):
    as_kaggle(celeba_root / "celeba", tmp_path / "unpacked")
    zipped(tmp_path / "unpacked", tmp_path / "data" / "celeba" / name)
    settings = {"cache_folder": tmp_path / "cache"} if elsewhere else {}
    assert_is_celeba(tmp_path / "data", celeba_root, **settings)
    if elsewhere:
        assert os.listdir(tmp_path / "data" / "celeba") == [name]
    monkeypatch.setattr(celeba_files, "unpack", None)
    assert_is_celeba(tmp_path / "data", celeba_root, **settings)  # the second start unpacks nothing


def test_a_zip_file_of_a_folder(tmp_path, celeba_root):
    """As from somebody who has packed the folder again."""
    as_kaggle(celeba_root / "celeba", tmp_path / "unpacked" / "my copy")
    zipped(tmp_path / "unpacked", tmp_path / "data" / "celeba" / "celeba.zip")
    assert_is_celeba(tmp_path / "data", celeba_root)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_zip_files_of_the_drives_folders(tmp_path, celeba_root, elsewhere):
    """A browser that downloads folders of the drive packs them, with the zip file in them."""
    shutil.copytree(celeba_root / "celeba", tmp_path / "Img", copy_function=os.link)
    zip_images(tmp_path / "Img")
    for number, names in enumerate((["img_align_celeba.zip"], LISTS)):
        part = tmp_path / "part" / "CelebA" / ("Img" if number == 0 else "Anno")
        part.mkdir(parents=True)
        for name in names:
            (tmp_path / "Img" / name).rename(part / name)
        zipped(tmp_path / "part", tmp_path / "data" / "celeba" / f"drive-download-00{number}.zip")
    settings = {"cache_folder": tmp_path / "cache"} if elsewhere else {}
    assert_is_celeba(tmp_path / "data", celeba_root, **settings)
    assert_is_celeba(tmp_path / "data", celeba_root, **settings)


def test_files_of_kaggle_that_were_zipped_one_by_one(tmp_path, celeba_root):
    folder = tmp_path / "celeba"
    as_kaggle(celeba_root / "celeba", folder)
    for name in ("list_attr_celeba.csv", "list_eval_partition.csv"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as target:
            target.write(folder / name, name)
        (folder / name).unlink()
    assert_is_celeba(tmp_path, celeba_root)


@pytest.mark.parametrize("elsewhere", [False, True])
def test_the_folders_of_the_authors_drive(tmp_path, celeba_root, elsewhere):
    folder = tmp_path / "data" / "celeba"
    shutil.copytree(celeba_root / "celeba", folder / "Img", copy_function=os.link)
    zip_images(folder / "Img")
    for name, place in zip(LISTS, ("Anno", "Eval"), strict=True):
        (folder / place).mkdir()
        (folder / "Img" / name).rename(folder / place / name)
    settings = {"cache_folder": tmp_path / "cache"} if elsewhere else {}
    assert_is_celeba(tmp_path / "data", celeba_root, **settings)


def test_a_zip_file_of_something_else_stays_packed(copied_root, celeba_root):
    with zipfile.ZipFile(copied_root / "celeba" / "masks.zip", "w") as other:
        other.writestr("masks/1.png", b"1")
    zip_images(copied_root / "celeba")
    assert_is_celeba(copied_root, celeba_root)
    assert not (copied_root / "celeba" / "masks").exists()


def test_kaggles_files_ask_no_server(tmp_path, celeba_root, drive):
    as_kaggle(celeba_root / "celeba", tmp_path / "data" / "celeba")
    CelebA(root=tmp_path / "data", image_size=16).prepare_data()
    assert not drive.asked


def test_the_message_names_the_list_that_is_there(tmp_path, celeba_root):
    as_kaggle(celeba_root / "celeba", tmp_path / "celeba")
    path = tmp_path / "celeba" / "list_eval_partition.csv"
    path.write_text(path.read_text().replace(",1", ",0"))
    with pytest.raises(UserError, match="list_eval_partition.csv"):
        ready(tmp_path).check_split("validate")


def test_rendered_faces(tmp_path, monkeypatch):
    data = CelebA(root=tmp_path, image_size=16, batch_size=8, synthetic=True, synthetic_count=100)
    data.prepare_data()
    folder = tmp_path / "rendered" / "celeba-100-v1" / "celeba"
    assert {*LISTS, "img_align_celeba"} <= set(os.listdir(folder))
    with Image.open(folder / "img_align_celeba" / "000100.jpg") as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (178, 218), "RGB")
    monkeypatch.setattr(celeba, "write_celeba", None)  # a second rendering would fail
    data.prepare_data()
    data.setup("fit")
    assert [len(data.datasets[split]) for split in ("train", "val", "test")] == [80, 10, 10]
    assert os.listdir(tmp_path) == ["rendered"]
