"""The initial weights of several models."""

from torch import nn


def draw_weights(module: nn.Module) -> None:
    """Draw a layer's weights from N(0, 0.02), and set its biases to 0; for `apply`, which leaves norms as they are."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def initialize(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, how: str) -> None:
    """Draw a layer's initial parameters: PyTorch's `default`, uniform `glorot` ones, or `normal` of deviation 0.01.

    Biases are zero beside `glorot`, and drawn like the weights by `normal`.
    """
    if how == "glorot":
        nn.init.xavier_uniform_(layer.weight)
    elif how == "normal":
        nn.init.normal_(layer.weight, std=0.01)
    if how != "default" and layer.bias is not None:
        nn.init.normal_(layer.bias, std=0.01) if how == "normal" else nn.init.zeros_(layer.bias)
