"""Commands that would do nothing say so in one line, and end with code 2."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lit_gen.cli import main
from lit_gen.data import ImageFolder
from lit_gen.data.datasets import ArrayDataset
from lit_gen.data.unpaired import UnpairedDataset
from lit_gen.errors import UserError
from lit_gen.models import VAE
from tests.models import tiny

MODELS = {
    "MNIST": ["VAE", "latent_dim=2", "encoder.hidden_sizes=[4]"],
    "CelebA": ["VAE", "latent_dim=2", "encoder.hidden_sizes=[4]"],
    "ImageFolder": ["VAE", "latent_dim=2", "encoder.hidden_sizes=[4]"],
    "Horse2Zebra": ["CycleGAN", "residual_blocks=1", "channels=4", "discriminator_layers=1"],
    "MNISTCaptions": ["Text2Image", "generator_channels=4", "discriminator_channels=4", "image_encoder_channels=4"],
    "CelebACaptions": ["Text2Image", "generator_channels=4", "discriminator_channels=4", "image_encoder_channels=4"],
}


def command(subcommand: str, data: str, root: Path, tmp_path: Path, *more: str) -> list[str]:
    """The checkpoint is none: what is tried ends before it is read."""
    model, *settings = MODELS[data]
    words = [subcommand, f"--model={model}", *(f"--model.{setting}" for setting in settings)]
    words += [f"--data={data}", f"--data.root={root}", f"--trainer.default_root_dir={tmp_path}/runs"]
    words += [] if data == "ImageFolder" else ["--data.download=false"]
    words += [] if data == "MNIST" else ["--data.image_size=32" if "Captions" in data else "--data.image_size=16"]
    if subcommand != "fit":
        (tmp_path / "a.ckpt").touch()
        words.append(f"--ckpt_path={tmp_path}/a.ckpt")
    return [*words, "--trainer.logger=false", *more]


def mistake(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (16, 16), (number, 0, 0)).save(folder / f"{number}.png")
    return folder


def celeba_without(code: int, root: Path, target: Path) -> Path:
    """CelebA whose list of splits has one less: its images are for training, or for tests where that one is it."""
    shutil.copytree(root, target, ignore=shutil.ignore_patterns("cache"))
    path = target / "celeba" / "list_eval_partition.txt"
    other = {0: "2", 1: "0", 2: "0"}[code]
    lines = [line.split() for line in path.read_text().splitlines()]
    path.write_text("".join(f"{name} {other if value == str(code) else value}\n" for name, value in lines))
    return target


def test_no_held_out_digits(mnist_root, tmp_path, capsys):
    for data in ("MNIST", "MNISTCaptions"):
        line = mistake(command("validate", data, mnist_root, tmp_path, "--data.val_size=0"), capsys)
        assert (
            f"{data} has no validation images, and validate reads those. Set --data.val_size above 0, and train anew"
            in line
        )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("subcommand", ["validate", "test"])
def test_no_held_out_pictures(subcommand, tmp_path, capsys):
    folder = pictures(tmp_path / "in", 12)
    words = command(subcommand, "ImageFolder", folder, tmp_path, "--data.val_fraction=0")
    split = {"validate": "validation", "test": "test"}[subcommand]
    line = mistake(words, capsys)
    assert f"ImageFolder has no {split} images" in line and "Set --data.val_fraction above 0, and train anew" in line
    assert not (tmp_path / "runs").exists()
    data = ImageFolder(folder, image_size=16, val_fraction=0.01)
    data.setup("fit")
    assert len(data.datasets["val"]) == len(data.datasets["test"]) == 1


def test_a_single_picture(tmp_path, capsys):
    line = mistake(command("test", "ImageFolder", pictures(tmp_path / "in", 1), tmp_path), capsys)
    assert f"Put more images than 1 into {tmp_path}/in" in line


@pytest.mark.parametrize(("subcommand", "code"), [("fit", 0), ("validate", 1), ("test", 2), ("predict", 2)])
@pytest.mark.parametrize("data", ["CelebA", "CelebACaptions"])
def test_a_list_of_splits_that_lacks_one(data, subcommand, code, celeba_root, tmp_path, capsys):
    root = celeba_without(code, celeba_root, tmp_path / "data")
    line = mistake(command(subcommand, data, root, tmp_path), capsys)
    split = ["training", "validation", "test"][code]
    assert f"{data} has no {split} images, and {subcommand} reads those. Give some images the code {code} in " in line
    assert "list_eval_partition.txt" in line
    assert not (tmp_path / "runs").exists()


def test_all_combinations_held_out(celeba_root, tmp_path, capsys):
    words = command("validate", "CelebACaptions", celeba_root, tmp_path, "--data.held_out=[[Male], [not Male]]")
    assert "Or hold out fewer combinations (--data.held_out)" in mistake(words, capsys)


@pytest.fixture
def animals(horse2zebra_root, tmp_path) -> Path:
    """A root folder with horse2zebra/ whose testB holds nothing but a hidden file."""
    shutil.copytree(horse2zebra_root, tmp_path / "data", ignore=shutil.ignore_patterns("cache"))
    for path in (tmp_path / "data" / "horse2zebra" / "testB").iterdir():
        path.rename(path.with_name(f".{path.name}"))
    return tmp_path / "data"


def test_no_held_out_animals(horse2zebra_root, tmp_path, capsys):
    words = command("validate", "Horse2Zebra", horse2zebra_root, tmp_path, "--data.val_fraction=0")
    assert "no validation images, and validate reads those. Set --data.val_fraction above 0" in mistake(words, capsys)


@pytest.mark.parametrize("subcommand", ["test", "predict"])
def test_an_empty_folder_of_test_pictures(subcommand, animals, tmp_path, capsys):
    line = mistake(command(subcommand, "Horse2Zebra", animals, tmp_path), capsys)
    assert "Horse2Zebra has no " in line and f"Put images into testA and testB in {animals}/horse2zebra" in line
    assert not (tmp_path / "runs").exists()


def test_an_unpaired_domain_is_empty():
    some, none = np.zeros((3, 4, 4, 3), np.uint8), np.zeros((0, 4, 4, 3), np.uint8)
    assert [len(UnpairedDataset(*pair, fixed=True)) for pair in ((some, none), (none, some), (some, some))] == [0, 0, 3]


TRAINABLE = ["MNIST", "ImageFolder", "CelebA", "Horse2Zebra"]


@pytest.mark.parametrize("data", TRAINABLE)
def test_a_training_can_do_without_held_out_images(data, mnist_root, celeba_root, animals, tmp_path):
    more = {"MNIST": ["--data.val_size=0"], "ImageFolder": ["--data.val_fraction=0"], "CelebA": []}
    more["Horse2Zebra"] = ["--data.val_fraction=0"]
    if data == "CelebA":
        root = celeba_without(1, celeba_root, tmp_path / "faces")
    else:
        root = {"MNIST": mnist_root, "Horse2Zebra": animals}.get(data) or pictures(tmp_path / "in", 8)
    short = ["--trainer.max_epochs=1", "--trainer.limit_train_batches=2", "--data.batch_size=2"]
    main(command("fit", data, root, tmp_path, *more[data], *short))
    assert list(tmp_path.glob("runs/*/*/checkpoints/last.ckpt"))


def test_lightnings_own_trainer_says_it_too(mnist_root, tmp_path):
    from lit_gen.data import MNIST

    data, trainer = MNIST(mnist_root, image_size=16, val_size=0, batch_size=100), tiny.trainer(tmp_path)
    model = tiny.build(VAE)
    with pytest.raises(UserError, match="no validation images"):
        trainer.validate(model, datamodule=data)

    class WithoutTests(MNIST):
        def setup(self, stage):
            super().setup(stage)
            dataset = self.datasets["test"]
            self.datasets["test"] = ArrayDataset(dataset.batch_type, dataset.arrays, np.arange(0))

    data = WithoutTests(mnist_root, image_size=16, val_size=0, batch_size=100)
    for run in (trainer.test, trainer.predict):
        with pytest.raises(UserError, match="no test images"):
            run(model, datamodule=data)
    trainer.fit(model, datamodule=data)


@pytest.mark.parametrize(
    ("subcommand", "setting"),
    [
        ("fit", "limit_train_batches=0"), ("fit", "limit_train_batches=0.0"), ("fit", "max_epochs=0"),
        ("fit", "max_steps=0"), ("validate", "limit_val_batches=0"), ("test", "limit_test_batches=0"),
        ("test", "limit_test_batches=0.0"), ("predict", "limit_predict_batches=0"),
    ],
)  # fmt: skip
def test_the_trainer_is_told_to_do_nothing(subcommand, setting, mnist_root, tmp_path, capsys):
    words = command(subcommand, "MNIST", mnist_root, tmp_path, "--data.val_size=100", f"--trainer.{setting}")
    line = mistake(words, capsys)
    assert f"trainer.{setting.split('=')[0]} is 0" in line and f"{subcommand} would do nothing" in line
    assert not (tmp_path / "runs").exists()


def test_a_limit_of_another_command_is_no_hindrance(mnist_root, tmp_path):
    more = ["--trainer.limit_val_batches=0", "--trainer.limit_test_batches=0", "--trainer.max_epochs=1"]
    more += ["--data.val_size=100", "--trainer.limit_train_batches=2"]
    main(command("fit", "MNIST", mnist_root, tmp_path, *more))
    main(command("fit", "MNIST", mnist_root, tmp_path, *more[3:], "--trainer.limit_train_batches=0",
                 "--trainer.fast_dev_run=true"))  # fmt: skip
    assert len(list(tmp_path.glob("runs/vae/*"))) == 1
