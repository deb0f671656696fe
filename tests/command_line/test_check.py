"""The command `check`: what data hold, and a command that works next."""

import shlex
import shutil
from pathlib import Path

import pytest
from PIL import Image

import lit_gen.data
from lit_gen.cli import main
from lit_gen.data.image_files import Search
from tests.command_line.test_prepare import folder as folder  # a fixture
from tests.command_line.test_prepare import words_of


def told(words: list[str], capsys) -> dict[str, str]:
    main(["check", *words])
    found: dict[str, str] = {}
    for line in capsys.readouterr().out.splitlines():
        name, colon, text = line.partition(": ")
        if colon and not line.startswith(" " * 12):
            found[name.strip()] = text
        else:
            found[list(found)[-1]] += "\n" + line.strip()
    return found


@pytest.mark.parametrize("name", lit_gen.data.__all__)
def test_every_data_module_can_be_checked_and_nothing_is_kept(name, roots, folder, capsys):
    words = words_of(name, roots, folder)
    before = {path for path in folder.parent.rglob("*") if not path.name.endswith(".lock")}
    found = told(words, capsys)
    assert {path for path in folder.parent.rglob("*") if not path.name.endswith(".lock")} == before
    assert found["data"].startswith(f"{name} from ") and " train, " in found["images"]
    assert found["train"].startswith("python main.py fit --config configs/")
    if name in ("CelebA", "CelebACaptions"):
        assert found["attributes"].startswith("40: ") and found["sizes"] == "178x218 pixels"
    if name == "MNIST":
        assert found["classes"].startswith("10: ")


def test_what_is_wrong_with_a_folder_and_its_table(tmp_path, capsys):
    root = tmp_path / "in"
    root.mkdir()
    for number in range(40):
        Image.new("L" if number < 10 else "RGB", (12, 8 + number % 2), number).save(root / f"{number}.png")
    shutil.copy(root / "12.png", root / "13.png")
    (root / "20.png").write_bytes(b"no image")
    (root / "21.png").unlink()
    shutil.copy(root / "12.png", root / "beside.png")
    rows = [f"{n}.png,{'cat' if n < 12 else 'dog'},{int(n % 4 == 0)},1,{n}" for n in range(40)]
    (root / "metadata.csv").write_text("\n".join(["file_name,label,red,always,age", *rows]))
    found = told(["--data=ImageTable", f"--data.root={root}", "--data.attributes=[red,always]"], capsys)
    assert sum(int(part.split()[0]) for part in found["images"].split(", ")) == 38
    assert found["modes"] == "RGB 28 (74%), L 10 (26%)"
    assert found["sizes"].startswith("12x8 pixels") and "38 are enlarged to 64" in found["sizes"]
    assert found["unreadable"].startswith("2 of 40 files") and f"{root}/20.png" in found["unreadable"]
    assert f"the image {root}/21.png is missing. Correct the name, or put it there." in found["unreadable"]
    assert found["unreadable"].count("Replace or remove that file.") == 1
    assert found["left out"] == "1 file: 1 not in the table"
    assert "12.png = " in found["the same"]
    assert found["classes"] == "2: dog 26 (68%), cat 12 (32%)"
    assert found["attributes"] == "2: red 24%, always 100%" and found["no use"].startswith("always: ")
    assert found["not read"] == "columns age"
    assert "--config configs/stargan.yaml" in found["train"] and "InfoGAN" in found["or by"]
    assert "CycleGAN" not in found["or by"] and "Text2Image" not in found["or by"]
    assert not (root / ".cache").exists()
    small = ["--model.channels=4", "--model.residual_blocks=1", "--model.discriminator_channels=4"]
    words = shlex.split(found["train"])[2:]
    assert words[0] == "fit" and "--data.skip_broken=true" in words
    main([*words, *small, "--trainer.fast_dev_run=true", "--trainer.enable_progress_bar=false"])


def test_a_folder_is_searched_once(tmp_path, monkeypatch, capsys):
    Image.new("L", (8, 8)).save(tmp_path / "0.png")
    searched, search = [], Search.find
    monkeypatch.setattr(Search, "find", lambda self: (searched.append(self.folder), search(self))[1])
    told(["--data=ImageFolder", f"--data.root={tmp_path}"], capsys)
    assert searched == [tmp_path]


def test_a_mistake_is_one_line(tmp_path, capsys):
    (tmp_path / "metadata.csv").write_text("file_name,red\n0.png,2\n")
    for words, said in {
        f"--data=ImageTable --data.root={tmp_path}": "metadata.csv, row 2: the column 'red' has '2'",
        f"--data=ImageFolder --data.root={tmp_path}": "there is no image file",
        f"--data=ImageFolder --data.root={tmp_path}/nowhere": "nowhere is not there",
        f"--data=ImageFolder --data.root={tmp_path}/metadata.csv": "metadata.csv is a file, and no folder. Give",
        f"--data=ImageTable --data.root={tmp_path}/metadata.csv": "metadata.csv is a file, and no folder. Give",
        f"--data=UnpairedFolders --data.folder_a={tmp_path} --data.folder_b={tmp_path}/metadata.csv": (
            "metadata.csv is a file, and no folder. Give --data.folder_b a folder of images."
        ),
        "--data=MNIST --data.root=/nowhere": "MNIST is not there",
        "--data=ImageFoldr": "Did you mean ImageFolder?",
        "": "no data is named",
    }.items():
        with pytest.raises(SystemExit) as end:
            main(["check", *words.split()])
        (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
        assert end.value.code == 2 and said in line
    assert list(Path("/").glob("nowhere")) == []


def images(root: Path, count: int, table: str = "") -> Path:
    """A folder with `count` images, and a table of theirs."""
    root.mkdir()
    for number in range(count):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(root / f"{number}.png")
    if table:
        (root / "metadata.csv").write_text(table)
    return root


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (["--config", "configs/vae.yaml"], "fit --config configs/vae.yaml --data=ImageFolder"),
        (["--config=configs/vae.yaml"], "fit --config=configs/vae.yaml --data=ImageFolder"),
        (["--model=VAE"], "fit --model=VAE --data=ImageFolder"),
        (["--model", "VAE", "--model.beta=3"], "fit --model VAE --model.beta=3 --data=ImageFolder"),
        ([], "fit --config configs/dcgan.yaml --data=ImageFolder"),
    ],
)
def test_the_model_that_is_named_is_the_one_to_train(before, expected, tmp_path, capsys):
    root = images(tmp_path / "in", 12)
    found = told([*before, "--data=ImageFolder", f"--data.root={root}", "--data.image_size=16"], capsys)
    assert found["train"].startswith(f"python main.py {expected} --data.root={root}")
    others = found["or by"].partition(" (")[0].split(", ")
    assert ("VAE" in others) == (before == []) and ("DCGAN" in others) == (before != [])


def test_two_images_each_are_enough_for_the_batches_of_one_that_cyclegan_has(tmp_path, capsys):
    folders = [f"--data.folder_{name}={images(tmp_path / name, 4)}" for name in "ab"]
    assert "batch_size" not in told(["--data=UnpairedFolders", *folders], capsys)["train"]


def test_a_model_that_is_named_and_cannot_read_the_data(tmp_path, capsys):
    for named in (["--model=CycleGAN"], ["--config=configs/cyclegan.yaml"]):
        root = tmp_path / "in" if named[0].startswith("--config") else images(tmp_path / "in", 12)
        found = told([*named, "--data=ImageFolder", f"--data.root={root}"], capsys)
        assert found["not by"] == "CycleGAN, for which these data have too little: it reads image_a, image_b"
        assert found["but by"].startswith("DCGAN, ") and "train" not in found


def test_the_names_in_a_table(tmp_path, capsys):
    root = images(
        tmp_path / "in", 8, ",file_name,label,\n0,0.PNG,a,\n" + "".join(f"0,{n}.png,b,\n" for n in range(1, 8))
    )
    found = told(["--data=ImageTable", f"--data.root={root}"], capsys)
    assert found["not read"] == "columns (without a name), (without a name)"
    line = f"the image {root}/0.PNG is missing. There is '0.png'. Correct the name, or put it there."
    assert found["unreadable"] == f"1 of 8 files\n{line}"
    (root / "metadata.csv").write_text("file_name,label\n0.PNG,a\n1.PNG,b\n")
    with pytest.raises(SystemExit):
        main(["check", "--data=ImageTable", f"--data.root={root}"])
    assert "There is '0.png'. Correct the name" in capsys.readouterr().err


def test_a_table_with_few_labels(tmp_path, capsys):
    """Of the first six images the classes are known, of which two are for validation."""
    splits = ["train"] * 4 + ["val"] * 4 + ["test"] * 4 + ["train"] * 8
    rows = [f"{n}.png,{'ab'[n % 2] if n < 6 else ''},{split}\n" for n, split in enumerate(splits)]
    root = images(tmp_path / "in", 20, "file_name,label,split\n" + "".join(rows))
    found = told(["--data=ImageTable", f"--data.root={root}", "--data.image_size=16"], capsys)
    assert found["classes"] == "2: a 3 (50%), b 3 (50%)"
    assert found["labelled"] == "4 train, 2 val, 0 test; 14 images have no label"
    assert found["train"].startswith("python main.py fit --config configs/aae_semi_supervised.yaml --data=ImageTable")
    assert found["or by"].startswith("InfoGAN, DCGAN")


def test_few_images(tmp_path, capsys):
    root = images(tmp_path / "in", 5, "file_name,label\n" + "".join(f"{n}.png,{n % 2}\n" for n in range(5)))
    found = told(["--data=ImageTable", f"--data.root={root}", "--data.image_size=16"], capsys)
    assert "--config configs/infogan.yaml" in found["train"] and "--data.batch_size=2" in found["train"]
    typed = ["--data=ImageTable", "--data.batch_size", "64", f"--data.root={root}", "--data.image_size=16"]
    assert told(typed, capsys)["train"] == found["train"], "without the batch size that was typed, and its value"
    words = shlex.split(found["train"])[2:]
    main([*words, "--trainer.fast_dev_run=true", "--trainer.enable_progress_bar=false"])  # batch norm needs two
    capsys.readouterr()
    (root / "metadata.csv").write_text("file_name,label\n0.png,a\n")
    found = told(["--data=ImageTable", f"--data.root={root}"], capsys)
    assert found["too few"].startswith("images for training: 1, and a batch needs two") and "train" not in found
    (root / "metadata.csv").write_text("file_name,caption,split\n0.png,Une flèche élégante,test\n")
    found = told(["--data=ImageTable", f"--data.root={root}"], capsys)
    assert found["too few"].startswith("images for training: 0, and") and "train" not in found
    assert found["captions"] == "1 of up to 19 characters; passed over: è é"
