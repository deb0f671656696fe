"""The log of a run for TensorBoard, in the run's folder: `tensorboard --logdir=runs` shows all runs."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from torch import Tensor

from lit_gen.errors import UserError
from lit_gen.runs.listing import flat

FOLDER = "tensorboard"
"""The folder of the log in a run's folder."""


def check_tensorboard() -> None:
    """Raise a `UserError` if the package that writes the log is not installed."""
    if find_spec("tensorboard") is None:
        raise UserError('TensorBoard is not installed: pip install "lit-gen[tensorboard]", or choose another --logger.')


class RunTensorBoard(Logger):
    """Log scalars, sample grids and settings to `folder/tensorboard`, and go on there when the run is resumed.

    A killed run may have logged more than it had saved: from the first step that a resumed run logs, TensorBoard shows
    the new values only. Each row is written at once. The resolved settings become the hyperparameters, as they were
    when the run began.
    """

    name = version = ""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.folder, self.settings = folder, settings
        self._writer: Any = None
        self._goes_on = any((folder / FOLDER).glob("events.*"))

    @property
    def save_dir(self) -> str:
        return str(self.folder)

    @property
    def log_dir(self) -> str:
        """The folder of the log."""
        return str(self.folder / FOLDER)

    @property
    def experiment(self) -> Any:
        """The `torch.utils.tensorboard.SummaryWriter`."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter
            from torch.utils.tensorboard.summary import hparams

            self._writer = SummaryWriter(self.log_dir)
            settings = {name: value for name, value in flat(self.settings) if value is not None}
            plain = {name: value if isinstance(value, (int, float)) else str(value) for name, value in settings.items()}
            for summary in () if self._goes_on else hparams(plain, {}):  # TensorBoard shows the first ones
                self._writer.file_writer.add_summary(summary)
        return self._writer

    def _writer_at(self, step: int | None) -> Any:
        """Return the writer; the first time in a resumed run, hide what was logged before from this step on."""
        writer = self.experiment
        if self._goes_on and step is not None:
            from tensorboard.compat.proto.event_pb2 import Event, SessionLog

            start = SessionLog(status=SessionLog.START)
            writer.file_writer.add_event(Event(step=step, session_log=start), step)
            self._goes_on = False
        return writer

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Do nothing: they are among the settings."""

    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        writer = self._writer_at(step)
        for name, value in metrics.items():
            writer.add_scalar(name, value.item() if isinstance(value, Tensor) else value, step)
        writer.flush()

    def log_image(self, name: str, image: Tensor, step: int) -> None:
        """Log an image (C, H, W) in [0, 1]."""
        self._writer_at(step).add_image(name, image, step)

    def finalize(self, status: str) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
