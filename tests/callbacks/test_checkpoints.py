import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch.loggers import WandbLogger

from lit_gen.callbacks.checkpoints import RunCheckpoints, last_words
from lit_gen.callbacks.health import Health
from lit_gen.errors import UserError
from lit_gen.loggers.metrics_file import AppendingCSVLogger
from lit_gen.loggers.wandb import ContinuingWandbLogger
from lit_gen.models import GAN, VAE, ProGAN
from lit_gen.runs.checkpoint_files import WholeCheckpointIO
from lit_gen.training import log
from lit_gen.training.log import NonFiniteTermError
from tests.models import tiny


def train(folder, model=None, batches=5, **settings):
    model = tiny.build(GAN) if model is None else model
    saver = RunCheckpoints(folder, **settings)
    trainer = tiny.trainer(folder, callbacks=[saver], enable_checkpointing=True, max_epochs=2)
    trainer.fit(model, datamodule=tiny.NoiseData(batches))
    return trainer


def batches_in(path: Path) -> int:
    checkpoint = torch.load(path, weights_only=True)
    return checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]


def kept(folder: Path) -> dict[str, int]:
    return {path.stem: batches_in(path) for path in folder.iterdir() if path.suffix == ".ckpt"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (
            {"every_n_batches": 3, "keep": 4, "every_n_minutes": 0},
            {"last": 10, "previous-1": 9, "previous-2": 6, "previous-3": 5},
        ),
        ({"every_n_batches": 3, "keep": 4}, {"last": 10, "previous-1": 9, "previous-2": 6, "previous-3": 3}),
        ({"every_n_batches": 0}, {"last": 10, "previous-1": 5}),
        ({"every_n_batches": 1, "keep": 1}, {"last": 10}),
        (
            {"every_n_batches": 4, "keep": 9, "every_n_minutes": 0},
            {"last": 10, "previous-1": 8, "previous-2": 5, "previous-3": 4},
        ),
    ],
)
@pytest.mark.parametrize("links", [True, False])
def test_the_last_checkpoints_are_kept(settings, expected, links, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    train(tmp_path, **settings)
    assert kept(tmp_path) == expected
    assert {path.suffix for path in tmp_path.iterdir()} == {".ckpt"}


# ------------------------------------------------------------------------------------------------------- not finite


def spoil(model, name: str, from_batch: int, value: float = float("nan")):
    """Makes one term of the model not finite from a batch on (counted from 1)."""
    method = "losses" if hasattr(model, "losses") else "generator_loss"
    original = getattr(model, method)

    def spoilt(*arguments):
        terms = original(*arguments)
        if model.trainer.training and model.trainer.fit_loop.total_batch_idx + 1 >= from_batch:
            terms[name] = terms[name] + value
        return terms

    setattr(model, method, spoilt)
    return model


@pytest.mark.parametrize(("model_class", "term"), [(VAE, "kl"), (GAN, "g_adversarial")])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_term_that_is_not_finite_ends_the_run_before_it_is_saved(model_class, term, value, tmp_path):
    model = spoil(tiny.build(model_class), term, 4, value)
    with pytest.raises(NonFiniteTermError, match=rf"^train/loss_{term} is not finite in batch 4 \(found in batch 4\)"):
        train(tmp_path, model, every_n_batches=1)
    assert kept(tmp_path) == {"last": 3, "previous-1": 2, "non-finite": 4}


# -------------------------------------------------------------------------------------------------------- exceptions


def fail(model, at_batch: int):
    """Makes the model's loss fail once, in this batch (counted from 1)."""
    method = "losses" if hasattr(model, "losses") else "generator_loss"
    original = getattr(model, method)

    def failing(*arguments):
        if model.trainer.training and model.trainer.fit_loop.total_batch_idx + 1 == at_batch:
            raise ZeroDivisionError("a bug")
        return original(*arguments)

    setattr(model, method, failing)
    return model


@pytest.mark.parametrize("model_class", [VAE, GAN])
def test_what_was_trained_until_an_exception_is_not_lost(model_class, tmp_path):
    model = fail(tiny.build(model_class), 9)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, model, every_n_batches=3)
    assert kept(tmp_path).keys() == {"last", "previous-1", "exception"} and kept(tmp_path)["last"] == 6
    saved = torch.load(tmp_path / "exception.ckpt", weights_only=True)
    progress = saved["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]
    assert progress["completed"] == 8
    for name, value in model.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(saved["state_dict"][name], value)
    fresh, trainer = tiny.build(model_class), tiny.trainer(tmp_path, max_epochs=2)
    trainer.fit(fresh, datamodule=tiny.NoiseData(5), ckpt_path=tmp_path / "exception.ckpt")
    assert trainer.fit_loop.epoch_loop.batch_progress.total.completed == 9, "all but the batch that failed"


def test_nothing_is_saved_when_nothing_was_trained(tmp_path):
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, fail(tiny.build(GAN), 1))
    assert not kept(tmp_path)


def test_an_exception_is_seen_even_if_the_disk_is_full(tmp_path, monkeypatch):
    def refuse(*arguments, **settings):
        raise OSError("No space left on device")

    model = fail(tiny.build(GAN), 4)
    monkeypatch.setattr("lightning.Trainer.save_checkpoint", refuse)
    with pytest.raises(ZeroDivisionError):
        train(tmp_path, model, every_n_batches=0)
    assert not kept(tmp_path)


# ------------------------------------------------------------------------------------------ terms that are not finite


@pytest.mark.parametrize("model_class", [VAE, GAN])
def test_it_is_found_after_so_many_batches_or_at_the_end_of_an_epoch(model_class, tmp_path, monkeypatch):
    monkeypatch.setattr(log, "READ_EVERY_N_BATCHES", 6)
    term = "kl" if model_class is VAE else "g_adversarial"
    with pytest.raises(NonFiniteTermError, match=r"in batch 2 \(found in batch 6\)"):
        train(tmp_path / "long", spoil(tiny.build(model_class), term, 2), batches=20, every_n_batches=0)
    with pytest.raises(NonFiniteTermError, match=r"in batch 2 \(found in batch 4\)"):
        train(tmp_path / "short", spoil(tiny.build(model_class), term, 2), batches=4, every_n_batches=0)


def test_the_gpu_is_not_waited_for_in_each_batch(tmp_path, monkeypatch):
    looks = []
    original = GAN.read_terms
    monkeypatch.setattr(GAN, "read_terms", lambda self: (looks.append(self.trainer.global_step), original(self)))
    trainer = tiny.trainer(tmp_path)
    trainer.fit(tiny.build(GAN), datamodule=tiny.NoiseData(120, batch_size=1))
    assert len(looks) == 3 and looks[-1] == 120


def test_it_ends_the_other_processes_too():
    class Strategy:
        def reduce_boolean_decision(self, decision, all=True):
            return False

    class Process:
        strategy = Strategy()

    model = tiny.build(GAN)
    model._trainer = Process()
    model._unread.append((7, ["train/loss_d_real"], torch.ones(1)))
    with pytest.raises(NonFiniteTermError, match="another process"):
        model.read_terms()


# ---------------------------------------------------------------------------------------------------------- the files


def test_a_writer_that_fails_leaves_the_former_file(tmp_path, monkeypatch):
    path = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"number": 1}, path)

    def fail(checkpoint, file):
        file.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="no space"):
        WholeCheckpointIO().save_checkpoint({"number": 2}, path)
    assert torch.load(path, weights_only=True) == {"number": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_a_kill_while_writing_leaves_the_former_file(tmp_path):
    path = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"number": 1}, path)
    script = f"""
import os, torch
from lit_gen.runs.checkpoint_files import WholeCheckpointIO

def die(checkpoint, file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), {int(signal.SIGKILL)})

torch.save = die
WholeCheckpointIO().save_checkpoint({{}}, {str(path)!r})
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert torch.load(path, weights_only=True) == {"number": 1}
    (leftover,) = set(tmp_path.iterdir()) - {path}
    assert leftover.read_bytes() == b"half"
    train(tmp_path, batches=2)  # the next run clears up
    assert kept(tmp_path) == {"last": 4, "previous-1": 2} and not leftover.exists()


@pytest.mark.parametrize("links", [True, False])
def test_at_no_moment_is_there_no_last_checkpoint(links, tmp_path, monkeypatch):
    def refuse(*paths):
        raise OSError("no hard links here")

    def replace(path, place, original=os.replace):
        there.append((tmp_path / "last.ckpt").is_file())
        original(path, place)
        there.append((tmp_path / "last.ckpt").is_file())

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    train(tmp_path, batches=2)
    there = []
    monkeypatch.setattr(os, "replace", replace)
    train(tmp_path, batches=2)
    assert there and all(there)


@pytest.mark.parametrize("model_class", [VAE, GAN, ProGAN])
@pytest.mark.parametrize("every", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_run_that_dies_between_a_checkpoint_and_its_row_of_the_log(every, model_class, tmp_path, monkeypatch):
    """Lightning logs a batch after the callbacks have seen its end; some of them have a row of their own.

    Some terms are not of every batch.
    """
    more = {GAN: {"n_critic": 3}, ProGAN: {"penalty_interval": 5}}.get(model_class, {})
    sent = []
    monkeypatch.setattr(WandbLogger, "experiment", None)
    monkeypatch.setattr(WandbLogger, "log_hyperparams", lambda *arguments: None)
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda self, metrics, step: sent.append((step, metrics)))

    def run(name, checkpoint=None):
        folder = tmp_path / name
        loggers = [AppendingCSVLogger(folder), ContinuingWandbLogger(folder / "metrics.csv", save_dir=folder)]
        callbacks = [RunCheckpoints(folder / "checkpoints", every_n_batches=1)]
        callbacks += [] if model_class is VAE else [Health(every_n_batches=1)]
        settings = {"logger": loggers, "log_every_n_steps": every, "max_epochs": 2}
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True, **settings)
        torch.manual_seed(0)
        trainer.fit(tiny.build(model_class, **more), datamodule=tiny.NoiseData(5), ckpt_path=checkpoint)
        return (folder / "metrics.csv").read_text()

    whole = run("whole")
    sent_of_whole = sent.copy()
    rows = 10 // every + 2 + (0 if model_class is VAE else 10)  # validations, and what health logs
    assert len(whole.splitlines()) == 1 + rows == 1 + len(sent)
    for batch in (1, 4, 8):
        sent.clear()
        with monkeypatch.context() as patch:

            def save(self, trainer, batch=batch, original=RunCheckpoints.save):
                original(self, trainer)
                if trainer.fit_loop.total_batch_idx + 1 == batch:
                    raise ConnectionError

            patch.setattr(RunCheckpoints, "save", save)
            with pytest.raises(ConnectionError):
                run(f"broken-{batch}")
        assert run(f"broken-{batch}", tmp_path / f"broken-{batch}" / "checkpoints" / "last.ckpt") == whole
        assert sent == sent_of_whole


@pytest.mark.parametrize("content", ["truncated", "text", "list", "weights"])
def test_files_that_are_no_checkpoints_are_refused(content, tmp_path):
    train(tmp_path, batches=2)
    path = tmp_path / "last.ckpt"
    if content == "truncated":
        path.write_bytes(path.read_bytes()[:-1000])
    elif content == "text":
        path.write_text("not a checkpoint")
    else:
        torch.save([1, 2] if content == "list" else {"weight": torch.ones(2)}, path)
    (tmp_path / "best.ckpt").write_bytes((tmp_path / "previous-1.ckpt").read_bytes())
    (tmp_path / "non-finite.ckpt").write_bytes((tmp_path / "previous-1.ckpt").read_bytes())
    with pytest.raises(
        UserError, match=f"last.ckpt is .*no checkpoint.*--ckpt_path={tmp_path}/previous-1.ckpt$"
    ) as caught:
        WholeCheckpointIO().load_checkpoint(path)
    assert "\n" not in str(caught.value)
    WholeCheckpointIO().load_checkpoint(tmp_path / "previous-1.ckpt")
    (tmp_path / "previous-1.ckpt").unlink()
    with pytest.raises(UserError, match="best.ckpt$"):
        WholeCheckpointIO().load_checkpoint(path)
    (tmp_path / "best.ckpt").unlink()
    with pytest.raises(UserError, match=r"[.]$"):
        WholeCheckpointIO().load_checkpoint(path)


@pytest.mark.parametrize(
    ("there", "named"),
    [
        ([], "settings and report"),
        (["samples"], "samples"),
        (["checkpoints", "metrics.csv"], "checkpoints and metrics"),
        (["checkpoints", "samples", "metrics.csv"], "checkpoints, samples and metrics"),
    ],
)
def test_the_last_line_names_what_the_folder_has(there, named, tmp_path):
    for name in there:
        (tmp_path / name).mkdir()
    assert last_words(tiny.trainer(tmp_path), tmp_path) == [f"finished: {named} are in {tmp_path}"]
