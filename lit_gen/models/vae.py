"""VAE.

Kingma & Welling, "Auto-Encoding Variational Bayes", ICLR 2014, arXiv:1312.6114; with the importance-weighted
bound of Burda, Grosse, Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, arXiv:1509.00519.

Departures from the papers, in all configs:
    - The encoder's head is log-variance, where Burda et al. have log-sigma; one layer gives it and the mean. There,
      Glorot's weights are at most 0.141; in two layers of 50 outputs, at most 0.155.
    - Trained on the ELBO, the KL term is in closed form, where Burda et al. sample it too.
    - Gradients are means over a batch, where the code of Burda et al. sums over its 20 images, so that Adam's epsilon
      of 1e-4 weighs 20 times as much here (5e-6 would be the equal). Their code has a first beta of 0.99 (the paper,
      as here, 0.9), starts second moments at 1 and layers of one shape with equal weights, and never shuffles.

By default, and in configs/vae.yaml, also these; configs/vae_iwae.yaml has the settings of Burda et al.,
configs/vae_aevb.yaml those of Kingma & Welling:
    - Batches of 100 with Adam at a constant 1e-3 for 200 epochs of 55,000 images. Burda et al. have batches of 20, an
      epsilon of 1e-4, eight falling rates and 3,280 epochs of 59,600 images; Kingma & Welling have Adagrad with a decay
      of the weights.
    - PyTorch's initialization of the weights and of the decoder's output.
    - The network of Burda et al.: two hidden layers of 200 units and a latent of 50, where Kingma & Welling have one of
      500 and latents of 3 to 200.
configs/vae_residual.yaml has a network and a schedule of its own.

vae_aevb.yaml reads "N(0, 0.01)" as a deviation of 0.01, takes one of the paper's three rates, 0.02, and one of its
latents, 20, and has binary images, of which the paper says nothing. Its decay of the weights is on the encoder's
too, where the paper's prior is of the decoder's parameters. It ends after 10^8 images, as the paper's figure 2.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim import Adagrad, Optimizer

from lit_gen.data.batches import DataSpec, WithImages
from lit_gen.errors import UserError
from lit_gen.layers.coders import DecoderArgument, EncoderArgument, MLPEncoder, network
from lit_gen.layers.weights import initialize
from lit_gen.limits import NonNegativeFloat, PositiveFloat, PositiveInt
from lit_gen.losses import Terms
from lit_gen.losses.likelihood import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_density,
    importance_weighted_bound,
)
from lit_gen.models.autoencoding import AutoencodingModule
from lit_gen.schedules import tripling_stages
from lit_gen.tasks.reconstruction import LikelihoodReconstruction
from lit_gen.training.output_bias import output_bias, start_at_mean


class VAE(AutoencodingModule):
    """Variational autoencoder (Kingma & Welling 2013): trained on the ELBO, or on the K-sample bound of Burda et al.

    The validation loss is the negative ELBO in nats per image, its KL weighted by `beta`, also when the K-sample bound
    is trained on; `best.ckpt` is then chosen by that bound, whose negative is `val/bound`. `test/nll` estimates
    −log p(x) with `num_eval_samples` importance samples. Held-out images are made binary in the same way each time, so
    that runs can be compared.

    Called with codes (B, Z), it gives mean images (B, C, H, W) in [-1, 1], or without bounds for `gaussian`.

    Args:
        likelihood: likelihood of pixels: `bernoulli` on [0, 1], or `gaussian` of fixed deviation on [-1, 1].
        binarize: sample each pixel to 0 or 1 by its grey value whenever an image is shown (for `bernoulli`).
        pixel_deviation: standard deviation of the `gaussian` likelihood, on [-1, 1].
        beta: weight of the KL term; 1 gives the ELBO.
        num_importance_samples: K of the K-sample bound in training; 1 uses the ELBO with its closed-form KL.
        num_eval_samples: importance samples per test image for `test/nll` (Burda et al.: 5,000, minutes on a CPU).
        optimizer: `adam` (Burda et al.), or `adagrad` (Kingma & Welling).
        adam_epsilon: epsilon of Adam (Burda et al.: 1e-4).
        weight_decay: weight w of w/2 ‖θ‖² beside the loss per image. The prior N(0, I) of the parameters of Kingma &
            Welling is 1 over the number of training images.
        learning_rate_stage_kimg: thousands of images of the first learning rate (Burda et al.: an epoch). Seven more
            rates follow, falling to a tenth, each for three times as many images as the previous one; 0 for one rate.
        initialization: initial weights: `default` are PyTorch's; `glorot` has Glorot & Bengio's uniform weights and
            biases of zero (Burda et al.), `normal` a deviation of 0.01 for both (Kingma & Welling).
        output_bias_from_data: start the decoder's output at the mean of the training images (Burda et al.).
    """

    task = LikelihoodReconstruction()

    def __init__(
        self,
        spec: DataSpec,
        latent_dim: PositiveInt = 50,
        likelihood: Literal["bernoulli", "gaussian"] = "bernoulli",
        binarize: bool = True,
        pixel_deviation: PositiveFloat = 0.2,
        beta: NonNegativeFloat = 1.0,
        num_importance_samples: PositiveInt = 1,
        num_eval_samples: PositiveInt = 5_000,
        encoder: EncoderArgument = network(MLPEncoder, hidden_sizes=[200, 200], activation="tanh"),
        decoder: DecoderArgument | None = None,
        learning_rate: NonNegativeFloat = 1e-3,
        learning_rate_decay: float = 1.0,
        optimizer: Literal["adam", "adagrad"] = "adam",
        adam_epsilon: NonNegativeFloat = 1e-8,
        weight_decay: NonNegativeFloat = 0.0,
        learning_rate_stage_kimg: NonNegativeFloat = 0.0,
        initialization: Literal["default", "glorot", "normal"] = "default",
        output_bias_from_data: bool = False,
    ) -> None:
        super().__init__(spec, latent_dim, encoder, decoder, learning_rate, learning_rate_decay, 2 * latent_dim)
        self.save_hyperparameters()
        if num_importance_samples < 1 or num_eval_samples < 1:
            raise UserError("num_importance_samples and num_eval_samples must be at least 1.")
        if num_importance_samples > 1 and beta != 1:
            raise UserError("beta must be 1 with several importance samples: their bound has no KL term of its own.")
        if pixel_deviation <= 0:
            raise UserError(f"pixel_deviation must be positive, not {pixel_deviation}.")
        self.likelihood, self.binarize, self.beta = likelihood, binarize, beta
        self.log_pixel_variance = 2 * math.log(pixel_deviation)
        self.num_importance_samples, self.num_eval_samples = num_importance_samples, num_eval_samples
        self.optimizer, self.adam_epsilon, self.weight_decay = optimizer, adam_epsilon, weight_decay
        self.learning_rate_stage_kimg, self.output_bias_from_data = learning_rate_stage_kimg, output_bias_from_data
        if output_bias_from_data:
            output_bias(self.decoder, self.image_shape)  # an error now rather than after the data are there
        for part in self.modules():
            if isinstance(part, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
                initialize(part, initialization)

    def setup(self, stage: str) -> None:
        super().setup(stage)
        bernoulli = self.likelihood == "bernoulli"
        start_at_mean(self, stage, self.decoder, lambda x: x.clamp(0.001, 0.999).logit() if bernoulli else 2 * x - 1)

    def learning_rate_factor(self) -> float:
        first = round(1000 * self.learning_rate_stage_kimg)
        return super().learning_rate_factor() * (tripling_stages(self.images_seen, first) if first else 1.0)

    def configure_optimizers(self) -> Optimizer:
        if self.optimizer == "adagrad":
            return Adagrad(self.parameters(), self.learning_rate, weight_decay=self.weight_decay)
        return self.adam(self.parameters(), self.learning_rate, eps=self.adam_epsilon, weight_decay=self.weight_decay)

    def encode(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, Z) of q(z|x), in float32, of images (B, C, H, W) as `target` makes them."""
        mean, log_variance = self.encoder(target).float().chunk(2, dim=1)
        return mean, log_variance

    def target(self, image: Tensor) -> Tensor:
        """Return images as encoder and decoder see them: in [0, 1], binary if `binarize`; in [-1, 1] if `gaussian`."""
        if self.likelihood == "gaussian":
            return image
        grey = ((image + 1) / 2).clamp(0, 1)
        if not self.binarize:
            return grey
        if self.training:
            return (torch.rand_like(grey) < grey).to(grey.dtype)  # half the time of torch.bernoulli on a CPU
        # Outside training every evaluation is to see the same binary images: a fixed random threshold per pixel,
        # shifted by a hash of the image, so that images do not share their luck.
        base = torch.rand(grey.shape[1:], generator=torch.Generator().manual_seed(0)).to(grey.device)
        thresholds = (base + grey.float().flatten(1).sum(1).view(-1, 1, 1, 1)) % 1
        return (grey > thresholds).to(grey.dtype)

    @property
    def is_like_papers(self) -> bool:
        """Whether values can be set beside those of papers, which are of binary pixels."""
        return self.likelihood == "bernoulli" and self.binarize

    def log_likelihood(self, target: Tensor, latent: Tensor) -> Tensor:
        """Return log p(x|z) in nats: targets (B, C, H, W) and latents (K, B, Z) to (K, B)."""
        output = self.decoder(latent.flatten(0, 1)).float().view(*latent.shape[:2], -1)  # (K, B, D)
        flat = target.float().flatten(1)  # (B, D)
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(flat, output)
        return gaussian_log_density(flat, output, torch.full_like(output[0, 0, 0], self.log_pixel_variance))

    def log_weights(self, target: Tensor, samples: int) -> Tensor:
        """Return log p(x, z_k) / q(z_k | x) in nats, (samples, B), for fresh z_k from q(z|x)."""
        mean, log_variance = self.encode(target)
        latent = self.sample_posterior(mean, log_variance, samples)
        prior = gaussian_log_density(latent, torch.zeros_like(mean), torch.zeros_like(mean))
        posterior = gaussian_log_density(latent, mean, log_variance)
        return self.log_likelihood(target, latent) + prior - posterior

    @staticmethod
    def sample_posterior(mean: Tensor, log_variance: Tensor, samples: int = 1) -> Tensor:
        """Return reparametrized draws (samples, B, Z) from q(z|x)."""
        noise = torch.randn(samples, *mean.shape, device=mean.device)
        return mean + (0.5 * log_variance).exp() * noise

    def losses(self, batch: WithImages) -> Terms:
        """Return the terms of the negative ELBO (equation 10), or the negative K-sample bound, in nats per image.

        reconstruction = −E_q(z|x)[log p(x|z)]
        kl             = β KL(q(z|x) ‖ p(z))

        bound = −E[log 1/K Σ_k p(x, z_k) / q(z_k|x)], in training with several importance samples
        """
        target = self.target(batch.image)
        if self.training and self.num_importance_samples > 1:
            return {"bound": -importance_weighted_bound(self.log_weights(target, self.num_importance_samples)).mean()}
        terms = self.elbo_terms(target)
        return {"reconstruction": terms["reconstruction"], "kl": self.beta * terms["kl"]}

    def elbo_terms(self, target: Tensor) -> Terms:
        """Return `reconstruction`, −E[log p(x|z)] with one draw of z, and `kl`, without a weight, in nats per image."""
        mean, log_variance = self.encode(target)
        latent = self.sample_posterior(mean, log_variance)
        reconstruction = -self.log_likelihood(target, latent).mean()
        return {"reconstruction": reconstruction, "kl": gaussian_kl(mean, log_variance).mean()}

    def code(self, image: Tensor) -> Tensor:
        return self.encode(self.target(self.checked(image)))[0]

    def decode(self, latent: Tensor) -> Tensor:
        output = self.decoder(latent)
        return torch.sigmoid(output) * 2 - 1 if self.likelihood == "bernoulli" else output
