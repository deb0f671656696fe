"""lit_gen: the classic generative models as LightningModules."""

import os
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# Nothing large is imported here: the help must not wait for torch.


def spec_of(images: Any, labels: Any = None) -> Any:
    """Return what a model is built from, `VAE(lit_gen.spec_of(images, labels))`, by tensors of images and labels.

    Args:
        images: (N, C, H, W).
        labels: class indices (N,), or attributes (N, A).
    """
    from lit_gen.data import contract

    return contract.spec_of(images, labels)


def load(checkpoint: str | os.PathLike, model: type | None = None, **settings: Any) -> Any:
    """Return the model of a checkpoint, ready to use: in evaluation mode, on the CPU; `.to(device)` moves it.

    Args:
        checkpoint: a file, a run folder, or a folder of runs, of which the newest counts.
        model: class of the model, if it is one of your own; a checkpoint can name those of lit_gen only.
        settings: those that replace the checkpoint's, such as an encoder of your own.

    Raises:
        UserError: there is no such checkpoint, or it is of something else.
    """
    from lit_gen.models.of_checkpoint import class_of_checkpoint
    from lit_gen.runs.checkpoint_files import read_checkpoint
    from lit_gen.runs.folders import find_checkpoint
    from lit_gen.runs.names import ROOT

    path = str(find_checkpoint(os.fspath(checkpoint), Path(ROOT), "load"))
    kind: Any = model or class_of_checkpoint(read_checkpoint(path, mmap=True), path)
    return kind.load_from_checkpoint(path, map_location="cpu", **settings).eval()
