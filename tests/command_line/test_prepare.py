"""The command `prepare`, and processes that wait for the data without a time limit."""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import lit_gen.data
from lit_gen.cli import main
from lit_gen.data import cache, manifest
from lit_gen.data.base import ImageData

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "in").mkdir()
    for number in range(40):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / "in" / f"{number:02d}.bmp")
    return tmp_path / "in"


def arrays(folder: Path) -> list[Path]:
    return list((folder / ".cache").glob("*.npy"))


def mistake(words, capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


FOLDER = ["--data=ImageFolder", "--data.image_size=8", "--data.batch_size=4"]
TINY = ["--model=VAE", "--model.latent_dim=2", "--model.encoder.hidden_sizes=[4]"]


def test_the_words_of_a_training_prepare_its_data(folder, tmp_path, monkeypatch, capsys):
    words = [*TINY, *FOLDER, f"--data.root={folder}", "--trainer.max_epochs=1", "--trainer.logger=false"]
    words += [f"--trainer.default_root_dir={tmp_path}/runs", "--seed_everything", "3"]
    main(["prepare", *words])
    assert (
        f"prepared ImageFolder: 37 train, 2 val, 1 test images; caches are in {folder}/.cache"
        in capsys.readouterr().out
    )
    assert len(arrays(folder)) == 1 and not (tmp_path / "runs").exists()
    monkeypatch.setattr(cache, "decode_image", None)
    main(["fit", *words])
    assert list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))


def test_all_groups_of_settings_are_left_out(folder, capsys):
    """Whatever group this project adds to a training's settings; here the latest and the first."""
    main(["prepare", *FOLDER, f"--data.root={folder}", "--speed.graphs=auto", "--samples.count=4"])
    assert "prepared ImageFolder" in capsys.readouterr().out


def test_a_config_and_the_data_s_settings_are_enough(folder, tmp_path):
    """With an overlay, and with no model at all."""
    (tmp_path / "base.yaml").write_text(
        f"model: VAE\ntrainer: {{max_epochs: 3}}\ndata: {{class_path: ImageFolder, init_args: {{root: {folder}}}}}\n"
    )
    (tmp_path / "overlay.yaml").write_text(
        "model:\n  init_args: {latent_dim: 2}\ndata:\n  init_args: {image_size: 8}\n"
    )
    configs = [f"--config={tmp_path}/base.yaml", "--config", f"{tmp_path}/overlay.yaml"]
    main(["prepare", *configs])
    main(["prepare", *configs, "--data.image_size", "4"])
    main(["prepare", *FOLDER, f"--data.root={folder}", "--data.image_size=16"])
    assert sorted(np.load(path, mmap_mode="r").shape for path in arrays(folder)) == [
        (40, size, size, 3) for size in (4, 8, 16)
    ]


def test_rendered_data_are_rendered_and_decoded(tmp_path, capsys):
    words = ["--config=configs/dcgan.yaml", "--config=configs/quick/dcgan.yaml", "--data.synthetic=true"]
    main(["prepare", *words, "--data.synthetic_count=100", f"--data.root={tmp_path}", "--data.image_size=8"])
    assert "prepared CelebA: 80 train, 10 val, 10 test images" in capsys.readouterr().out
    assert list(tmp_path.glob("rendered/celeba-100-*/cache/celeba-8px-*.npy"))


def test_every_file_is_compared(folder, monkeypatch, capsys):
    """Also in a large set, of which a start compares some."""
    monkeypatch.setattr(manifest, "MOST_FILES", 2)
    words = ["prepare", *FOLDER, f"--data.root={folder}"]
    main(words)
    Image.new("RGB", (8, 8), (200, 0, 0)).save(folder / "01.bmp")
    os.utime(folder / "01.bmp", (1, 1))
    main(words)
    assert len(arrays(folder)) == 2


@pytest.mark.parametrize("name", lit_gen.data.__all__)
def test_every_data_module_can_be_prepared(name, roots, folder, capsys):
    main(["prepare", *words_of(name, roots, folder)])
    assert f"prepared {name}: " in capsys.readouterr().out


def words_of(name: str, roots: dict[str, Path], folder: Path) -> list[str]:
    """The settings that a data module needs; of one's own images there are forty in `folder`."""
    words = [f"--data={name}", "--data.image_size=16", "--data.batch_size=4"]
    words += ["--data.val_size=100"] if name.startswith("MNIST") else []
    if name == "ImageTable":
        rows = [f"{path.name},{number % 2}" for number, path in enumerate(sorted(folder.glob("*.bmp")))]
        (folder / "metadata.csv").write_text("\n".join(["file_name,red", *rows]))
    if name == "UnpairedFolders":
        shutil.copytree(folder, folder.parent / "others")
        return [*words, f"--data.folder_a={folder}", f"--data.folder_b={folder.parent / 'others'}"]
    return [*words, f"--data.root={roots.get(name, folder)}"]


def test_another_data_module_of_lightning_s(capsys):
    main(["prepare", "--data=lightning.pytorch.demos.boring_classes.BoringDataModule"])
    assert "prepared BoringDataModule" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "no data is named"), ("--dta=MNIST", "no setting --dta. Did you mean data?"),
        ("--data=OwnImages --data.root=x", "there is no data 'OwnImages'"),
        ("--data=Mnist", "Did you mean MNIST?"), ("--data=MNIST --data.rot=x", "no setting 'rot'. Did you mean root?"),
        ("configs/vae.yaml", "--config configs/vae.yaml"), ("--data=MNIST now", "cannot do anything with 'now'"),
        ("--config configs/nothing.yaml", "there is no config configs/nothing.yaml"),
        ("--data=MNIST --data.root=/nowhere --data.download=false", "MNIST is not there"),
        ("--data=MNIST --data.val_size=some", "val_size"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line(words, expected, capsys):
    assert expected in mistake(["prepare", *words.split()], capsys)


@pytest.mark.parametrize("form", ["prepare --help", "prepare -h", "help prepare"])
def test_the_help(form, capsys):
    with pytest.raises(SystemExit) as end:
        main(form.split())
    text = capsys.readouterr().out
    assert not end.value.code and "  CelebA " in text and "VAE" not in text and len(text.splitlines()) <= 50
    assert len(re.findall("^  python main.py prepare ", text, re.MULTILINE)) == 3


# --------------------------------------------------------------------------------------------- processes that train

SLOW = """
import os, time
from lit_gen.data import cache
original = cache.decode_image
def slow(path, **settings):
    with open(os.environ["DECODED"], "a") as file:
        file.write(path.name + "\\n")
    time.sleep(0.5)
    return original(path, **settings)
cache.decode_image = slow
if __name__ == "__main__":
    from lit_gen.cli import main
    main()
"""


@pytest.mark.slow  # it waits for longer than the messages' time limit
def test_no_process_waits_for_a_message_while_another_decodes(folder, tmp_path):
    """Decoding takes twenty seconds, and a message may take ten."""
    (tmp_path / "slow.py").write_text(SLOW)
    words = [*TINY, *FOLDER, f"--data.root={folder}", "--trainer.devices=2", "--trainer.accelerator=cpu"]
    words += ["--trainer.strategy=DDPStrategy", "--trainer.strategy.timeout=0:00:10", "--trainer.max_epochs=1"]
    words += ["--trainer.logger=false", f"--trainer.default_root_dir={tmp_path}/runs"]
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", tmp_path / "slow.py",
         "fit", *words],
        cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DECODED": str(tmp_path / "decoded")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert sorted((tmp_path / "decoded").read_text().split()) == [f"{number:02d}.bmp" for number in range(40)]
    assert re.search(r"waiting for process \d+ on .*, which is decoding images at 8 px \(\d+ s so far\)", done.stderr)
    assert list(tmp_path.glob("runs/vae/*/checkpoints/last.ckpt"))


def test_each_process_names_what_is_wrong_itself(folder, capsys, monkeypatch):
    """Else the others would wait for the one that has ended."""
    (folder / "07.bmp").write_bytes(b"no image")
    monkeypatch.setattr("lit_gen.cli.rank", lambda: 1)
    assert "07.bmp" in mistake(["fit", *TINY, *FOLDER, f"--data.root={folder}"], capsys)


def test_rendering_is_done_by_one_of_several_processes(tmp_path):
    """That come at once."""

    class Rendered(ImageData):
        def render(self, folder: Path) -> None:
            time.sleep(0.5)
            (folder / "done").write_text("once")
            with (tmp_path / "log").open("a") as file:
                file.write("x")

    children = []
    for _ in range(4):
        if not (child := os.fork()):
            Rendered(tmp_path / "data", synthetic=True).prepare_data()
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert (tmp_path / "log").read_text() == "x"
