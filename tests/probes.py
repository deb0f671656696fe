"""Callbacks that tests pass on the command line, to see inside a run."""

import hashlib
import os
import signal
import time
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.errors import UserError


def digest(model: LightningModule) -> str:
    """One string for all trainable weights."""
    weights = torch.cat([parameter.detach().double().flatten() for parameter in model.parameters()])
    return hashlib.sha1(weights.numpy().tobytes()).hexdigest()


class SignalBetween(Callback):
    """Sends `$PROBE_SIGNAL` to the first process, in the middle of batch number `$PROBE_BATCH` (from 1).

    With `$PROBE_GROUP`, to the whole process group: to the loading processes too. Several processes ask each other in
    each batch, so that they stop after this one.
    """

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, RunCheckpoints):
                callback._agreement.most_batches = 1
        if trainer.is_global_zero and trainer.fit_loop.total_batch_idx + 1 == int(os.environ["PROBE_BATCH"]):
            group = os.environ.get("PROBE_GROUP")
            os.kill(-os.getpgrp() if group else os.getpid(), int(os.environ["PROBE_SIGNAL"]))


class SignalInValidation(Callback):
    """Sends `$PROBE_SIGNAL` to this process in the first batch of a validation."""

    def on_validation_batch_start(
        self, trainer: Trainer, model: LightningModule, batch: Any, index: int, *_: Any
    ) -> None:
        if index == 0:
            os.kill(os.getpid(), int(os.environ["PROBE_SIGNAL"]))


class SignalInPrediction(Callback):
    """Sends SIGTERM to this process in the first batch of a prediction."""

    def on_predict_batch_start(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


class Wait(Callback):
    """Waits in the second batch until `$PROBE_FOLDER/go` is there, and writes `$PROBE_FOLDER/waiting` meanwhile."""

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, batch: Any, index: int) -> None:
        folder = Path(os.environ["PROBE_FOLDER"])
        if index == 1:
            (folder / "waiting").touch()
            while not (folder / "go").exists():
                time.sleep(0.05)


class WeightDigest(Callback):
    """Writes the digest of the weights at the start and at the end of training to `$PROBE_FOLDER`, a file a rank."""

    def on_train_start(self, trainer: Trainer, model: LightningModule) -> None:
        self.write(trainer, model, "start")

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        self.write(trainer, model, "end")

    def write(self, trainer: Trainer, model: LightningModule, name: str) -> None:
        folder = Path(os.environ["PROBE_FOLDER"])
        noise = torch.randn(1).item()  # each rank should draw its own
        (folder / f"{name}-{trainer.global_rank}").write_text(
            f"{digest(model)} {noise} {trainer.strategy.__class__.__name__}"
        )


def check_probes(folder: Path) -> None:
    """Asserts that two ranks trained, end with the same weights and drew different noise."""
    probes = {
        (when, rank): (folder / f"{when}-{rank}").read_text().split() for when in ("start", "end") for rank in (0, 1)
    }
    assert probes["start", 0][0] != probes["end", 0][0], "nothing was trained"
    assert probes["end", 0][0] == probes["end", 1][0]
    assert probes["end", 0][1] != probes["end", 1][1], "both ranks draw the same noise"
    assert {probe[2] for probe in probes.values()} in ({"DDPStrategy"}, {"AlternatingDDP"})


class FailSecond(Callback):
    """Fails in the second process: before it meets the first, or in its second batch if `$PROBE_BATCH` is set."""

    def __init__(self) -> None:
        self.fails = os.environ.get("LOCAL_RANK") == "1"
        if self.fails and "PROBE_BATCH" not in os.environ:
            raise UserError("the second one fails.")

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, batch: Any, index: int) -> None:
        if self.fails and index == 1:
            raise UserError("the second one fails.")
