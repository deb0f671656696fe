"""AutoEncoder: the plain baseline; Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks",
Science 313, 2006.

Departures from the paper:
    - No layer-wise pretraining with Boltzmann machines; Adam on all layers at once, ReLU in place of logistic units.
"""

from typing import Any, Literal

import torch
from torch import Tensor

from lit_gen.data.batches import DataSpec
from lit_gen.losses import Terms
from lit_gen.models.autoencoding import AutoencodingModule


class AutoEncoder(AutoencodingModule):
    """AutoEncoder (Hinton & Salakhutdinov 2006): the least squared error through a narrow code.

    Nothing shapes the distribution of its codes, so pictures decoded from N(0, I) look bad: that is what the VAE mends.

    Called with codes (B, Z), it gives images (B, C, H, W) in [-1, 1].

    Args:
        spec: what the data look like; on the command line it comes from the data.
        latent_dim: length of the code.
        network: fully connected (`mlp`), convolutional (`conv`), or both with a residual block (`residual`).
        hidden_sizes: units of the encoder's hidden layers for `mlp` and `residual`; the decoder mirrors them.
        activation: nonlinearity for `mlp`.
        channels: width of the first convolution for `conv` and `residual`.
        learning_rate: of Adam.
        learning_rate_decay: what the learning rate is multiplied by until the training ends, by equal factors in equal
            times.
    """

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: int = 30,
        network: Literal["mlp", "conv", "residual"] = "mlp",
        hidden_sizes: list[int] = [1000, 500, 250],
        activation: Literal["relu", "tanh"] = "relu",
        channels: int = 64,
        learning_rate: float = 1e-3,
        learning_rate_decay: float = 1.0,
    ) -> None:
        super().__init__(
            spec, latent_dim, network, hidden_sizes, activation, channels, learning_rate, learning_rate_decay
        )
        self.save_hyperparameters()

    def decode(self, latent: Tensor) -> Tensor:
        return torch.tanh(self.decoder(latent))

    def reconstruct(self, image: Tensor) -> Tensor:
        return self.decode(self.encoder(image))

    def losses(self, batch: Any) -> Terms:
        """Squared error summed over pixels, averaged over the batch, on the scale of images in [0, 1]."""
        error = (self.reconstruct(batch.image) - batch.image).float() / 2
        return {"reconstruction": error.square().flatten(1).sum(1).mean()}
