"""Images of one's own with a table: what it may say, what the batches then hold, and who trains on it."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.cli import main
from lit_gen.data import ImageTable
from lit_gen.data.alphabet import decode, encode
from lit_gen.data.contract import check_pair
from lit_gen.data.image_table import complete_splits
from lit_gen.errors import UserError
from lit_gen.models import GAN, InfoGAN, SemiSupervisedAAE, StarGAN, Text2Image
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.runs.checkpoint_files import read_checkpoint

COUNT = 20


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Twenty images, of which each shows its number as its red value."""
    root = tmp_path_factory.mktemp("pictures")
    for number in range(COUNT):
        Image.new("RGB", (12, 8), (number, 0, 255)).save(root / f"{number}.png")
    return root


@pytest.fixture
def folder(pictures, tmp_path) -> Path:
    """A folder of its own with these images, in which a test may write."""
    root = tmp_path / "in"
    root.mkdir()
    for path in pictures.glob("*.png"):
        (root / path.name).hardlink_to(path)
    return root


def write(folder: Path, header: str, row, count: int = COUNT) -> Path:
    lines = [header, *(row(number) for number in range(count))]
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def ready(root: Path, **settings) -> ImageTable:
    data = ImageTable(root, **({"image_size": 8, "batch_size": 4, "val_fraction": 0.2} | settings))
    data.prepare_data()
    data.setup("fit")
    return data


def whole(data: ImageTable, split: str = "train"):
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset)))


def numbers(data: ImageTable, split: str) -> list[int]:
    return whole(data, split).image[:, 0, 0, 0].tolist()


# ---------------------------------------------------------------------------------------------------- what it may say


def test_labels_are_indices_of_sorted_names(folder):
    data = ready(write(folder, "file_name,label", lambda n: f"{n}.png,{['dog', 'cat', 'bee'][n % 3]}"))
    assert data.spec["classes"] == ["bee", "cat", "dog"] and data.spec["num_classes"] == 3
    batch = whole(data)
    assert batch._fields == ("image", "label") and batch.label.dtype == torch.int64
    assert batch.label.tolist() == [2 - int(n) % 3 for n in batch.image[:, 0, 0, 0]]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_row_without_a_label_is_unlabelled(folder, as_json):
    """Of the twenty images, those from 12 on have no label."""
    rows = [(f"{n}.png", "" if n > 11 else "bca"[n % 3]) for n in range(COUNT)]
    if as_json:
        lines = [json.dumps({"file_name": name, "label": label or None}) for name, label in rows]
        (folder / "metadata.jsonl").write_text("\n".join(lines))
    else:
        write(folder, "file_name,label", lambda n: ",".join(rows[n]))
    data = ready(folder)
    assert data.spec["classes"] == ["a", "b", "c"] and "8 without a label" in data.remarks
    for split in data.datasets:
        expected = [-1 if n > 11 else {"a": 0, "b": 1, "c": 2}["bca"[n % 3]] for n in numbers(data, split)]
        assert whole(data, split).label.tolist() == expected
    known = data.labelled_images()
    train = [n for n in numbers(data, "train") if n < 12]
    assert known.image[:, 0, 0, 0].tolist() == train and known.image.dtype == torch.uint8
    assert known.label.tolist() == [{"a": 0, "b": 1, "c": 2}["bca"[n % 3]] for n in train]


def test_all_labels_are_known_in_a_table_that_lacks_none(folder):
    """Batches do as they are: nothing is kept beside them."""
    data = ready(write(folder, "file_name,label", lambda n: f"{n}.png,{n % 2}"))
    assert data.labelled_images() is None and data.rows_without_label == 0


def test_labels_that_are_numbers_are_sorted_by_their_value(folder):
    data = ready(write(folder, "file_name,label", lambda n: f"{n}.png,{n % 2 * 8 + 2}"))
    assert data.spec["classes"] == ["2", "10"]
    data = ready(write(folder, "file_name,label", lambda n: f"{n}.png,{n % 2 * 8 + 2}{'.0' if n > 9 else ''}"))
    assert data.spec["classes"] == ["2", "10"], "in a column with gaps, pandas writes 2 as 2.0"
    assert whole(data).label.tolist() == [n % 2 for n in numbers(data, "train")]
    data = ready(write(folder, "file_name,label", lambda n: f"{n}.png,{'0' * (n % 2)}{2**63 + n // 10}"))
    assert len(data.spec["classes"]) == 4, "numbers that differ after their 16th digit, or in a 0 before them"


@pytest.mark.parametrize(("false", "true"), [("0", "1"), ("-1", "1"), ("False", "TRUE"), ("no", "Yes"), ("0.0", "1.0")])
def test_attributes(folder, false, true):
    data = ready(
        write(folder, "file_name,big,red", lambda n: f"{n}.png,{true if n > 9 else false},{[false, true][n % 2]}")
    )
    batch = whole(data)
    assert data.spec["attributes"] == ["big", "red"] and batch._fields == ("image", "attributes")
    assert batch.attributes.dtype == torch.float32
    assert batch.attributes.tolist() == [[float(n > 9), n % 2] for n in batch.image[:, 0, 0, 0].tolist()]


def test_chosen_attributes_in_their_order(folder, caplog):
    write(folder, "file_name,big,age,red", lambda n: f"{n}.png,{n % 2},{n},{int(n > 9)}")
    data = ready(folder, attributes=["red", "big"])
    batch = whole(data)
    assert batch.attributes.tolist() == [[float(n > 9), n % 2] for n in batch.image[:, 0, 0, 0].tolist()]
    assert "columns not read: age" in data.remarks
    examples = data.attribute_examples(["big"]).__getitems__(range(3))
    assert examples.attributes[:, 0].tolist() == [n % 2 for n in examples.image[:, 0, 0, 0].tolist()]
    with pytest.raises(UserError, match="no column 'bigg'.*Did you mean big"):
        ready(folder, attributes=["bigg"])


def test_captions_with_commas_quotes_and_lines(folder):
    data = ready(write(folder, "file_name,caption", lambda n: f'{n}.png,"A ""red"" one,\n number {n}"'))
    batch = whole(data)
    assert batch._fields == ("image", "caption", "attributes", "stated")
    assert batch.attributes.shape == batch.stated.shape == (len(batch.image), 0)
    shown = [decode(caption) for caption in batch.caption]
    assert shown == [f'a "red" one, number {n}' for n in batch.image[:, 0, 0, 0].tolist()]
    assert torch.equal(batch.caption[0], encode(shown[0], 201))
    assert data.spec["wrong_images"] == "other captions" and not data.has_attributes


def test_a_list_of_captions_is_drawn_from_in_training_only(folder):
    rows = [{"file_name": f"{n}.png", "caption": [f"first {n}", f"second {n}"][: 1 + n % 2]} for n in range(COUNT)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = ready(folder)
    seen = {decode(caption) for _ in range(20) for caption in whole(data).caption}
    assert {f"{which} {n}" for n in numbers(data, "train") for which in ["first", "second"][: 1 + n % 2]} == seen
    assert [decode(caption) for caption in whole(data, "val").caption] == [f"first {n}" for n in numbers(data, "val")]


def test_all_at_once_in_json(folder):
    rows = [
        {"file_name": f"{n}.png", "text": f"no {n}", "red": n > 9, "big": n % 2, "label": n % 4} for n in range(COUNT)
    ]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = ready(folder)
    batch = whole(data)
    assert set(batch._fields) == {"image", "caption", "attributes", "stated", "label"}
    assert data.spec["attributes"] == ["red", "big"] and data.spec["wrong_images"] == "other attributes"
    assert batch.stated.min() == 1 and batch.label.tolist() == [n % 4 for n in batch.image[:, 0, 0, 0].tolist()]


def test_two_domains(folder):
    data = ready(write(folder, "file_name,file_name_b", lambda n: f"{n}.png,{n + 10}.png", count=10))
    fixed = whole(data, "test")
    assert fixed._fields == ("image_a", "image_b")
    assert fixed.image_b[:, 0, 0, 0].tolist() == [n + 10 for n in fixed.image_a[:, 0, 0, 0].tolist()]
    used = {split: set(numbers_of_pairs(data, split)) for split in ("train", "val", "test")}
    assert sum(map(len, used.values())) == 10 == len(set.union(*used.values()))
    assert data.test_images("B")["test"][[0]].shape == (1, 8, 8, 3)


def test_an_image_of_b_that_rows_of_several_splits_name(folder):
    splits = {0: "train", 1: "train", 2: "val", 3: "test", 4: "test"}
    write(folder, "file_name,file_name_b,split", lambda n: f"{n}.png,{10 + n % 4}.png,{splits[n]}", count=5)
    assert "1 of file_name_b for training are for validation or test too" in ready(folder).remarks
    write(folder, "file_name,file_name_b,split", lambda n: f"{n}.png,{10 + n}.png,{splits[n]}", count=5)
    assert not any("file_name_b" in line for line in ready(folder).remarks)


def numbers_of_pairs(data: ImageTable, split: str) -> list[int]:
    return whole(data, split).image_a[:, 0, 0, 0].tolist()


@pytest.mark.parametrize(("row", "encoding"), list(enumerate(["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])))
@pytest.mark.parametrize(("column", "separator"), list(enumerate([",", ";", "\t"])))
def test_tables_as_programs_save_them(folder, row, encoding, column, separator):
    """With any two of an encoding, a separator and an end of lines."""
    end = ["\n", "\r\n", "\r"][(row + column) % 3]
    (folder / "größe").mkdir()
    (folder / "0.png").rename(folder / "größe" / "0.PNG")
    lines = ["File_Name , label", "größe\\0.PNG,a", "./1.png, b", ",", "", '"2.png","b"']
    text = end.join(line.replace(",", separator) for line in lines) + end
    (folder / "metadata.csv").write_bytes(text.encode(encoding))
    data = ready(folder, val_fraction=0, batch_size=1)
    assert numbers(data, "train") == [0, 1, 2] and whole(data).label.tolist() == [0, 1, 1]
    assert "17 not in the table" in data.remarks


# -------------------------------------------------------------------------------------------------------------- splits


def test_splits_by_fraction_are_disjoint_and_always_the_same(folder):
    write(folder, "file_name,label", lambda n: f"{n}.png,{n % 2}")
    first, second = ready(folder), ready(folder)
    found = {split: numbers(first, split) for split in ("train", "val", "test")}
    assert sorted(sum(found.values(), [])) == list(range(COUNT))
    assert all(found.values()) and len(found["train"]) > 10
    assert found == {split: numbers(second, split) for split in found}


def test_splits_by_a_column(folder):
    names = ["train", "Validation", "test"]
    data = ready(write(folder, "file_name,split", lambda n: f"{n}.png,{names[n % 3]}"))
    assert [numbers(data, split) for split in ("train", "val", "test")] == [list(range(k, COUNT, 3)) for k in range(3)]
    assert whole(data)._fields == ("image",)


@pytest.mark.parametrize("inner", [True, False])
def test_splits_by_folders(folder, inner):
    """With one table above them or one in each."""
    for name, wanted in {"train": range(12), "valid": range(12, 16), "test": range(16, 20)}.items():
        (folder / name).mkdir()
        for number in wanted:
            (folder / f"{number}.png").rename(folder / name / f"{number}.png")
        rows = [f"{'' if inner else f'{name}/'}{number}.png,{number % 2}\n" for number in wanted]
        table = folder / name / "metadata.csv" if inner else folder / "metadata.csv"
        begin = table.read_text() if table.exists() else "file_name,red\n"
        table.write_text(begin + "".join(rows))
    data = ready(folder)
    assert [numbers(data, split) for split in ("train", "val", "test")] == [
        list(range(12)), list(range(12, 16)), list(range(16, 20))
    ]  # fmt: skip
    assert whole(data, "test").attributes[:, 0].tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("splits", [(), ("train", "test")])
def test_folders_as_labels(folder, splits):
    for number in range(COUNT):
        place = folder / (splits[number % 5 == 0] if splits else "") / ("cat" if number % 2 else "dog") / "more"
        place.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").rename(place / f"{number}.png")
    data = ready(folder)
    assert data.spec["classes"] == ["cat", "dog"]
    for split in ("train", "val", "test"):
        assert whole(data, split).label.tolist() == [1 - n % 2 for n in numbers(data, split)]
    if splits:
        assert sorted(numbers(data, "test")) == [0, 5, 10, 15]
        assert 0 < len(numbers(data, "val")) < 8


@pytest.mark.parametrize(
    ("given", "fraction", "expected"),
    [
        (None, 0.4, (600, 200, 200)),
        (None, 0, (1000, 0, 0)),
        ([800, 0, 200], 0.5, (600, 200, 200)),
        ([900, 100, 0], 0.2, (810, 100, 90)),
        ([700, 200, 100], 0.9, (700, 200, 100)),
        ([0, 1000, 0], 0.5, (0, 1000, 0)),
    ],
)
def test_missing_splits_are_taken_from_the_training_images(given, fraction, expected):
    codes = None if given is None else np.repeat(np.arange(3), given).astype(np.uint8)
    found = complete_splits(codes, [f"{number}.png" for number in range(1000)], fraction)
    for code in range(3):
        assert abs((found == code).sum() - expected[code]) <= (40 if fraction else 0)
    if given is not None:
        assert (found[codes > 0] == codes[codes > 0]).all()


# ------------------------------------------------------------------------------------------------------------ mistakes

GOOD = "file_name,label,red,caption,split\n0.png,a,1,one,train\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file_name,red\n0.png,1\n77.png,1\n", "row 3.*no file .*77.png"),
        ("file_name,red\n0.PNG,1\n", "row 2.*no file.*There is '0.png'"),
        ("file_name,red\nfar/0.png,1\n", "row 2.*no such folder"),
        ("file_name,red\n0.png,1\n1.png,0\n0.png,0\n", "row 4.*'0.png' is in row 2 already"),
        ("file_name,red\n0.png,1\n./0.png,0\n", "row 3.*'0.png' is in row 2 already"),
        ("file_name,age\n0.png,1\n1.png,37\n", "row 3: the column 'age' has '37'.*--data.attributes"),
        ("file_name,red\n0.png,1\n1.png,\n", "row 3: the column 'red' has nothing"),
        ("file_name,red\n0.png,1\n1.png,yes\n", "row 3: the column 'red' has yes, but rows before it 1"),
        ("file_name,caption\n0.png,one\n1.png,  \n", "row 3: the column 'caption' is empty"),
        ("file_name,caption\n0.png,one\n1.png,猫\n", "row 3: the column 'caption' has no character that can be read"),
        ("file_name,label\n0.png,\n1.png, \n", "row 2: the column 'label' is empty, as in all rows"),
        ("file_name,label\n,one\n", "row 2: the column 'file_name' is empty"),
        ("file_name,split\n0.png,holdout\n", "row 2: the column 'split' has 'holdout'"),
        ("file_name,red\n../0.png,1\n", "row 2: the column 'file_name' '../0.png' leads out of the folder"),
        ("file_name,red\n/etc/0.png,1\n", "row 2.*leads out"),
        ("file_name,red\na/../../0.png,1\n", "row 2.*leads out"),
        ("file_name,red\n..\\0.png,1\n", "row 2.*leads out"),
        ("file_name,red\nC:\\0.png,1\n", "row 2.*leads out"),
        ("file_name,file_name_b\n0.png,../1.png\n", "row 2: the column 'file_name_b'.*leads out"),
        ("file_name,red\n0.png,1\n1.png,1,0\n", "row 3: 3 values for 2 columns.*quotes"),
        ('file_name,red\n0.png,1\n"1.png,1\n', "row 3: it is no CSV"),
        ("name,red\n0.png,1\n", "no column file_name.*'name', 'red'"),
        ("file_name,red,red\n0.png,1,1\n", "row 1: the column 'red' stands there twice"),
        ("file_name,red\n", "has no rows"),
        ("", "no column file_name"),
    ],
)
def test_a_mistake_is_one_line_with_its_row(folder, text, said):
    (folder / "metadata.csv").write_text(text)
    mistake(folder, said, "metadata.csv")


def mistake(folder: Path, said: str, name: str) -> None:
    with pytest.raises(UserError, match=said) as caught:
        _ = ImageTable(folder, image_size=8).spec
    assert name in str(caught.value) and "\n" not in str(caught.value)
    assert not (folder / ".cache").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"file_name": "0.png", "red": 1}\n\n{"file_name": "1.png", "red" 1}\n', "row 3: it is no JSON"),
        ('{"file_name": "0.png", "red": 1}\n{"file_name": "1.png"}\n', "row 2: it lacks 'red'"),
        ('{"file_name": "0.png"}\n{"file_name": "1.png", "red": 1}\n', "row 2: it has 'red'"),
        (
            '{"file_name": "0.png", "label": "a"}\n{"file_name": "1.png"}\n',
            "row 2: it lacks 'label'.*null where a label is",
        ),
        ('["0.png"]\n', "row 1: it is no object"),
        ('{"file_name": "0.png", "red": {"a": 1}}\n', "row 1: the column 'red' has {"),
        ('{"file_name": "0.png", "red": null}\n', "row 1: the column 'red' has nothing"),
        ('{"file_name": "0.png", "caption": []}\n', "row 1: the column 'caption' is empty"),
        ('{"file_name": "0.png", "caption": [1]}\n', "row 1: the column 'caption' has"),
        ('{"file_name": "../0.png"}\n', "row 1.*leads out"),
        ("[" * 100_000 + "\n", "row 1: it is no JSON"),
    ],
)
def test_a_mistake_in_json(folder, text, said):
    (folder / "metadata.jsonl").write_text(text)
    mistake(folder, said, "metadata.jsonl")


def test_another_encoding_is_named_with_its_row(folder):
    (folder / "metadata.csv").write_bytes("file_name,caption\n0.png,eins\n1.png,größe\n".encode("cp1252"))
    mistake(folder, "row 3: the byte 0xf6 is not UTF-8", "metadata.csv")


def test_folders_that_cannot_be_meant(folder):
    with pytest.raises(UserError, match="neither a table.*--data=ImageFolder"):
        ready(folder)
    (folder / "labels.csv").write_text(GOOD)
    with pytest.raises(UserError, match="There is labels.csv: call it metadata.csv"):
        ready(folder)
    for name in ("METADATA.XLSX", "metadata.parquet"):
        (folder / name).write_bytes(b"")
        with pytest.raises(UserError, match=f"{name} is not read"):
            ready(folder)
        (folder / name).unlink()
    (folder / "metadata.csv").write_text(GOOD)
    (folder / "metadata.jsonl").write_text("{}")
    with pytest.raises(UserError, match="Keep one"):
        ready(folder)
    with pytest.raises(UserError, match="nowhere is not there"):
        ready(folder / "nowhere")


def test_images_beside_folders_of_labels(folder):
    (folder / "cat").mkdir()
    (folder / "3.png").rename(folder / "cat" / "3.png")
    with pytest.raises(UserError, match=r"0.png is in no sub-folder"):
        ready(folder)


def test_broken_and_missing_files_are_left_out_on_request(folder):
    write(folder, "file_name,label", lambda n: f"{n}.png,{n % 2}")
    (folder / "3.png").unlink()
    (folder / "4.png").unlink()
    (folder / "4.png").write_bytes(b"no image")
    data = ready(folder, skip_broken=True)
    shown = {split: numbers(data, split) for split in ("train", "val", "test")}
    assert sorted(sum(shown.values(), [])) == [n for n in range(COUNT) if n not in (3, 4)]
    assert all(whole(data, split).label.tolist() == [n % 2 for n in found] for split, found in shown.items())


# -------------------------------------------------------------------------------------------------------- who trains

SMALL = {
    "StarGAN": ["--model.channels=4", "--model.residual_blocks=1", "--model.discriminator_channels=4"],
    "Text2Image": ["--model.generator_channels=4", "--model.discriminator_channels=4", "--model.text_channels=[8,8,8]",
                   "--model.embedding_dim=8"],
    "InfoGAN": ["--model.generator_channels=[8,4]", "--model.discriminator_channels=[4,8]"],
    "SemiSupervisedAAE": ["--model.encoder.hidden_sizes=[16]", "--model.discriminator_sizes=[16]"],
    "CycleGAN": ["--model.channels=4", "--model.residual_blocks=1", "--model.discriminator_channels=4",
                 "--model.discriminator_layers=1"],
}  # fmt: skip
TABLES = {
    "StarGAN": ("file_name,red,big", lambda n: f"{n}.png,{n % 2},{int(n > 9)}"),
    "Text2Image": ("file_name,caption", lambda n: f"{n}.png,a picture of {n}"),
    "InfoGAN": ("file_name,label", lambda n: f"{n}.png,{n % 2}"),
    "SemiSupervisedAAE": ("file_name,label,split", lambda n: f"{n}.png,{'ab'[n // 2 % 2] if n % 2 else ''},{part(n)}"),
    "CycleGAN": ("file_name,file_name_b", lambda n: f"{n}.png,{n}.png"),
}


def part(number: int) -> str:
    """The split of an image, where a table says it: of the last eight, four each."""
    return "train" if number < 12 else "val" if number < 16 else "test"


def words(model: str, folder: Path, runs: Path) -> list[str]:
    data = [f"--data.root={folder}", "--data.image_size=16", "--data.batch_size=4", "--data.val_fraction=0.2"]
    trainer = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={runs}"]
    return [f"--model={model}", *SMALL[model], "--data=ImageTable", *data, *trainer]


@pytest.mark.parametrize("model", SMALL)
def test_models_train_on_a_table_test_and_predict(model, folder, tmp_path, caplog, capsys):
    write(folder, *TABLES[model])
    own = words(model, folder, tmp_path / "runs")
    main(["fit", *own, "--trainer.max_steps=4", "--trainer.max_epochs=1"])
    main(["test", *own, "--ckpt_path=last", "--evaluation.samples=4"])
    figures = json.loads(next(tmp_path.rglob("test.json")).read_text())["figures"]
    main(["predict", *own, "--ckpt_path=last"])
    held_out = ImageTable(folder, val_fraction=0.2).contents
    assert (
        len(list(tmp_path.rglob("predictions/[0-9]*.png")))
        == (complete_splits(held_out.splits, held_out.files, 0.2) == 2).sum()
    )
    (path,) = tmp_path.rglob("last.ckpt")
    settings = read_checkpoint(path)["hyper_parameters"]
    if model == "StarGAN":
        assert settings["attributes"] == settings["spec"]["attributes"] == ["red", "big"]
        assert StarGAN.load_from_checkpoint(path).attributes == ["red", "big"]
        assert "the attributes are all that the data have (--model.attributes): red, big" in caplog.text
    elif model == "Text2Image":
        assert settings["spec"]["wrong_images"] == "other captions"
        assert Text2Image.load_from_checkpoint(path).draw("a picture of 3").shape == (1, 3, 16, 16)
    elif model == "InfoGAN":
        assert settings["spec"]["classes"] == ["0", "1"]
        assert any("category_accuracy" in name for name in figures)
    elif model == "SemiSupervisedAAE":
        table = (folder / "metadata.csv").read_text()
        (folder / "metadata.csv").write_text(table.replace(",a,", ",c,"))
        line = refused(["test", *own, "--ckpt_path=last"], capsys)
        assert "the model was trained with the classes a, b, and the data have b, c. Use data with the same" in line
        assert figures["test/classification_error"]["samples"] == 2, "of four test images, two have a label"
        assert figures["test/classification_error"]["value"] in (0, 0.5, 1)
        assert "labels: 6 of 12 training images have one" in caplog.text
        assert "best.ckpt: val/classification_error" in caplog.text


def refused(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def test_a_table_without_what_the_model_reads_is_refused_before_anything_is_built(
    folder, tmp_path, capsys, monkeypatch
):
    write(folder, *TABLES["InfoGAN"])
    monkeypatch.setattr(AdversarialModule, "__init__", None)
    need = {"StarGAN": "columns of attributes", "Text2Image": "called caption", "CycleGAN": "called file_name_b"}
    for model, said in need.items():
        line = refused(["fit", *words(model, folder, tmp_path / "runs")], capsys)
        assert f"{model} needs batches with fields" in line and said in line and str(folder / "metadata.csv") in line
    assert not (tmp_path / "runs").exists() and not (folder / ".cache").exists()


def test_a_model_that_needs_all_labels_refuses_rows_without(folder):
    class Labelled(GAN):
        needs = ("image", "label")

    def pair(model, count=COUNT):
        data = ImageTable(write(folder, "file_name,label", lambda n: f"{n}.png,{'' if n >= count else n % 2}"))
        check_pair(model, data)

    pair(Labelled)
    with pytest.raises(UserError, match="Labelled reads the label of each image, and 3 rows of the table have none"):
        pair(Labelled, COUNT - 3)
    for model in (InfoGAN, SemiSupervisedAAE, type("Own", (Labelled,), {"takes_unlabelled": True})):
        pair(model, COUNT - 3)


def test_a_mistake_in_the_table_as_the_command_line_says_it(folder, tmp_path, capsys):
    write(folder, "file_name,red", lambda n: f"{n}.png,{'2' if n == 7 else '1'}")
    line = refused(["fit", *words("StarGAN", folder, tmp_path / "runs")], capsys)
    assert line.startswith(f"error: {folder}/metadata.csv, row 9: the column 'red' has '2'")
    line = refused(["fit", *words("CycleGAN", folder, tmp_path), "--data.channels=2"], capsys)
    assert "channels must be 1 or 3" in line


def test_attributes_that_the_table_lacks(folder, tmp_path, capsys):
    write(folder, *TABLES["StarGAN"])
    line = refused(["fit", *words("StarGAN", folder, tmp_path), "--model.attributes=[redd]"], capsys)
    assert (
        "no attribute 'redd'. Did you mean red? Set --model.attributes to names that the data have: red, big." in line
    )


@pytest.mark.parametrize("other", ["val", "test"])
def test_a_folder_beside_those_of_splits_is_no_class(folder, other):
    """And neither are the splits: their images would be trained on, as classes."""
    for number in range(COUNT):
        place = folder / ("train", other, "rejected")[number % 3]
        place.mkdir(exist_ok=True)
        (folder / f"{number}.png").rename(place / f"{number}.png")
    with pytest.raises(UserError, match="some in the folder 'rejected'. Move them to train, val or test"):
        ready(folder)


def test_captions_alone_are_what_text2image_lacks(folder):
    write(folder, "file_name,label", lambda n: f"{n}.png,{n % 3}")
    data = ready(folder)
    assert data.what_is_missing(["caption", "attributes", "stated"]).endswith("needs a column called caption.")
    assert data.what_is_missing(["attributes"]).endswith(
        "needs columns of attributes (0/1, -1/1, true/false or yes/no)."
    )
