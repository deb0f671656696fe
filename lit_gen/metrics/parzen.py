"""The log-likelihood of test images under a kernel density estimate: Goodfellow et al. 2014, arXiv:1406.2661."""

import math
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor

from lit_gen.data.contract import DataModule
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import from_first

SIGMAS = torch.logspace(-1, 0, 10).tolist()  # standard deviations to choose from
CHOSEN_ON = 1_000  # validation images
AT_ONCE = 250  # images


class ParzenWindow(Evaluator):
    """`parzen_log_likelihood` (↑): in nats per test image, under a Gaussian around each generated image.

    This is the protocol of GAN's authors, with pixels in [0, 1]. All Gaussians share one standard deviation,
    `parzen_sigma`: of ten values from 0.1 to 1, the one with the highest likelihood of the first 1,000 validation
    images. `parzen_error` is the standard error of the mean over the test images. The sample count is the number of
    generated images; the papers have 10,000, and values of other numbers are not comparable. The papers' validation
    images are the last 10,000 of MNIST's training images; set `--data.val_size=10000` for the same.

    Generated images are means of pixels, not draws. The value says little about how they look (Theis et al.,
    arXiv:1511.01844).

    Args:
        samples: number of images to generate.
    """

    image_shape = (1, 28, 28)

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        self.add_state("images", torch.tensor(0), "sum")
        for state in ("total", "total_of_squares"):
            self.add_state(state, torch.tensor(0.0, dtype=torch.float64), "sum")

    def prepare(self, model: Any, data: DataModule) -> None:
        """Generate the images and choose sigma, on rank 0 for all processes."""

        def draw_and_choose() -> tuple[Tensor, float]:
            with own_noise(0, model.device):
                counts = [min(500, self.samples - start) for start in range(0, self.samples, 500)]
                centres = torch.cat([in_unit_range(model.generate(count)) for count in counts])
            if getattr(data, "previews_training_images", False):
                rank_zero_info("no validation images: the Parzen windows' width is chosen on training images")
            held_out = in_unit_range(data.preview_batch(CHOSEN_ON)[0].to(model.device))
            means = [float(values.mean()) for values in log_densities(held_out, centres, SIGMAS)]
            return centres.cpu(), SIGMAS[means.index(max(means))]

        centres, self.sigma = from_first(draw_and_choose)
        self.centres = centres.to(model.device)

    def update(self, model: Any, batch: Any) -> None:
        (values,) = log_densities(in_unit_range(batch[0]), self.centres, [self.sigma])
        self.images += len(values)
        self.total += values.sum()
        self.total_of_squares += values.square().sum()

    def compute(self) -> dict[str, Figure]:
        images, mean = int(self.images), float(self.total / self.images)
        variance = float(self.total_of_squares / images) - mean**2
        figures = {
            "log_likelihood": mean,
            "error": math.sqrt(max(0.0, variance) / images),
            "sigma": self.sigma,
        }
        return {f"parzen_{name}": Figure(value, self.samples) for name, value in figures.items()}


def in_unit_range(images: Tensor) -> Tensor:
    """Return images (B, C, H, W) in [-1, 1] as rows (B, D) in [0, 1], float64."""
    return (images.double().flatten(1) + 1) / 2


def log_densities(points: Tensor, centres: Tensor, sigmas: list[float]) -> Tensor:
    """Return log p of points x (N, D) under equal mixtures of isotropic Gaussians around centres mu (M, D), in nats.

    log p(x) = log mean_i exp(-|x - mu_i|^2 / (2 sigma^2)) - D log(sigma sqrt(2 pi))

    For S standard deviations it is (S, N).
    """
    count, dimensions = centres.shape
    columns = []
    for piece in points.split(AT_ONCE):
        squares = piece.square().sum(1, keepdim=True) + centres.square().sum(1) - 2 * piece @ centres.T
        exponents = (squares.clamp(min=0) / (-2 * sigma**2) for sigma in sigmas)
        columns.append(torch.stack([values.logsumexp(1) for values in exponents]))
    constants = [math.log(count) + dimensions * math.log(sigma * math.sqrt(2 * math.pi)) for sigma in sigmas]
    return torch.cat(columns, 1) - torch.tensor(constants, dtype=points.dtype, device=points.device)[:, None]
