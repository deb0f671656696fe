"""Every command and every piece of code in the README and in docs/ does what it says; every link leads somewhere."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning import seed_everything
from PIL import Image

from lit_gen.cli import main
from lit_gen.command_line import seeds
from tests.extras import needs_extra
from tests.models import tiny

REPOSITORY = Path(__file__).parents[1]
README = Path("README.md").read_text()
OWN_PAGE = Path("docs/own-model.md").read_text()
(OWN_MODEL,) = re.findall(r"```python\n(.*?)```", OWN_PAGE, re.DOTALL)
FIRST_PAGES = [Path("README.md"), *sorted(Path("docs").glob("*.md"))]
SYSTEM_PAGES = sorted(Path("docs/systems").glob("*.md"))


def commands_of(page):
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text().replace("\\\n", " "), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith("python main.py")]


# A command that stands on several pages is run once. Of a system's page, no command trains: tests/test_configs.py does.
COMMANDS = list(dict.fromkeys(command for page in FIRST_PAGES for command in commands_of(page)))
OF_SYSTEMS = {command: page.stem for page in SYSTEM_PAGES for command in commands_of(page) if command not in COMMANDS}
ON_MNIST = ("autoencoder", "vae", "aae", "gan", "infogan")
SMALL = {
    "gan": ["--model.generator_sizes=[8]", "--model.discriminator_sizes=[8]"],
    "vae": ["--model.encoder.hidden_sizes=[8]", "--model.num_eval_samples=2"],
    "dcgan": ["--model.max_channels=8"],
    "progan": ["--model.channel_base=64", "--model.max_channels=8"],
    "stargan": ["--model.channels=4", "--model.discriminator_channels=4", "--model.n_critic=1"],
    "cyclegan": ["--model.channels=4", "--model.residual_blocks=1", "--model.discriminator_channels=4"],
    "text2image": ["--model.generator_channels=4", "--model.discriminator_channels=4", "--model.text_channels=[8,8,8]"],
}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, celeba_root, mnist_root):
    """A clone's top folder with the datasets in their places, tiny."""
    place = tmp_path_factory.mktemp("clone")
    shutil.copytree("configs", place / "configs")
    shutil.copytree("pretrained", place / "pretrained")
    shutil.copytree(celeba_root / "celeba", place / "data" / "celeba")
    shutil.copytree(mnist_root / "MNIST", place / "data" / "MNIST")
    (place / "pictures").mkdir()
    for number in range(12):
        Image.new("RGB", (50, 40), (number * 20, 100, 50)).save(place / "pictures" / f"{number}.jpg")
    shutil.copy(place / "pictures" / "0.jpg", place / "photo.png")  # what a file is called makes no difference
    for name in ("people", "horses", "zebras"):
        shutil.copytree(place / "pictures", place / name)
    rows = [f"{number}.jpg,{number % 2},{'yes' if number > 5 else 'no'}" for number in range(12)]
    (place / "people" / "metadata.csv").write_text("\n".join(["file_name,smiling,hat", *rows]))
    return place


def test_the_readme_has_commands():
    assert len(README.splitlines()) <= 100
    assert any("quick/progan" in command for command in COMMANDS)
    assert {"fit", "test", "predict"} <= {command.split()[2] for command in COMMANDS}


def trained_before(command, workplace):
    """The first training of a command's system by its config, where the command goes on from one that is not there.

    Each of several pytest workers has a workplace, and some of the commands.
    """
    if not re.search("--ckpt_path=(last|runs/)", command):
        return []
    system = re.search(r"(?:configs|runs)/(\w+)", command)[1]
    if any(workplace.glob(f"runs/{system}/*/*/last.ckpt")):
        return []
    fits = [other for other in COMMANDS if " fit " in other and f"configs/{system}.yaml" in other]
    return [next(other for other in fits if not re.search("--ckpt_path|--data=|--print_config|--dry_run", other))]


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(one, marks=[pytest.mark.slow] if "--trainer.devices=2 --trainer.precision=bf16" in one else [])
        for one in COMMANDS
    ],
)
def test_command(command, workplace, monkeypatch, capsys):
    """In the order of the pages, on tiny data and for a few batches."""
    monkeypatch.chdir(workplace)
    # Several seeds are trained in this process: others take long to begin, and a slow test has them.
    monkeypatch.setattr(seeds.subprocess, "call", lambda words: main(words[2:]) or 0)
    for one in [*trained_before(command, workplace), command]:
        run(one, workplace)


def run(command, workplace):
    words = shlex.split(command)[2:]
    if {"--model.help", "--print_config"} & set(words):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code in (0, None)
        return
    if words[0] == "runs":
        (workplace / "runs").mkdir(exist_ok=True)
        main(words)
        return
    if words[0] == "export" and (lacks := needs_extra("export")).args[0]:
        pytest.skip(lacks.kwargs["reason"])
    if words[0] in ("check", "new", "export"):
        main(words)
        return
    if "--config" not in command and re.search("--ckpt_path=(runs|pretrained)/", command):
        limits = ["--trainer.limit_test_batches=1", "--trainer.logger=false"] if words[0] == "test" else []
        main([*words, *limits, "--trainer.enable_progress_bar=false"])
        return
    system = re.search(r"configs/(\w+)\.yaml", command)[1]
    words += SMALL[system]
    if any(own in command for own in ("ImageFolder", "ImageTable", "UnpairedFolders")):
        if words[0] == "fit":  # no other command goes on with it
            words += ["--trainer.default_root_dir=others/runs"]
    else:
        on_mnist = ["--data.val_size=100", "--data.synthetic=false"]  # one set for all, so that every run can go on
        words += on_mnist if system in ON_MNIST else ["--data.synthetic_count=120"]
    words += ["--data.batch_size=4"]
    if words[0] == "fit":
        epochs = 2 if "--ckpt_path=last" in words else 1
        words = [word for word in words if "max_epochs" not in word]
        words += [f"--trainer.max_epochs={epochs}", "--trainer.limit_train_batches=2", "--trainer.limit_val_batches=1"]
    else:
        words += [f"--trainer.limit_{words[0]}_batches=1"]
    before = set(workplace.rglob("*.ckpt")) | set(workplace.rglob("predictions/*.png"))
    words += ["--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    if "--trainer.devices=2" in words:
        started = [sys.executable, REPOSITORY / "main.py", *words, "--trainer.accelerator=cpu"]
        done = subprocess.run(started, capture_output=True, text=True, timeout=300, cwd=workplace)
        assert done.returncode == 0, done.stderr
        assert "site-packages" not in done.stderr, "a library warns of what is so on purpose"
    else:
        main(words)
    after = set(workplace.rglob("*.ckpt")) | set(workplace.rglob("predictions/*.png"))
    if words[0] == "predict" or (words[0] == "fit" and not {"--ckpt_path=last", "--dry_run"} & set(words)):
        assert after > before


@pytest.mark.parametrize("command", OF_SYSTEMS)
def test_command_of_a_system(command, tmp_path, monkeypatch):
    """Up to the settings that result: what stands below `runs` is a checkpoint of an older version of the system."""
    words = shlex.split(command)[2:]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(REPOSITORY / "configs")
    fixture = REPOSITORY / "tests/fixtures/e45cbfd" / OF_SYSTEMS[command].replace("_", "")
    for name in {OF_SYSTEMS[command], *re.findall(r"runs/(\w+)", command)}:
        shutil.copytree(fixture, tmp_path / "runs" / name / "a")
    if words[0] == "runs":
        main(words)
        return
    with pytest.raises(SystemExit) as end:
        main([*words, "--print_config"])
    assert end.value.code in (0, None)


def test_every_system_has_a_row():
    configs = list(Path("configs").glob("*.yaml"))
    assert configs
    for config in configs:
        model = yaml.safe_load(config.read_text())["model"]
        name = model if isinstance(model, str) else model["class_path"]
        assert re.search(rf"^\| {name} ", README, re.MULTILINE), name
    assert not re.search(r"\b[A-Z]{8,}\b", re.sub("RESULTS|CONTRIBUTING|CHANGELOG", "", README)), "a placeholder"


@pytest.mark.parametrize("page", [*FIRST_PAGES, *SYSTEM_PAGES, Path("CONTRIBUTING.md")], ids=str)
def test_every_link_leads_somewhere(page):
    for path in re.findall(r"\]\(([^)\s#]+)", page.read_text()):
        assert path.startswith("https://") or (page.parent / path).exists(), path


def test_your_own_model(tmp_path):
    """It is short, learns, and makes images."""
    code = OWN_MODEL
    assert len([line for line in code.splitlines() if line.strip() and not line.strip().startswith("#")]) <= 30
    namespace = {"__name__": "lsgan"}
    exec(code, namespace)
    seed_everything(0, verbose=False)
    model = namespace["LSGAN"](tiny.spec(3, 16))
    before = tiny.parameters(model)
    tiny.trainer(tmp_path, max_epochs=2).fit(model, datamodule=tiny.NoiseData(4, channels=3))
    moved = set(tiny.moved(before, model))
    assert {name.split(".")[0] for name in moved} == {"generator", "discriminator"}
    assert model.generate(3).shape == (3, 3, 16, 16) and torch.isfinite(model.generate(3)).all()


@pytest.mark.slow
def test_the_suite_passes_with_your_own_model(tmp_path):
    """Put where docs/own-model.md says, with all tests that go over the models."""
    for name in ("lit_gen", "tests", "configs"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=shutil.ignore_patterns("*.pyc", "fixtures"))
    for name in ("README.md", "main.py", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, tmp_path)
    (tmp_path / "docs").mkdir()
    shutil.copy(REPOSITORY / "docs/own-model.md", tmp_path / "docs")
    (tmp_path / "lit_gen" / "models" / "lsgan.py").write_text(OWN_MODEL)
    package = tmp_path / "lit_gen" / "models" / "__init__.py"
    exported = package.read_text().replace("__all__ = [", '__all__ = [\n    "LSGAN",')
    package.write_text(exported.replace("\nfrom", "\nfrom lit_gen.models.lsgan import LSGAN\nfrom", 1))
    (command,) = re.findall(r"^python (main.py fit --model=LSGAN .*)$", OWN_PAGE, re.MULTILINE)
    words = [sys.executable, *command.split(), "--print_config"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "LSGAN" in done.stdout, done.stderr
    files = [f"tests/models/test_{name}.py" for name in ("accumulation", "calls_and_copies", "contract", "precision")]
    files += [f"tests/callbacks/test_{name}.py" for name in ("evaluation", "health", "shared_grids", "validation")]
    files += ["tests/command_line/test_help.py", "tests/models/test_pretended_gpu.py"]
    chosen = "LSGAN or one_screen or names_are_those_of_the_code or models_with_a_config"
    words = ["-q", "-x", "-p", "no:cacheprovider", "-W", "ignore", "-k", chosen, *files]
    done = subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count(".") > 40
