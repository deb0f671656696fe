"""What is about to run, in a few lines."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning import Trainer
from lightning.pytorch.accelerators import CPUAccelerator

from lit_gen.runs.changes import Change

INDENT = "\n" + " " * 10


def summary(trainer: Trainer, model: Any, data: Any, run: str, changes: Sequence[Change] | None) -> str:
    """Return the lines that a command prints before it runs.

    The data are set up; `run` is the run's folder, or why there is none. `changes` are what differs from the settings
    of the run that goes on; None for a new run.
    """
    parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    splits = [f"{len(dataset)} {split}" for split, dataset in getattr(data, "datasets", {}).items()]
    accelerator = type(trainer.accelerator).__name__.removesuffix("Accelerator")
    lines = {
        "model": f"{type(model).__name__}, {parameters / 1e6:.2f} million trainable parameters",
        "data": f"{type(data).__name__} from {getattr(data, 'source', 'its own place')}",
        "images": ", ".join(["x".join(map(str, model.image_shape)), *splits, *getattr(data, "remarks", [])]),
        "devices": f"{trainer.world_size} x {accelerator}, precision {trainer.precision}{slow_precision(trainer)}",
        "run": run,
    }
    if changes is not None:
        lines["changed"] = INDENT.join(map(str, changes)) or "nothing, against the run's config.yaml"
    return "\n".join(f"{name:>8}: {text}" for name, text in lines.items())


def slow_precision(trainer: Trainer) -> str:
    """Return a warning if this processor has to imitate the precision's 16-bit arithmetic; otherwise nothing.

    On a processor with AVX2 only, a step of `vae_residual` in bf16-mixed took nine times as long as in 32-true.
    """
    on_cpu = isinstance(trainer.accelerator, CPUAccelerator) and trainer.precision.startswith("bf16")
    if not on_cpu or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "NO AVX"):
        return ""
    return ", which is slow on this processor (it has no AVX-512): --trainer.precision=32-true"
