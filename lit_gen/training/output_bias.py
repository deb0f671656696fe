"""A start at the mean image: the bias of a network's last layer, from the training images' mean pixels."""

from typing import Any

import torch
from torch import Tensor, nn

from lit_gen.errors import UserError
from lit_gen.lightning_compat import data_of


def output_bias(network: nn.Module, image_shape: tuple[int, ...]) -> nn.Parameter:
    """Return the bias of the last layer of a network that makes images, one value per pixel and channel.

    Raises:
        UserError: the last layer has no such bias.
    """
    layer = [part for part in network.modules() if any(True for _ in part.parameters(recurse=False))][-1]
    bias = getattr(layer, "bias", None)
    if bias is None or bias.numel() != torch.Size(image_shape).numel():
        raise UserError(
            "output_bias_from_data needs a network whose last layer has a bias for each pixel, such as MLPDecoder. "
            "Leave --model.output_bias_from_data out."
        )
    return bias


def starts_at_mean(model: Any, stage: str) -> bool:
    """Return whether a model is to get its output bias from the data: in `fit`, before any step.

    A checkpoint that is restored replaces it, so that a checkpoint is enough by itself afterwards.
    """
    return stage == "fit" and model.output_bias_from_data and model.images_seen == 0


def mean_pixels(model: Any) -> Tensor:
    """Return the mean of the training images of a model's data, (C, H, W) float64 in [0, 1], on the CPU.

    Raises:
        UserError: the data do not give it.
    """
    data = data_of(model.trainer)
    if not hasattr(data, "mean_image"):
        raise UserError(
            f"output_bias_from_data needs data with a mean_image, which {type(data).__name__} is without. "
            "Leave --model.output_bias_from_data out."
        )
    return (data.mean_image().double() + 1) / 2
