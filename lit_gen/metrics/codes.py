"""Metrics of latents and codes: active units, the distance from the prior, and the information in images."""

from typing import Any

import torch
from torch import Tensor
from torchmetrics.utilities.data import dim_zero_cat

from lit_gen.data.contract import DataModule
from lit_gen.losses.likelihood import squared_error
from lit_gen.metrics.comparison import some
from lit_gen.metrics.distances import median_distance, mmd
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import ENCODED_AT_ONCE, own_noise
from lit_gen.metrics.processes import turn

ACTIVE = 0.01  # Burda et al.'s threshold of variance
COMPARED_CODES = 4_000  # the kernel of all pairs of more latents takes gigabytes
VALIDATION_CODES = 2_000  # in each validation: about a second on a CPU
PAIRS_OF_DRAWS = 3


class ActiveUnits(Evaluator):
    """`active_units` (↑): the number of units u of a VAE's latent with Var_x(E_q[u|x]) > 0.01 over the test images.

    Burda et al. (arXiv:1509.00519), section 5.2, whose code takes the first 500 training images.

    Args:
        units: number of units of a latent.
    """

    def __init__(self, units: int) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), "sum")
        for state in ("total", "squares"):
            self.add_state(state, torch.zeros(units, dtype=torch.float64), "sum")

    def update(self, model: Any, batch: Any) -> None:
        mean = model.encode(model.target(batch.image))[0].double()
        self.images += len(mean)
        self.total += mean.sum(0)
        self.squares += mean.square().sum(0)

    def compute(self) -> dict[str, Figure]:
        variance = self.squares / self.images - (self.total / self.images).square()
        active = int((variance > ACTIVE).sum())
        return {"active_units": Figure(active, int(self.images), f"of {len(variance)} units")}


class PriorDistance(Evaluator):
    """The distance of the latents of images from an autoencoder's prior, and of two sets of draws from each other.

    `mmd_codes` (↓) is the maximum mean discrepancy (`lit_gen.metrics.distances.mmd`) of latents and prior, `mmd_prior`
    that of two sets of draws from the prior, as a mean over pairs of sets. `mmd_ratio` is the mismatch ratio, the first
    over the second (1 = ideal). The width of the kernel is the median distance of two draws. At most 4,000 latents are
    compared, from all over the test set, because its first images may differ from the others (MNIST's first are by
    other writers).

    `mmd_training_codes` and so on are the same for training images, if the data have `training_batches`. Training
    matches their latents to the prior. Latents of test images may differ from them (MNIST's test images are by other
    writers).
    """

    most = COMPARED_CODES
    """The largest number of latents that are compared."""
    of_training = True
    """Whether those of training images are compared too."""
    codes: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        self.add_state("codes", [], "cat")
        self.training_codes: Tensor | None = None

    @torch.no_grad()
    def prepare(self, model: Any, data: DataModule) -> None:
        random = torch.Generator().manual_seed(0)  # the same draws on all processes, and in every test
        self.draws = [model.sample_latent(self.most, random) for _ in range(2 * PAIRS_OF_DRAWS)]
        if not (self.of_training and hasattr(data, "training_batches")):
            return
        pieces: list[Tensor] = []
        for batch in data.training_batches(self.most, ENCODED_AT_ONCE, random):
            with own_noise(len(pieces), model.device):
                pieces.append(model.encode(batch.image.to(model.device), draw=True).float())
        self.training_codes = torch.cat(pieces)

    def update(self, model: Any, batch: Any) -> None:
        with own_noise(turn(self.update_count), model.device):
            self.codes.append(model.encode(batch.image, draw=True).float())

    def compute(self) -> dict[str, Figure]:
        codes = dim_zero_cat(self.codes)
        codes = codes[codes[:, 0].argsort()]  # the choice does not depend on the order in which processes gather
        figures = self.compare("", some(codes, self.most))
        return figures if self.training_codes is None else figures | self.compare("training_", self.training_codes)

    def compare(self, name: str, codes: Tensor) -> dict[str, Figure]:
        """Return the three metrics of these latents (N, Z)."""
        bandwidth = median_distance(self.draws[0][:1_000])
        draws = [points[: len(codes)] for points in self.draws]
        between = [mmd(first, second, bandwidth) for first, second in zip(draws[::2], draws[1::2], strict=True)]
        distance, reference = mmd(codes, draws[0], bandwidth), sum(between) / len(between)
        values = {f"{name}codes": distance, f"{name}prior": reference, f"{name}ratio": distance / reference}
        return {f"mmd_{key}": Figure(value, len(codes)) for key, value in values.items()}


class PenalizedReconstruction(PriorDistance):
    """The value by which the best checkpoint of an autoencoder with a prior is chosen (↓), from validation images.

    `penalized_reconstruction` is the squared error of reconstructions on [0, 1], summed over pixels, times the mismatch
    ratio, `mmd_ratio`, where that is above 1. So latents twice as far from the prior as draws are from each other count
    like twice the error, and no weight is to be chosen. A ratio below 1 is chance. The ratio is that of at most 2,000
    latents, and grows with their number: it is not the one that `test` measures.
    """

    most = VALIDATION_CODES
    of_training = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("images", torch.tensor(0), "sum")
        self.add_state("error", torch.tensor(0.0, dtype=torch.float64), "sum")

    def update(self, model: Any, batch: Any) -> None:
        super().update(model, batch)
        self.images += len(batch.image)
        self.error += squared_error(batch.image, model.reconstruct(batch.image)).sum().double()

    def compute(self) -> dict[str, Figure]:
        ratio = super().compute()["mmd_ratio"]
        value = float(self.error / self.images) * max(1.0, ratio.value)
        return {"mmd_ratio": ratio, "penalized_reconstruction": Figure(value, int(self.images))}


class CodeInformation(Evaluator):
    """The MI bound of InfoGAN's codes and generated images (↑), over all images of the test at once.

    It is no mean over batches: with the best-fitting standard deviation of Q, it is the logarithm of a mean.
    """

    codes: list[Tensor]
    outputs: list[Tensor]

    def __init__(self) -> None:
        super().__init__()
        for state in ("codes", "outputs"):
            self.add_state(state, [], "cat")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.information = model.information

    def update(self, model: Any, batch: Any) -> None:
        with own_noise(turn(self.update_count), model.device):
            latent = model.sample_latent(len(batch.image))
        self.codes.append(latent[:, model.noise_dim :])
        self.outputs.append(model.recognize(model(latent))[1].float())

    def compute(self) -> dict[str, Figure]:
        codes, outputs = dim_zero_cat(self.codes), dim_zero_cat(self.outputs)
        bounds = self.information(codes, outputs)
        return {name: Figure(float(bound), len(codes)) for name, bound in bounds.items()}
