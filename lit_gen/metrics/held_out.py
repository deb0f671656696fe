"""The distance of generated images from validation or test images, fast enough for each validation."""

import math
from collections.abc import Callable
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.sliced_wasserstein import sliced_wasserstein

SAMPLES = 1_000  # largest number of images in each set
PIXELS = 2**24  # of all images of a kind together: 1,024 images of 128x128, 256 of 256x256
AT_ONCE = 2**18  # pixels that are generated together
PER_IMAGE = 16  # patches; all 128 take seven times as long


class HeldOutDistance(Evaluator):
    """`sliced_wasserstein` (↓) between validation and generated images, the mean over levels and pairs of sets.

    The validation images are always the first ones and the noise is always the same, so that the values of a run are
    comparable. (`swd_mean` of `test` uses more patches.) All processes look at the same images, so that there is
    nothing to join.

    Args:
        pairs: function from a batch and a CPU generator of noise to pairs of real and generated images (B, C, H, W).
    """

    def __init__(self, pairs: Callable[[Any, torch.Generator], list[tuple[Tensor, Tensor]]]) -> None:
        super().__init__()
        self.make_pairs = pairs

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        pixels, noise = math.prod(model.image_shape[1:]), torch.Generator().manual_seed(0)
        held_out = data.preview_batch(min(SAMPLES, max(1, PIXELS // pixels)))
        made = []
        for piece in zip(*(field.split(max(1, AT_ONCE // pixels)) for field in held_out), strict=True):
            batch = type(held_out)(*(field.to(model.device) for field in piece))
            made.append(self.make_pairs(batch, noise))
        self.pairs = [[torch.cat(images) for images in zip(*pair, strict=True)] for pair in zip(*made, strict=True)]

    def compute(self) -> dict[str, Figure]:
        distances = [fmean(sliced_wasserstein(made, real, per_image=PER_IMAGE).values()) for real, made in self.pairs]
        return {"sliced_wasserstein": Figure(fmean(distances), len(self.pairs[0][0]))}
