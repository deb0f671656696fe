"""The package: what `pip install .` installs, and that it works away from the clone."""

import ast
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from lit_gen import __version__
from lit_gen.command_line.config_files import with_shipped_configs
from lit_gen.runs.commands import program
from tests.test_requirements import needed

ROOT = Path(__file__).parents[1]
PARTS = ("lit_gen", "configs", "setup.py", "pyproject.toml", "requirements.txt", "MANIFEST.in", "README.md", "LICENSE")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A copy of what the package is built from, where the building may write."""
    folder = tmp_path_factory.mktemp("source")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(ROOT / part, folder / part)
    return folder


def pip(*words):
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def installed(source, tmp_path_factory):
    """A folder with the package as a wheel has it, and nothing of the clone."""
    folder = tmp_path_factory.mktemp("installed")
    pip("wheel", str(source), "--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder))
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        file.extractall(folder)
    return folder


def test_all_files_are_in_it(installed):
    for path in (ROOT / "lit_gen").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (installed / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path
    recipes = {path.relative_to(ROOT / "configs") for path in (ROOT / "configs").rglob("*.yaml")}
    assert recipes == {path.relative_to(installed / "lit_gen/configs")
                       for path in (installed / "lit_gen/configs").rglob("*.yaml")}  # fmt: skip
    assert (installed / "lit_gen" / "py.typed").exists()


def test_what_it_says_of_itself(installed):
    (folder,) = installed.glob("*.dist-info")
    said = message_from_string((folder / "METADATA").read_text())
    assert said["Version"] == __version__ and said["Requires-Python"] == ">=3.11"
    plain = [text for text in said.get_all("Requires-Dist") if "extra ==" not in text]
    assert {str(Requirement(text)) for text in plain} == {str(one) for one in needed().values()}
    assert "lit-gen = lit_gen.__main__:main" in (folder / "entry_points.txt").read_text()


def test_it_works_away_from_the_clone(installed, tmp_path):
    """With the recipes by their names."""
    words = ["fit", "--config=vae", "--config", "quick/vae", "--print_config"]
    done = subprocess.run(
        [sys.executable, "-m", "lit_gen", *words], cwd=tmp_path, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(installed)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    settings = yaml.safe_load(done.stdout)
    overlay = yaml.safe_load((ROOT / "configs/quick/vae.yaml").read_text())
    assert settings["model"]["class_path"] == "lit_gen.models.VAE"
    assert settings["trainer"]["max_epochs"] == overlay["trainer"]["max_epochs"]


def test_text_files_are_in_utf_8_whatever_the_locale():
    for path in [*(ROOT / "lit_gen").rglob("*.py"), *(ROOT / "benchmarks").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                # `installed` is a distribution, whose texts are in UTF-8.
                if node.func.attr in ("read_text", "write_text") and ast.unparse(node.func.value) != "installed":
                    assert "encoding" in {word.arg for word in node.keywords}, f"{path}:{node.lineno}"


def test_recipes_by_name(tmp_path, monkeypatch):
    assert with_shipped_configs(["fit", "--config=vae", "-c", "quick/vae", "--model.beta=2"]) == [
        "fit", "--config=configs/vae.yaml", "-c", "configs/quick/vae.yaml", "--model.beta=2",
    ]  # fmt: skip
    others = ["fit", "--config=configs/vae.yaml", "--config=mine", "--name=vae", "--config"]
    assert with_shipped_configs(others) == others
    monkeypatch.chdir(tmp_path)
    assert with_shipped_configs(["fit", "--config=vae"]) == ["fit", f"--config={ROOT / 'configs' / 'vae.yaml'}"]
    Path("vae").write_text("model: VAE\n")
    assert with_shipped_configs(["fit", "--config=vae"]) == ["fit", "--config=vae"], "a file of the user's"


@pytest.mark.parametrize(
    ("started", "words"),
    [
        ("main.py", ["python", "main.py"]),
        ("../clone/main.py", ["python", "../clone/main.py"]),
        ("/usr/bin/lit-gen", ["lit-gen"]),
        ("/site/lit_gen/__main__.py", ["python", "-m", "lit_gen"]),
        ("/usr/bin/pytest", ["python", "main.py"]),
    ],
)
def test_printed_commands_start_the_program_as_it_was_started(started, words, monkeypatch):
    monkeypatch.setattr(sys, "argv", [started, "fit"])
    assert program() == words


@pytest.mark.slow
@pytest.mark.parametrize("how", [[], ["--editable"]])
def test_the_program_in_an_environment(how, source, tmp_path):
    """It has this environment's packages, but for this one."""
    venv.create(tmp_path / "environment", with_pip=True)
    scripts = tmp_path / "environment" / ("Scripts" if os.name == "nt" else "bin")
    (tmp_path / "packages").mkdir()
    for package in Path(sysconfig.get_path("purelib")).iterdir():
        if not package.name.startswith("lit_gen"):
            (tmp_path / "packages" / package.name).symlink_to(package)
    beside = os.environ | {"PYTHONPATH": str(tmp_path / "packages")}
    pip = [scripts / "python", "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", *how, source]
    subprocess.run(pip, check=True, env=beside)
    words = ["fit", "--config=gan", "--print_config"]
    done = subprocess.run([scripts / "lit-gen", *words], cwd=tmp_path, capture_output=True, text=True, env=beside)
    assert done.returncode == 0 and "lit_gen.models.GAN" in done.stdout, done.stderr
    for folder, words in {
        ".": ["new", "my gan", "--model=GAN", "--data=MNIST"],
        "my gan": ["fit", "--config=my_gan.yaml", "--print_config"],
    }.items():
        line = [scripts / "lit-gen", *words]
        done = subprocess.run(line, cwd=tmp_path / folder, capture_output=True, text=True, env=beside)
        assert done.returncode == 0, done.stderr
    assert "my_gan.MyGAN" in done.stdout
    assert f"lit_gen @ {source.as_uri()}" in (tmp_path / "my gan" / "requirements.txt").read_text()
    assert str(ROOT) not in "".join(path.read_text() for path in (tmp_path / "my gan").iterdir())
