"""Labels that are hidden by `AAE`'s setting `labelled_fraction`, where `--data.labelled` does it now."""

from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from lit_gen.errors import UserError


def hide_labels(data: Any, labelled_fraction: float) -> None:
    """Have the data keep the labels of this fraction of the training images."""
    if not hasattr(data, "labelled") or not data.spec["num_classes"]:
        raise UserError(
            f"labelled_fraction below 1 needs MNIST, whose labels can be hidden, not {type(data).__name__}. "
            "Leave --model.labelled_fraction out."
        )
    images = len(data.datasets["train"])
    count = round(labelled_fraction * images)
    if data.labelled not in (None, count):
        raise UserError(
            f"labelled_fraction {labelled_fraction} would keep {count} labels, --data.labelled "
            f"{data.labelled}. Leave --model.labelled_fraction out."
        )
    data.labelled = count
    rank_zero_info(f"labelled_fraction {labelled_fraction} of {images} images means --data.labelled={count}")
