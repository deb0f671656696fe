"""A start at the mean image: the bias of a network's last layer, from the training images' mean pixels."""

from collections.abc import Callable
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


def start_at_mean(model: Any, stage: str, network: nn.Module, output_for: Callable[[Tensor], Tensor]) -> None:
    """Have a network's output begin at the mean training image: in `fit` before any step, where its model asks for it.

    `output_for` gives what the last layer is to give by pixels (C, H, W), float64 in [0, 1]. A checkpoint that is
    restored replaces the bias, so that a checkpoint is enough by itself afterwards.

    Raises:
        UserError: the data do not give a mean image.
    """
    if stage != "fit" or not model.output_bias_from_data or model.images_seen > 0:
        return
    data = data_of(model.trainer)
    if not hasattr(data, "mean_image"):
        raise UserError(
            f"output_bias_from_data needs data with a mean_image, which {type(data).__name__} is without. "
            "Leave --model.output_bias_from_data out."
        )
    mean = (data.mean_image().double() + 1) / 2
    with torch.no_grad():
        output_bias(network, model.image_shape).copy_(output_for(mean).flatten())
