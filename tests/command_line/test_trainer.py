"""What the Trainer gets is what was typed: a whole number of batches stays one, in each way to give it."""

from contextlib import nullcontext
from functools import wraps
from pathlib import Path

import lightning
import pytest
import yaml
from jsonargparse import Namespace

from lit_gen.cli import main
from lit_gen.command_line.trainer import CommandLineTrainer, arguments_for, check_devices
from lit_gen.errors import UserError
from lit_gen.models import GAN, VAE
from lit_gen.runs.changes import changes_of_run
from lit_gen.training.strategy import AlternatingDDP
from tests.models import tiny
from tests.test_cli import TINY_VAE, data, fit, mistake, runs  # noqa: F401  the two are fixtures

LIMITS = ["limit_train_batches", "limit_val_batches", "limit_test_batches", "limit_predict_batches"]
BATCHES = [*LIMITS, "overfit_batches", "val_check_interval"]


@pytest.fixture
def arrived(monkeypatch):
    """The Trainers that were to run something; none of them does."""
    trainers = []
    for name in ("fit", "validate", "test", "predict"):
        original = getattr(lightning.Trainer, name)  # the command line reads the signature
        monkeypatch.setattr(lightning.Trainer, name, wraps(original)(lambda self, *_, **__: trainers.append(self)))
    return trainers


def given(way: str, settings: dict, tmp_path: Path) -> list[str]:
    """Trainer settings as words, one after the other, as a dictionary, in a file, or in a file laid over another."""
    if way == "words":
        return [f"--trainer.{name}={value}" for name, value in settings.items()]
    if way == "dictionary":
        return ["--trainer", "{" + ", ".join(f"{name}: {value}" for name, value in settings.items()) + "}"]
    lines = "".join(f"  {name}: {value}\n" for name, value in settings.items())
    (tmp_path / "settings.yaml").write_text(f"trainer:\n{lines}")
    (tmp_path / "below.yaml").write_text("trainer:\n" + "".join(f"  {name}: 0.5\n" for name in settings))
    below = ["--config", f"{tmp_path}/below.yaml"] if way == "overlay" else []
    return [*below, "--config", f"{tmp_path}/settings.yaml"]


@pytest.mark.parametrize("way", ["words", pytest.param("dictionary", marks=pytest.mark.slow), "file", "overlay"])
def test_a_whole_number_is_a_number_of_batches_and_one_with_a_point_a_part(way, data, runs, tmp_path, arrived):  # noqa: F811
    def begin(settings: dict) -> None:
        quiet = ["--trainer.logger=false", "--trainer.max_epochs=1", f"--trainer.default_root_dir={runs}"]
        main(["fit", *given(way, settings, tmp_path), *data, *TINY_VAE, *quiet])

    for typed, value in {"1": 1, "1.0": 1.0}.items():
        settings = {name: typed for name in BATCHES if name != "overfit_batches"}
        begin(settings)
        for name in settings:
            arrives = getattr(arrived[-1], name)
            assert arrives == value and isinstance(arrives, type(value)), (name, typed)
    begin({"overfit_batches": "1"})
    assert isinstance(arrived[-1].overfit_batches, int)


@pytest.mark.parametrize("subcommand", ["validate", "test", "predict"])
def test_all_subcommands_read_it_alike(subcommand, data, runs, tmp_path, arrived):  # noqa: F811
    (tmp_path / "trained.ckpt").touch()
    words = [subcommand, *data, *TINY_VAE, f"--ckpt_path={tmp_path}/trained.ckpt", f"--trainer.default_root_dir={runs}"]
    main([*words, *(f"--trainer.{name}=1" for name in LIMITS)])
    main([*words, *(f"--trainer.{name}=1.0" for name in LIMITS)])
    one, everything = arrived
    assert [repr(getattr(one, name)) for name in LIMITS] == ["1"] * 4
    assert [repr(getattr(everything, name)) for name in LIMITS] == ["1.0"] * 4


def test_one_batch_is_validated_on_and_not_all(data, runs, monkeypatch):  # noqa: F811
    batches = []
    monkeypatch.setattr("lit_gen.models.VAE.validation_step", lambda self, batch, number: batches.append(number))
    quiet = ["--trainer.num_sanity_val_steps=0", "--trainer.enable_checkpointing=false"]
    for typed, count in (("1", 1), ("2", 2), ("1.0", 7)):  # of 7 batches of 16 in 100 images
        fit(TINY_VAE, data, runs, *quiet, f"--trainer.limit_val_batches={typed}")
        assert len(batches) == count
        batches.clear()


def test_the_saved_settings_tell_one_batch_from_all(data, runs, capsys, arrived):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, "--trainer.limit_val_batches=1", "--trainer.limit_test_batches=1.0"]
    with pytest.raises(SystemExit):
        main([*words, "--trainer.val_check_interval=1", "--print_config"])
    printed = capsys.readouterr().out
    for line in ("limit_val_batches: 1\n", "limit_test_batches: 1.0\n", "val_check_interval: 1\n"):
        assert f"  {line}" in printed
    runs.mkdir()
    (runs / "printed.yaml").write_text(printed)
    main(["fit", "--config", f"{runs}/printed.yaml", f"--trainer.default_root_dir={runs}", "--trainer.logger=false"])
    assert [repr(getattr(arrived[0], name)) for name in LIMITS[1:3]] == ["1", "1.0"]
    # An older release wrote 1.0 for all, and for one batch, which it trained as all: that stays.
    stored = yaml.safe_load(printed) | {}
    stored["trainer"]["limit_val_batches"] = 1.0
    (runs / "config.yaml").write_text(yaml.safe_dump(stored))
    main(["fit", "--config", f"{runs}/config.yaml", f"--trainer.default_root_dir={runs}", "--trainer.logger=false"])
    assert repr(arrived[1].limit_val_batches) == "1.0"


def test_a_resumed_run_is_told_that_one_batch_is_not_all():
    def config(**trainer):
        part = {"class_path": "VAE", "init_args": {}}
        return {"model": part, "data": part, "trainer": trainer}

    old = yaml.safe_load(
        "{model: {class_path: VAE, init_args: {}}, data: {class_path: VAE, init_args: {}}, trainer: "
        "{limit_val_batches: 1.0, limit_test_batches: 2.0, gradient_clip_val: 1.0, devices: '2'}}"
    )
    new = config(limit_val_batches=1, limit_test_batches=2, gradient_clip_val=1, devices=2)
    assert changes_of_run(old, new) == [("trainer.limit_val_batches", "1.0", "1")]
    assert changes_of_run(old, new | config(limit_val_batches=1.0)) == []


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("devices=1", 1), ("devices=0,1", "0,1"), ("devices=1,", "1,"), ("devices=[0, 1]", [0, 1]), ("devices=-1", -1),
        ("devices=auto", "auto"), ("gradient_clip_val=1", 1), ("precision=16", 16), ("precision=bf16", "bf16"),
        ("precision=32", 32), ("precision=16-mixed", "16-mixed"), ("fast_dev_run=1", 1), ("fast_dev_run=true", True),
        ("max_time=12:00:00:00", "12:00:00:00"), ("max_time=00:00:30:00", "00:00:30:00"),
        ("max_time={hours: 1}", {"hours": 1}), ("val_check_interval=12:00:00:00", "12:00:00:00"),
        ("val_check_interval=00:00:30:00", "00:00:30:00"), ("val_check_interval={minutes: 5}", {"minutes": 5}),
        ("profiler=simple", "simple"), ("deterministic=true", True), ("deterministic=warn", "warn"),
        ("logger=false", False), ("benchmark=true", True), ("strategy=ddp", "ddp"), ("max_epochs=-1", -1),
    ],
)  # fmt: skip
def test_other_settings_of_several_types(word, value, data, capsys):  # noqa: F811
    with pytest.raises(SystemExit) as end:
        main(["fit", *data, *TINY_VAE, f"--trainer.{word}", "--print_config"])
    assert end.value.code in (0, None)
    kept = yaml.safe_load(capsys.readouterr().out)["trainer"][word.partition("=")[0]]
    assert kept == value and isinstance(kept, type(value))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trainer.accelerator=gpu", "there is no GPU here that PyTorch can use. Leave it out, or set it to cpu."),
        ("trainer.accelerator=nope", "there is no accelerator 'nope'. Known: auto, gpu, cpu, cuda"),
        ("trainer.strategy=dpp", "there is no strategy 'dpp'. Did you mean ddp? Leave --trainer.strategy out"),
        ("trainer.strategy=ddp_spawn", "=ddp_spawn starts processes out of this one, which is for notebooks: leave it"),
        ("trainer.strategy=ddp_notebook", "=ddp_notebook starts processes out of this one"),
        ("trainer.devices=0", "--trainer.devices=0 leaves no device to compute on. Set it to 1 or more"),
        ("trainer.devices=abc", "--trainer.devices=abc is no number of devices. Set it to a number such as 1"),
        ("trainer.devices=[]", "--trainer.devices=[] is no number of devices"),
        ("trainer.devices=-1", "--trainer.devices=-1: on a CPU it is a number of processes. Set it to 1 or more"),
        ("trainer.devices=0,1", "--trainer.devices=0,1: on a CPU it is a number of processes."),
        ("trainer.num_nodes=0", "--trainer.num_nodes must be at least 1, not 0."),
        ("trainer.check_val_every_n_epoch=0", "--trainer.check_val_every_n_epoch must be at least 1, not 0."),
        ("trainer.log_every_n_steps=-1", "--trainer.log_every_n_steps must be at least 0, not -1."),
        ("trainer.gradient_clip_val=-1", "--trainer.gradient_clip_val must be at least 0, not -1."),
        ("trainer.gradient_clip_val=.nan", "--trainer.gradient_clip_val must be at least 0, not nan."),
        ("trainer.val_check_interval=0", "--trainer.val_check_interval=0 is no time."),
    ],
)
def test_what_cannot_be_is_refused_before_the_data_are_prepared(word, said, runs, capsys, monkeypatch):  # noqa: F811
    monkeypatch.setattr("lightning.pytorch.accelerators.CUDAAccelerator.is_available", lambda: False)
    monkeypatch.setattr("lightning.pytorch.accelerators.MPSAccelerator.is_available", lambda: False)
    words = ["fit", *TINY_VAE, "--data=ImageFolder", "--data.root=/nowhere", f"--trainer.default_root_dir={runs}"]
    assert said in mistake([*words, f"--{word}"], capsys)


@pytest.mark.parametrize("devices", [1, 2])
@pytest.mark.parametrize(("strategy", "its_own"), [("ddp", True), ("ddp_find_unused_parameters_true", False)])
def test_ddp_of_a_model_with_two_optimizers_averages_one_network_at_a_time(strategy, its_own, devices):
    """Lightning's own ddp waits for gradients of both, and ends in torch's error."""
    settings = Namespace(strategy=strategy, devices=devices, accelerator="cpu", num_nodes=1, benchmark=None,
                         deterministic=None, accumulate_grad_batches=1, gradient_clip_val=None)  # fmt: skip
    found = arguments_for(tiny.build(GAN), settings).get("strategy")
    assert (type(found) is AlternatingDDP) == its_own
    assert "strategy" not in arguments_for(tiny.build(VAE), settings)


@pytest.mark.parametrize(
    ("devices", "count", "said"),
    [
        ("[7]", 2, "this machine has 2 GPUs, 0 to 1. Set it to at most 2, to indices of these, each once,"),
        ("7,", 2, "this machine has 2 GPUs, 0 to 1."),
        ("0,2", 2, "this machine has 2 GPUs, 0 to 1."),
        ("[1, 1]", 2, "this machine has 2 GPUs, 0 to 1."),
        ("3", 2, "this machine has 2 GPUs, 0 to 1."),
        ("-2", 2, "this machine has 2 GPUs, 0 to 1."),
        ("[1]", 1, "this machine has one GPU, 0."),
        *((devices, 2, None) for devices in ("auto", "-1", "1", "2", "[1]", "0,1", "1,")),
    ],
)
def test_gpus_that_the_machine_lacks_are_refused_before_the_data_are_prepared(devices, count, said, monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("lightning.pytorch.accelerators.MPSAccelerator.is_available", lambda: False)
    for accelerator in ("auto", "gpu", "cuda"):
        asked = yaml.safe_load(devices)
        trainer = Namespace(accelerator=accelerator, devices=asked, strategy="auto")
        with pytest.raises(UserError, match=said) if said else nullcontext():
            check_devices(trainer)


@pytest.mark.parametrize("each", [1, 2])
def test_torchrun_starts_as_many_processes_as_the_trainer_is_told(each, monkeypatch):
    """With one device, each of two processes trained alone, and both wrote to one run folder."""
    for name, value in {"TORCHELASTIC_RUN_ID": "none", "GROUP_WORLD_SIZE": 1, "LOCAL_WORLD_SIZE": each}.items():
        monkeypatch.setenv(name, str(value))
    wrong = pytest.raises(UserError, match="--nproc_per_node=2: set --trainer.num_nodes=1 and --trainer.devices=2")
    with nullcontext() if each == 1 else wrong:
        CommandLineTrainer(accelerator="cpu", devices=1, logger=False, enable_checkpointing=False)
