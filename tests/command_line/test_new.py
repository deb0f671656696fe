"""The command `new`: a project for each model and data module, whose own test passes; or one line, and nothing."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import lit_gen.data
import lit_gen.models
from lit_gen.cli import main
from lit_gen.command_line import help
from lit_gen.command_line import new as module
from lit_gen.command_line.config_files import SHIPPED
from lit_gen.data.contract import batch_types, fields_read
from tests.command_line.test_prepare import mistake

ROOT = Path(__file__).parents[2]
ALL = [(model, data) for model in lit_gen.models.__all__ for data in lit_gen.data.__all__]


def fits(model, data):
    """Whether a batch of the data may have what the model reads."""
    needs = set(fields_read(getattr(lit_gen.models, model)))
    return any(needs <= set(kind._fields) for kind in batch_types(getattr(lit_gen.data, data)))


FITTING = [pair for pair in ALL if fits(*pair)]
FIRST = list({model: (model, data) for model, data in FITTING}.values())  # a pair for each model
SOME = {*FIRST, *{data: (model, data) for model, data in FITTING}.values()}  # and for each data module
QUICK = [("GAN", "ImageFolder")]


def test_pairs_that_do_not_fit_are_refused(tmp_path, capsys):
    """By the check that trainings have."""
    assert {model for model, _ in FITTING} == set(lit_gen.models.__all__)
    for model, data in set(ALL) - set(FITTING):
        line = mistake(["new", str(tmp_path / "x"), f"--model={model}", f"--data={data}"], capsys)
        assert "Data that fit: " in line and not (tmp_path / "x").exists()


def test_projects_are_whole(tmp_path):
    """For each model, and each data module: valid Python with all imports, and a config of its own class."""
    for model, data in SOME:
        folder = tmp_path / f"my {model}-on-{data}"
        main(["new", str(folder), f"--model={model}", f"--data={data}"])
        names = {path.name for path in folder.iterdir()}
        (config,) = (name for name in names if name.endswith(".yaml"))
        stem = Path(config).stem
        assert names == {config, f"{stem}.py", f"test_{stem}.py", "main.py", "README.md", "requirements.txt",
                         "pytest.ini", ".gitignore"}  # fmt: skip
        for name in names:
            text = (folder / name).read_text()
            assert "$" not in text, (name, text)
            if name.endswith(".py"):
                ast.parse(text)
        settings = yaml.safe_load((folder / config).read_text())
        assert settings["model"]["class_path"] == f"{stem}.My{model}" and settings["data"]["class_path"] == data
    ruff = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E,F,B,UP", "--line-length=120", tmp_path]
    assert subprocess.run(ruff).returncode == 0


def test_the_examples_of_the_help(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in help.EXAMPLES["new"]:
        main(["new", *example.split()])
        assert (tmp_path / example.split()[0] / "README.md").is_file()


def test_the_settings_of_the_recipe(tmp_path):
    """With its own data all of them; with others those that are not for its data."""
    for data in ("CelebA", "ImageFolder"):
        main(["new", str(tmp_path / data), "--model=DCGAN", f"--data={data}"])
    own, other = (yaml.safe_load((tmp_path / data / "my_dcgan.yaml").read_text()) for data in ("CelebA", "ImageFolder"))
    quick = yaml.safe_load((SHIPPED / "quick" / "dcgan.yaml").read_text())
    assert own["model"]["init_args"] == other["model"]["init_args"] == quick["model"]["init_args"]
    assert own["data"]["init_args"] == {"horizontal_flip": False} | quick["data"]["init_args"]
    assert other["data"]["init_args"] == {"root": "images", "image_size": 32, "batch_size": 64}
    assert own["trainer"] == other["trainer"] == quick["trainer"]


def test_the_model_s_file_has_the_losses_as_they_are(tmp_path):
    main(["new", str(tmp_path / "x"), "--model=DCGAN", "--data=ImageFolder"])
    text = (tmp_path / "x" / "my_dcgan.py").read_text()
    paper = (ROOT / "lit_gen" / "models" / "dcgan.py").read_text()
    losses = paper[paper.index("    def discriminator_loss") :]
    assert text.endswith(losses) and "class MyDCGAN(DCGAN):" in text
    assert "# self.generator = Generator(latent_dim, widths, image_channels)\n" in text


@pytest.fixture
def imported(monkeypatch):
    """Takes what a test imports of a project away again."""
    before = set(sys.modules)
    yield monkeypatch.syspath_prepend
    for name in set(sys.modules) - before:
        if name.startswith(("my_", "test_my_")):
            del sys.modules[name]


def make(model, data, folder):
    main(["new", str(folder / "project"), f"--model={model}", f"--data={data}"])


def run_its_test(folder, imported):
    imported(str(folder / "project"))
    (test,) = (folder / "project").glob("test_*.py")
    namespace = {"__name__": test.stem, "__file__": str(test)}
    exec(compile(test.read_text(), test, "exec"), namespace)
    namespace["test_it_trains_and_is_used"](folder)


@pytest.mark.parametrize(("model", "data"), QUICK)
def test_its_test_passes(model, data, tmp_path, imported):
    make(model, data, tmp_path)
    run_its_test(tmp_path, imported)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "data"), [pair for pair in FITTING if pair not in QUICK])
def test_its_test_passes_for_every_pair(model, data, tmp_path, imported):
    make(model, data, tmp_path)
    run_its_test(tmp_path, imported)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "data"), FIRST)
def test_pytest_passes_there(model, data, tmp_path):
    """In a process that has this clone from nowhere but the project, unless the package is installed."""
    folder = tmp_path / "of two words"
    main(["new", str(folder), f"--model={model}", f"--data={data}"])
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-m", "pytest"], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0 and "1 passed" in done.stdout, done.stdout
    words = ["fit", "--config", f"{next(folder.glob('*.yaml')).name}", "--print_config"]
    done = subprocess.run([sys.executable, "main.py", *words], cwd=folder, env=clean, capture_output=True, text=True)
    assert done.returncode == 0 and f"class_path: {next(folder.glob('*.yaml')).stem}.My{model}" in done.stdout


@pytest.mark.slow
def test_a_loss_that_is_not_finite_fails_its_test(tmp_path, imported):
    """So that the test can fail."""
    make("GAN", "ImageFolder", tmp_path)
    file = tmp_path / "project" / "my_gan.py"
    before = "return self.generator_term(self.discriminator(fakes))"
    assert before in file.read_text()
    file.write_text(file.read_text().replace(before, 'return {"g_adversarial": fakes.mean() / 0}'))
    with pytest.raises(SystemExit):
        run_its_test(tmp_path, imported)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("full --model=GAN --data=MNIST", "full is not empty. Name a folder"),
        ("full/mine.txt --model=GAN --data=MNIST", "mine.txt is a file. Name a folder"),
        ("x --model=GAM --data=MNIST", "there is no model 'GAM'. Did you mean GAN?"),
        ("x --model=GAN --data=MNISTT", "there is no data 'MNISTT'. Did you mean MNIST?"),
        ("x --model=GAN", "new needs --data=<name>, one of CelebA"),
        ("x --data=MNIST", "new needs --model=<name>, one of AAE"),
        ("--model=GAN --data=MNIST", "new: the following arguments are required: folder."),
        ("x --model=GAN --data=MNIST --model.latent_dim=2", "unrecognized arguments: --model.latent_dim=2"),
        ("x --model=CycleGAN --data=ImageFolder", "CycleGAN needs batches with fields image_a, image_b"),
    ],
)
def test_one_line_and_nothing_is_written(words, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert said in mistake(["new", *words.split()], capsys)
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["full", "full/mine.txt"]


@pytest.mark.parametrize("there", [False, True])
def test_all_or_nothing(there, tmp_path, monkeypatch):
    """Also where the empty folder is there, and a shell in it, which none may take the place of."""
    folder = tmp_path / "x"
    if there:
        folder.mkdir()
        number = folder.stat().st_ino
    with pytest.raises(UnicodeEncodeError):
        module.write(folder, {"one.py": "1", "two.py": "\ud800"})
    assert list(tmp_path.rglob("*")) == ([folder] if there else [])
    module.write(folder, {"one.py": "1"})
    assert (folder / "one.py").read_text() == "1"
    assert not there or folder.stat().st_ino == number


def test_where_it_is_installed_from(monkeypatch):
    class Installed:
        version = "0.1.0"

        def __init__(self, text):
            self.text = text

        def read_text(self, name):
            return self.text if name == "direct_url.json" else None

    for text, line in {
        None: "lit_gen==0.1.0",
        '{"url": "file:///a%20clone", "dir_info": {}}': "lit_gen @ file:///a%20clone",
        '{"url": "https://x/y", "vcs_info": {"vcs": "git", "commit_id": "abc"}}': "lit_gen @ git+https://x/y@abc",
    }.items():
        monkeypatch.setattr(module, "_distribution", lambda text=text: Installed(text))
        assert module.requirement() == line
    monkeypatch.undo()
    left = type("Left", (), {"locate_file": lambda self, path: ROOT / path})  # by a build in the clone
    monkeypatch.setattr(module, "distribution", lambda name: left())
    assert module.requirement() == f"lit_gen @ {ROOT.as_uri()}"
