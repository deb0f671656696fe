"""What a resumed run says of settings that are not those it was trained with."""

from pathlib import Path

import pytest
import torch
import yaml

from lit_gen.cli import main
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.runs import changes as compared
from lit_gen.runs.changes import changes_of_run, differences
from lit_gen.runs.settings import read_settings
from tests.test_cli import TINY_DCGAN, TINY_VAE, data, fit, mistake, runs  # noqa: F401  the two are fixtures

SPEC = {"image_shape": [1, 28, 28], "num_classes": 10, "attributes": []}


def config(**parts) -> dict:
    usual = {
        "model": {"class_path": "lit_gen.models.VAE", "init_args": {"latent_dim": 2, "beta": 1.0}},
        "data": {"class_path": "lit_gen.data.MNIST", "init_args": {"root": "data", "batch_size": 16}},
        "trainer": {"max_epochs": 1, "default_root_dir": "runs", "callbacks": None},
        "ckpt_path": None,
    }
    return usual | parts


def changes(tmp_path: Path, old: dict, new: dict) -> list[str]:
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(old))
    return [str(change) for change in changes_of_run(read_settings(tmp_path), new)]


def changes_of_model(old: dict, new: dict) -> list[str]:
    return [str(change) for change in compared.changes_of_model(old, new)]


def test_equal_settings_do_not_differ(tmp_path):
    assert changes(tmp_path, config(), config(ckpt_path="last.ckpt", seed_everything=3)) == []
    assert differences({"a": (1, [2])}, {"a": [1, (2,)]}) == []


def test_each_part_is_compared(tmp_path):
    new = config(
        model={"class_path": "lit_gen.models.VAE", "init_args": {"latent_dim": 3, "beta": 1.0}},
        data={"class_path": "lit_gen.data.MNIST", "init_args": {"root": "data", "batch_size": 8}},
        trainer={"max_epochs": 2, "default_root_dir": "elsewhere", "callbacks": None},
    )
    expected = ["model.latent_dim 2 -> 3", "data.batch_size 16 -> 8", "trainer.max_epochs 1 -> 2"]
    assert changes(tmp_path, config(), new) == expected


def test_of_another_class_only_the_name_is_told(tmp_path):
    new = config(model={"class_path": "lit_gen.models.GAN", "init_args": {"latent_dim": 64}})
    assert changes(tmp_path, config(), new) == ["model.class_path lit_gen.models.VAE -> lit_gen.models.GAN"]


def test_two_paths_to_one_class_are_no_difference(tmp_path):
    new = config(model={"class_path": "lit_gen.models.vae.VAE", "init_args": {"latent_dim": 3, "beta": 1.0}})
    assert changes(tmp_path, config(), new) == ["model.latent_dim 2 -> 3"]
    old = {"_class_path": "lit_gen.models.VAE", "latent_dim": 2, "spec": SPEC}
    assert changes_of_model(old, old | {"_class_path": "lit_gen.models.vae.VAE", "latent_dim": 3}) == [
        "model.latent_dim 2 -> 3"
    ]
    assert changes_of_model(old, old | {"_class_path": "mine.VAE"}) == ["model lit_gen.models.VAE -> mine.VAE"]


def test_nothing_is_said_of_settings_that_one_of_them_does_not_know(tmp_path):
    new = config(trainer={"max_epochs": 1, "newly_invented": True})
    assert changes(tmp_path, config(), new) == []


def test_long_values_are_cut(tmp_path):
    [change] = differences({"text": "a"}, {"text": "many\nwords " * 20})
    assert str(change) == "text a -> many words many words many words many..."


@pytest.mark.parametrize("content", [None, "", "model: VAE", "model: [", "- 1", "model: {class_path: 1}", b"\xff\xfe"])
def test_a_config_that_cannot_be_read_is_no_config(tmp_path, content):
    if content is not None:
        (tmp_path / "config.yaml").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert changes_of_run(read_settings(tmp_path), config()) is None


def test_hyperparameters_and_what_the_data_gave():
    old = {
        "spec": SPEC,
        "latent_dim": 2,
        "encoder": network(MLPEncoder, hidden_sizes=[8]),
        "_class_path": "lit_gen.models.VAE",
    }
    new = old | {"spec": SPEC | {"image_shape": (1, 32, 32)}, "encoder": network(MLPEncoder, hidden_sizes=(8, 8))}
    expected = ["data.spec.image_shape [1, 28, 28] -> (1, 32, 32)", "model.encoder.hidden_sizes [8] -> (8, 8)"]
    assert changes_of_model(old, new) == expected
    assert changes_of_model({}, new) == changes_of_model(new, new) == []
    other = {"spec": SPEC, "latent_dim": 3, "_class_path": "lit_gen.models.GAN"}
    assert changes_of_model(old, other) == ["model lit_gen.models.VAE -> lit_gen.models.GAN"]


# ------------------------------------------------------------------------------------------------- as a user sees it


def changed(caplog) -> list[str]:
    """The lines of the summary from `changed:` on."""
    [summary] = [record.getMessage() for record in caplog.records if "devices: " in record.getMessage()]
    return [line.strip() for line in summary.partition(" changed: ")[2].splitlines()]


def test_a_resumed_run_tells_what_differs(data, runs, caplog):  # noqa: F811
    with caplog.at_level("INFO"):
        run = fit(TINY_VAE, data, runs)
        assert changed(caplog) == []
        caplog.clear()
        words = ["--trainer.max_epochs=2", "--model.learning_rate=0.01", "--data.batch_size=8"]
        assert fit(TINY_VAE, data, runs, "--ckpt_path=last", *words) is None
        expected = ["model.learning_rate 0.001 -> 0.01", "data.batch_size 16 -> 8", "trainer.max_epochs 1 -> 2"]
        assert changed(caplog) == expected
        caplog.clear()
        fit(TINY_VAE, data, runs, f"--ckpt_path={run}/checkpoints/last.ckpt", *words)
    assert changed(caplog) == ["nothing, against the run's config.yaml"]


def test_networks_of_other_sizes_are_refused_by_their_settings(data, runs, capsys):  # noqa: F811
    """And the run's settings, which the line refers to, stay."""
    run = fit(TINY_VAE, data, runs)
    before = (run / "config.yaml").read_text()
    words = ["fit", *data, f"--trainer.default_root_dir={runs}", "--trainer.logger=false", "--ckpt_path=last"]
    line = mistake([*words, "--model=VAE", "--model.latent_dim=3", "--model.encoder.hidden_sizes=[9]"], capsys)
    assert "What differs: model.latent_dim 2 -> 3, model.encoder.hidden_sizes [8] -> [9]. Use the settings" in line
    line = mistake([*words, *TINY_VAE, "--data.image_size=32"], capsys)
    assert (
        "data.spec.image_shape [1, 28, 28] -> [1, 32, 32]" in line
        and "with: --data.image_size, --data.channels and" in line
    )
    words[-1] = f"--ckpt_path={run}/checkpoints/last.ckpt"
    line = mistake([*words, *TINY_DCGAN], capsys)
    assert "does not fit this DCGAN" in line and "model lit_gen.models.VAE -> lit_gen.models.DCGAN" in line
    line = mistake(["test", *words[1:], *TINY_DCGAN], capsys)
    assert 'Missing key(s) in state_dict: "generator.' in line and len(line) < 500  # not all names of both networks
    assert line.endswith("with: leave --config and --model out, or give --config <run>/config.yaml.")
    assert (run / "config.yaml").read_text() == before
    main(["fit", "--config", f"{run}/config.yaml", words[-1], "--trainer.max_epochs=2"])
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
