"""Lightning's Trainer as the command line builds it."""

import os
import re
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import register_type
from lightning import Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.accelerators import AcceleratorRegistry, CPUAccelerator
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from lightning.pytorch.strategies import StrategyRegistry
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from lit_gen.errors import UserError, nearest
from lit_gen.lightning_compat import set_requeue_handler
from lit_gen.limits import PositiveInt
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.base import GenerativeModule
from lit_gen.runs import slurm
from lit_gen.runs.checkpoint_files import WholeCheckpointIO
from lit_gen.training.strategy import AlternatingDDP


class Clock(str):
    """A length of time as `DD:HH:MM:SS`."""

    def __new__(cls, text: Any) -> "Clock":
        if not isinstance(text, str) or not re.fullmatch(r"\d+:\d+:\d+:\d+", text):
            raise ValueError("Expected DD:HH:MM:SS")
        return super().__new__(cls, text)


# Its writer refuses what is no clock: jsonargparse writes a value by the first of its types that can.
register_type(Clock, serializer=lambda value: str(Clock(value)), deserializer=Clock)


class CommandLineTrainer(Trainer):
    """The Trainer that the command line builds: with types that keep a value as it was typed, and the project's files.

    The parser tries the types of a setting in their order, and Lightning's order changes values. It declares limits as
    `Optional[Union[int, float]]`. Python keeps one of two equal unions, which may be `Union[float, int]`: one batch,
    `1`, became all batches, `1.0`. A number of devices became a string, `12:00:00:00` a number, and a dictionary of
    hours a string in the saved settings. The types here have the narrowest first.

    Args:
        devices: number of devices, a list of their indices (`0,1`), -1 for all, or auto.
        limit_train_batches: training batches per epoch and device: a whole number is a number of batches (`1` is one),
            a number with a point is a fraction (`1.0` is all, `0.1` a tenth).
        limit_val_batches: the same for validation.
        limit_test_batches: the same for tests.
        limit_predict_batches: the same for predictions.
        overfit_batches: number or fraction of the training batches to train and validate on again and again.
        val_check_interval: time between two validations within an epoch: a number of batches (`1` is each), a fraction
            of the epoch (`1.0` is its end), or a time, `DD:HH:MM:SS` or `{minutes: 5}`.
        max_time: the longest time that a run may take, `DD:HH:MM:SS` or `{hours: 1}`.
        gradient_clip_val: the largest norm (or value) of a gradient.
        accumulate_grad_batches: batches per optimizer step.
    """

    def __init__(
        self,
        devices: list[int] | int | str = "auto",
        limit_train_batches: int | float | None = None,
        limit_val_batches: int | float | None = None,
        limit_test_batches: int | float | None = None,
        limit_predict_batches: int | float | None = None,
        overfit_batches: int | float = 0.0,
        val_check_interval: Clock | int | float | dict[str, int] | None = None,
        max_time: Clock | dict[str, int] | None = None,
        gradient_clip_val: int | float | None = None,
        accumulate_grad_batches: PositiveInt = 1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            devices=devices,
            limit_train_batches=limit_train_batches,
            limit_val_batches=limit_val_batches,
            limit_test_batches=limit_test_batches,
            limit_predict_batches=limit_predict_batches,
            overfit_batches=overfit_batches,
            val_check_interval=val_check_interval,
            max_time=max_time,
            gradient_clip_val=gradient_clip_val,
            accumulate_grad_batches=accumulate_grad_batches,
            **kwargs,
        )
        if kwargs.get("sync_batchnorm") and self.world_size > 1 and isinstance(self.accelerator, CPUAccelerator):
            raise UserError("trainer.sync_batchnorm is for GPUs: on CPUs each process has a batch norm of its own.")
        if TorchElasticEnvironment.detect():
            nodes, each = (int(os.environ.get(name, 1)) for name in ("GROUP_WORLD_SIZE", "LOCAL_WORLD_SIZE"))
            if (nodes, each) != (self.num_nodes, self.num_devices):  # each would train alone, all in one folder
                raise UserError(
                    f"torchrun has --nnodes={nodes} and --nproc_per_node={each}: set --trainer.num_nodes={nodes} and "
                    f"--trainer.devices={each}, not {self.num_nodes} and {self.num_devices}."
                )
        if type(self.strategy.checkpoint_io) is TorchCheckpointIO:  # and not one that the user chose
            self.strategy.checkpoint_io = WholeCheckpointIO()
        set_requeue_handler(self, slurm.on_signal)  # while a model trains, RunCheckpoints has its own


def arguments_for(model: GenerativeModule, settings: Namespace) -> dict[str, Any]:
    """Return what the Trainer is to be given in place of some of its settings, for the sake of a model.

    A model that takes its steps itself gets two settings that the Trainer refuses it, and with several processes a
    strategy that averages the gradients of one network at a time.
    """
    instead: dict[str, Any] = {}
    if isinstance(model, AdversarialModule):
        model.accumulate_grad_batches = settings.accumulate_grad_batches
        model.gradient_clip_val = settings.gradient_clip_val
        instead |= {"accumulate_grad_batches": 1, "gradient_clip_val": None}
    # cuDNN's search for the fastest algorithms costs more than it saves on small images.
    if settings.benchmark is None and not settings.deterministic and min(model.image_shape[1:]) >= 64:
        instead["benchmark"] = True
    several = several_processes(settings.accelerator, settings.devices, settings.num_nodes)
    if (settings.strategy == "ddp" or (settings.strategy == "auto" and several)) and not model.automatic_optimization:
        instead["strategy"] = AlternatingDDP()
    return instead


def several_processes(accelerator: str, devices: Any, num_nodes: int) -> bool:
    """Return whether these Trainer arguments mean more than one process."""
    if num_nodes > 1:
        return True
    if isinstance(devices, str) and re.fullmatch(r"-?\d+", devices.strip()):
        devices = int(devices)
    if devices in ("auto", -1):
        return accelerator != "cpu" and torch.cuda.device_count() > 1
    if isinstance(devices, str):
        return len([part for part in devices.split(",") if part.strip()]) > 1
    return devices > 1 if isinstance(devices, int) else len(devices) > 1


LEAST = {
    "trainer.check_val_every_n_epoch": 1,
    "trainer.num_nodes": 1,
    "trainer.log_every_n_steps": 0,
    "trainer.gradient_clip_val": 0,
    "trainer.min_epochs": 0,
}
"""The least values of settings whose types take any number, and by which libraries would fail late, or do nonsense."""


def check_amounts(command: str, settings: Namespace) -> None:
    """Raise a `UserError` if a number is too low, or if the Trainer is told to do nothing by this command."""
    trainer = settings.trainer
    for name, least in LEAST.items():
        value = settings.get(name)
        if value is not None and not value >= least:  # which NaN is not either
            raise UserError(f"--{name} must be at least {least}, not {value}. Leave it out, or set it higher.")
    if trainer.get("val_check_interval") in (0, 0.0):
        raise UserError(
            "--trainer.val_check_interval=0 is no time. --trainer.limit_val_batches=0 leaves validation out."
        )
    if trainer.get("fast_dev_run"):
        return  # some batches, whatever else is said
    names = {"fit": ["limit_train_batches", "max_epochs", "max_steps"], "validate": ["limit_val_batches"]}
    for name in names.get(command, [f"limit_{command}_batches"]):
        overruled = name in ("limit_train_batches", "limit_val_batches") and trainer.get("overfit_batches")
        value = trainer.get(name)
        if value is not None and value == 0 and not overruled:
            raise UserError(f"trainer.{name} is {value}: {command} would do nothing. Leave it out, or set it higher.")


def check_devices(trainer: Namespace) -> None:
    """Raise a `UserError` if the machine, or Lightning, does not have what the Trainer is to compute on.

    The Trainer says so, too, but it is built after the data are prepared.
    """
    accelerator, devices, strategy = trainer.accelerator, trainer.devices, trainer.strategy
    strategies = ["auto", *StrategyRegistry.available_strategies()]
    if isinstance(strategy, str) and strategy.lower() not in strategies:
        hint = nearest(strategy, strategies) or " ddp is for several devices."
        raise UserError(f"there is no strategy {strategy!r}.{hint} Leave --trainer.strategy out to have one chosen.")
    if isinstance(strategy, str) and re.search("spawn|fork|notebook", strategy):
        raise UserError(
            f"--trainer.strategy={strategy} starts processes out of this one, which is for notebooks: leave it out, "
            "--trainer.devices alone starts several."
        )
    names = sorted(AcceleratorRegistry.available_accelerators())
    there = [name for name in names if AcceleratorRegistry[name]["accelerator"].is_available()]
    if isinstance(accelerator, str) and accelerator not in ("auto", "gpu", *names):
        raise UserError(f"there is no accelerator {accelerator!r}. Known: {', '.join(['auto', 'gpu', *names])}.")
    if isinstance(accelerator, str) and accelerator != "auto":
        meant = ("cuda", "mps") if accelerator == "gpu" else (accelerator,)
        if not any(name in there for name in meant):
            what = "GPU" if accelerator in ("gpu", "cuda", "mps") else accelerator.upper()
            raise UserError(
                f"--trainer.accelerator={accelerator}: there is no {what} here that PyTorch can use. Leave it out, or "
                "set it to cpu."
            )
    text = str(devices).strip(" []")
    if devices != "auto" and not re.fullmatch(r"-?\d+(\s*,\s*\d+)*\s*,?", text):
        advice = "Set it to a number such as 1, to indices such as 0,1, or leave it out."
        raise UserError(f"--trainer.devices={devices} is no number of devices. {advice}")
    if isinstance(devices, int | str) and text == "0":
        raise UserError("--trainer.devices=0 leaves no device to compute on. Set it to 1 or more, or leave it out.")
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and there == ["cpu"])
    if on_cpu and devices != "auto" and (isinstance(devices, list) or not text.isdecimal()):
        advice = "Set it to 1 or more, or leave it out."
        raise UserError(f"--trainer.devices={devices}: on a CPU it is a number of processes. {advice}")
    gpus = next((name for name in ("cuda", "mps") if name in there), None) if not on_cpu else None
    if gpus is not None and devices != "auto":
        kind = AcceleratorRegistry[gpus]["accelerator"]
        try:
            kind.parse_devices(devices)
        except MisconfigurationException:
            count = kind.auto_device_count()
            has = "one GPU, 0" if count == 1 else f"{count} GPUs, 0 to {count - 1}"
            raise UserError(
                f"--trainer.devices={devices}: this machine has {has}. Set it to at most {count}, to indices of these, "
                "each once, or leave it out."
            ) from None
