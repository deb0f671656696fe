"""The images of a batch that its sentences do not fit."""

import torch
from torch import Tensor

from lit_gen.data.batches import CaptionedImages


def contradictions(batch: CaptionedImages) -> Tensor:
    """Return the number of attributes stated by sentence i (row) that image j (column) contradicts, (B, B) int64.

    Without attributes, it is 1 for an image with another caption.
    """
    if not batch.attributes.shape[1]:
        return (batch.caption[:, None] != batch.caption[None]).any(2).long()
    differ = batch.attributes[:, None] != batch.attributes[None]  # (B, B, A)
    return (differ & (batch.stated[:, None] > 0)).sum(2)


def choose_wrong(contradicted: Tensor) -> tuple[Tensor, Tensor]:
    """Choose for each sentence a wrong image, at random among those that contradict it in the fewest attributes.

    From the counts of `contradictions`, (B, B), it returns indices (B,) of images, and whether there is such an image,
    (B,) bool; where there is none, the index means nothing.
    """
    wrong = contradicted > 0
    # No masked_fill: it would wait for the GPU to say what the maximum is.
    fewest = torch.where(wrong, contradicted, contradicted.max() + 1).amin(1, keepdim=True)
    draws = torch.rand(wrong.shape, device=wrong.device).masked_fill(contradicted != fewest, -1)
    return draws.argmax(1), wrong.any(1)
