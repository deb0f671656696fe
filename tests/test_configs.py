"""Every config and overlay, as a user gives it, on tiny data."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from lightning import Trainer

from lit_gen.cli import main
from lit_gen.models.adversarial import AdversarialModule
from tests.probes import check_probes

CONFIGS = Path("configs")
SYSTEMS = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
# Enough of a paper's width to be its network, little enough for a test.
NARROW = {
    "cyclegan": ["--model.channels=4", "--model.discriminator_channels=4", "--data.batch_size=2"],
    "dcgan": ["--model.max_channels=32"],
    "infogan_celeba": ["--model.generator_channels=[32,16,8,8]", "--model.discriminator_channels=[8,16,32]"],
    "progan": ["--model.channel_base=256", "--model.max_channels=32"],
    "progan_celebahq": ["--model.channel_base=256", "--model.max_channels=32", "--data.image_size=64"],
    "puzzle_gan": ["--model.channels=8"],
    "stargan": ["--model.channels=4", "--model.discriminator_channels=4", "--model.n_critic=2"],
    "text2image": ["--model.generator_channels=8", "--model.discriminator_channels=8", "--model.text_channels=[8,8,8]"],
}


def data_words(system: str, quick: bool, roots: dict[str, Path], rendered: Path) -> list[str]:
    config = yaml.safe_load((CONFIGS / f"{system}.yaml").read_text())
    data = config["data"] if isinstance(config["data"], str) else config["data"]["class_path"]
    words = ["--data.batch_size=8"]
    if data.startswith("MNIST"):
        words.append("--data.val_size=20")
    if data == "ImageFolder":
        return [*words, f"--data.root={roots['CelebA'] / 'celeba'}", f"--data.cache_folder={rendered / 'cache'}"]
    if quick:
        return [*words, f"--data.root={rendered}", "--data.synthetic_count=120"]
    return [*words, f"--data.root={roots[data]}", "--data.download=false"]


def words(system, quick):
    overlay = ["--config", f"configs/quick/{system}.yaml"] if quick else []
    return ["fit", "--config", f"configs/{system}.yaml", *overlay]


def test_there_is_an_overlay_for_every_recipe():
    assert SYSTEMS == sorted(path.stem for path in (CONFIGS / "quick").glob("*.yaml"))
    assert SYSTEMS


@pytest.mark.parametrize("system", SYSTEMS)
def test_recipes_are_short(system):
    for path in (CONFIGS / f"{system}.yaml", CONFIGS / "quick" / f"{system}.yaml"):
        settings = [line for line in path.read_text().splitlines() if not line.startswith("#")]  # a header stands above
        assert len(settings) <= 25


OTHER_SETTINGS = {"gan_sgd", "vae_aevb", "vae_iwae"}  # of a model and data whose config is another


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("system", [system for system in SYSTEMS if system not in OTHER_SETTINGS])
def test_fast_dev_run_writes_nothing(system, quick, roots, rendered, tmp_path):
    main(
        [
            *words(system, quick),
            *data_words(system, quick, roots, rendered),
            *NARROW.get(system, []),
            "--trainer.fast_dev_run=true",
            f"--trainer.default_root_dir={tmp_path}/runs",
        ]
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("quick", [False, True])
@pytest.mark.parametrize("system", SYSTEMS)
def test_both_networks_move(system, quick, roots, rendered, tmp_path, monkeypatch):
    seen = {}
    original = Trainer.fit

    def fit(self, model, *args, **kwargs):
        seen["model"], seen["before"] = model, {n: p.detach().clone() for n, p in model.named_parameters()}
        original(self, model, *args, **kwargs)

    monkeypatch.setattr(Trainer, "fit", fit)
    main(
        [
            *words(system, quick),
            *data_words(system, quick, roots, rendered),
            *NARROW.get(system, []),
            "--trainer.max_epochs=1",
            "--trainer.limit_train_batches=2",
            "--trainer.limit_val_batches=1",
            "--trainer.logger=false",
            f"--trainer.default_root_dir={tmp_path}/runs",
        ]
    )
    model, before = seen["model"], seen["before"]
    moved = {name for name, value in model.named_parameters() if not torch.equal(value, before[name])}
    for network in ("discriminator", "generator") if isinstance(model, AdversarialModule) else ("encoder", "decoder"):
        assert any(name.startswith(f"{network}.") for name in moved), network
    (run,) = (tmp_path / "runs").glob("*/*")
    assert (run / "config.yaml").is_file() and (run / "checkpoints" / "last.ckpt").is_file()
    assert list((run / "samples").glob("*.png"))


IN_PAIRS = ("progan",)
"""The system whose two processes are tried each time: what travels between them changes as it grows."""


@pytest.mark.parametrize(
    "system", [pytest.param(system, marks=[] if system in IN_PAIRS else pytest.mark.slow) for system in SYSTEMS]
)
def test_two_processes_end_with_the_same_weights(system, roots, rendered, tmp_path):
    environment = os.environ | {"PROBE_FOLDER": str(tmp_path), "OMP_NUM_THREADS": "1"}
    settings = [
        *words(system, quick=True), *data_words(system, True, roots, rendered), *NARROW.get(system, []),
        "--trainer.max_epochs=1", "--trainer.limit_train_batches=6", "--trainer.limit_val_batches=1",
        "--trainer.log_every_n_steps=1",
        "--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={tmp_path}/runs", "--data.batch_size=4",
        "--trainer.devices=2", "--trainer.accelerator=cpu", "--trainer.callbacks+=tests.probes.WeightDigest",
    ]  # fmt: skip
    command = [sys.executable, "main.py", *settings]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    check_probes(tmp_path)
    (run,) = (tmp_path / "runs").glob("*/*")
    assert {"config.yaml", "metrics.csv", "checkpoints", "samples"} <= {path.name for path in run.iterdir()}
