"""A run's data, prepared before the processes meet, with the split of the checkpoint that the run goes on from."""

from typing import Any

from jsonargparse import Namespace

from lit_gen.data.base import ImageData
from lit_gen.errors import UserError
from lit_gen.lightning_compat import rank
from lit_gen.runs.checkpoint_files import read_checkpoint


def prepare_data(data: Any, command: str, settings: Namespace, dumped: dict[str, Any]) -> None:
    """Prepare the data before the processes meet: an error ends the command here, and keeps nobody waiting.

    Each process prepares this project's data: locks see to it that one does the work, and that the others wait for it,
    without the time limit that a wait for another process's message has. `dumped` are the settings as they are logged.
    """
    data.predicting = command == "predict"
    if isinstance(data, ImageData):
        data.prepare_data()
        take_split(data, settings, dumped)
        data.setup(command)
        data.check_split(command)
    elif rank() == 0:
        data.prepare_data()


def take_split(data: ImageData, settings: Namespace, dumped: dict[str, Any]) -> None:
    """Have the data and the settings follow the split of the checkpoint, before anybody is told how it is."""
    path = settings.get("ckpt_path")
    try:
        checkpoint = read_checkpoint(path, mmap=True) if path else {}
    except UserError:  # which the Trainer says later, unless the user's own CheckpointIO can read the file
        return
    state = checkpoint.get(type(data).__qualname__)
    if state is None or not data.take_split(state):
        return
    given, logged = settings.data.init_args, dumped["data"]["init_args"]
    before = checkpoint.get("datamodule_hyper_parameters", {})
    for name in data.split.keys() & given.keys() & before.keys():
        number = isinstance(data.split[name], int | float)
        given[name] = logged[name] = data.hparams[name] = data.split[name] if number else before[name]
