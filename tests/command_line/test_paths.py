"""`~` is the home. An empty path, as of an unset variable of the shell, is refused: it would mean this folder."""

import pytest
from PIL import Image

from lit_gen.cli import main
from lit_gen.command_line.paths import EMPTY, with_home
from lit_gen.data import ImageFolder
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


def test_the_home_in_words_configs_and_python(tmp_path_factory, monkeypatch, here):
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    words = ["fit", "--data.root=~/a b", "--config", "~/c.yaml", "--ckpt_path=~", "--prompts=a ~ b", "--x=a~/b", "-c"]
    assert with_home(words) == [
        "fit", f"--data.root={home}/a b", "--config", f"{home}/c.yaml", f"--ckpt_path={home}", "--prompts=a ~ b",
        "--x=a~/b", "-c",
    ]  # fmt: skip
    (home / "own.yaml").write_text("data:\n  class_path: ImageFolder\n  init_args: {root: ~/pictures}\n")
    (home / "pictures").mkdir()
    for number in range(8):
        Image.new("RGB", (16, 16), number).save(home / "pictures" / f"{number}.png")
    main(["fit", "--config=~/own.yaml", *TINY_VAE, "--data.image_size=16", "--data.batch_size=2",
          "--data.cache_folder=~/cache", "--trainer.fast_dev_run=true"])  # fmt: skip
    assert list((home / "cache").iterdir())
    data = ImageFolder(root="~/pictures", cache_folder="~/cache")
    assert (data.root, data.own_folder) == (home / "pictures", home / "cache")
