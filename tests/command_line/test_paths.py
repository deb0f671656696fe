"""An empty path, as of a variable of the shell that is not set, is refused: it would mean the current folder."""

import pytest
from PIL import Image

from lit_gen.command_line.paths import EMPTY
from tests.test_cli import TINY_VAE, mistake

OWN = ["--data=ImageFolder", "--data.image_size=16"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current folder that has what would be found there; nothing may be written to it."""
    for number in range(8):
        Image.new("RGB", (16, 16), number).save(tmp_path / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    before = set(tmp_path.iterdir())
    yield tmp_path
    assert set(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "option"),
    [
        (["fit", *OWN, *TINY_VAE, "--data.root="], "data.root"),
        (["fit", *OWN, *TINY_VAE, "--data.root", " "], "data.root"),
        (["fit", *OWN, *TINY_VAE, "--data.root=.", "--data.cache_folder="], "data.cache_folder"),
        (["fit", *OWN, *TINY_VAE, "--data.root=.", "--trainer.default_root_dir="], "trainer.default_root_dir"),
        (["fit", *OWN, *TINY_VAE, "--data.root=.", "--ckpt_path="], "ckpt_path"),
        (["fit", *TINY_VAE, "--data={class_path: ImageFolder, init_args: {root: ''}}"], "data.root"),
        (["check", *OWN, "--data.root="], "data.root"),
        (["prepare", *OWN, "--data.root="], "data.root"),
        (["prepare", "--data=UnpairedFolders", "--data.folder_a=.", "--data.folder_b="], "data.folder_b"),
        (["predict", *OWN, *TINY_VAE, "--data.root=.", "--ckpt_path=0.png", "--output="], "output"),
        (["export", "--ckpt_path="], "ckpt_path"),
        (["export", "--ckpt_path=last", "--trainer.default_root_dir="], "trainer.default_root_dir"),
    ],
)
def test_an_empty_path(words, option, capsys):
    assert mistake(words, capsys) == f"error: --{option} {EMPTY}."


@pytest.mark.parametrize(
    "words", [["export", "--output="], ["new", ""], ["runs", ""], ["runs", "report", "a", "--root="]]
)
def test_an_empty_path_of_other_commands(words, capsys):
    assert EMPTY in mistake(words, capsys)
