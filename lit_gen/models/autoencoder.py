"""AutoEncoder, the plain baseline.

Hinton & Salakhutdinov, "Reducing the Dimensionality of Data with Neural Networks", Science 313, 2006.

Departures from the paper:
    - No layer-wise pretraining with Boltzmann machines; Adam on all layers at once (50 epochs, batches of 128) in place
      of conjugate gradients; ReLU in place of logistic units.
    - The squared error of a tanh output, where the paper has the cross-entropy of a logistic one.
"""

import torch
from torch import Tensor

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.layers.coders import DecoderArgument, EncoderArgument, MLPEncoder, network
from lit_gen.limits import NonNegativeFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.likelihood import squared_error
from lit_gen.models.autoencoding import AutoencodingModule
from lit_gen.tasks.reconstruction import PlainReconstruction


class AutoEncoder(AutoencodingModule):
    """AutoEncoder (Hinton & Salakhutdinov 2006): the least squared error through a narrow code.

    Nothing shapes the distribution of its codes, so images decoded from N(0, I) look bad: that is what the VAE mends.

    Called with codes (B, Z), it gives images (B, C, H, W) in [-1, 1].
    """

    task = PlainReconstruction()

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 30,
        encoder: EncoderArgument = network(MLPEncoder, hidden_sizes=[1000, 500, 250]),
        decoder: DecoderArgument | None = None,
        learning_rate: NonNegativeFloat = 1e-3,
        learning_rate_decay: float = 1.0,
    ) -> None:
        super().__init__(spec, latent_dim, encoder, decoder, learning_rate, learning_rate_decay)
        self.save_hyperparameters()

    def decode(self, latent: Tensor) -> Tensor:
        return torch.tanh(self.decoder(latent))

    def losses(self, batch: WithImages) -> Terms:
        """Return the one term, on the scale of images in [0, 1].

        reconstruction = E‖x − x̂‖², summed over pixels
        """
        return {"reconstruction": squared_error(batch.image, self.reconstruct(batch.image)).mean()}
