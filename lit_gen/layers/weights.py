"""The initial weights of several GANs."""

from torch import nn


def draw_weights(module: nn.Module) -> None:
    """Draw a layer's weights from N(0, 0.02), and set its biases to 0; for `apply`, which leaves norms as they are."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
