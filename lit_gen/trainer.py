"""Lightning's Trainer, with types that keep a value as it was typed."""

import re
from typing import Any

from jsonargparse.typing import register_type
from lightning import Trainer


class Clock(str):
    """A length of time as `DD:HH:MM:SS`."""

    def __new__(cls, text: Any) -> "Clock":
        if not isinstance(text, str) or not re.fullmatch(r"\d+:\d+:\d+:\d+", text):
            raise ValueError("Expected DD:HH:MM:SS")
        return super().__new__(cls, text)


# Its writer refuses what is no clock: jsonargparse writes a value by the first of its types that can.
register_type(Clock, serializer=lambda value: str(Clock(value)), deserializer=Clock)


class CommandLineTrainer(Trainer):
    """The Trainer that the command line builds.

    The command line tries the types of a setting in their order, and Lightning's would change what a user typed. It
    declares limits as `Optional[Union[int, float]]`, which is `Union[float, int]` if Python met that first, since it
    keeps one of two equal unions: one batch, `1`, became all of them, `1.0`. A number of devices became a string,
    `12:00:00:00` a number, and a dictionary of hours a string in the saved settings. The types here have the narrowest
    first.

    Args:
        devices: how many devices, or which: a number, a list of indices (`0,1`), -1 for all, or auto.
        limit_train_batches: how many training batches an epoch and device: a whole number is a number of batches
            (`1` is one), a number with a point is a part (`1.0` is all, `0.1` a tenth).
        limit_val_batches: the same for validation.
        limit_test_batches: the same for tests.
        limit_predict_batches: the same for predictions.
        overfit_batches: train and validate on so many batches, or such a part, again and again.
        val_check_interval: when to validate within an epoch: after so many batches (`1` is each), after such a part
            (`1.0` is the end), or after a time, `DD:HH:MM:SS` or `{minutes: 5}`.
        max_time: the longest that a run may take, `DD:HH:MM:SS` or `{hours: 1}`.
        gradient_clip_val: the largest norm (or value) of a gradient.
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
            **kwargs,
        )
