"""Reconstruction: images through a code and back, and images decoded from draws of the codes' prior."""

import colorsys
import math
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from lit_gen.data.batches import WithImages
from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError
from lit_gen.losses import Terms
from lit_gen.losses.likelihood import importance_weighted_bound
from lit_gen.metrics.codes import ActiveUnits, PenalizedReconstruction, PriorDistance
from lit_gen.metrics.disentanglement import Disentanglement
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.metrics.likelihood import NegativeLogLikelihood
from lit_gen.metrics.mixture import FittedCodes
from lit_gen.tasks import pictures
from lit_gen.tasks.base import Stage, Task
from lit_gen.tasks.exports import Exported, Exports, image_of, latents_of
from lit_gen.tasks.grids import Grid, grid, grid_of_cells, side_by_side
from lit_gen.tasks.sampling import sample_evaluators, samples
from lit_gen.training.modes import evaluating


class Autoencoder(Protocol):
    """What the task asks of a model."""

    def losses(self, batch: WithImages) -> Terms:
        """Return the named terms whose sum is minimized."""

    def reconstruct(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] after encoding and decoding."""

    def generate(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return `count` images (count, C, H, W) in [-1, 1], decoded from draws of the prior."""


class Reconstruction(Task):
    """Images through a code and back: `predict` writes the reconstruction of each image, or new ones without any."""

    verbs: ClassVar[type] = Autoencoder
    monitor: ClassVar[str | None] = "val/loss"
    generated_grids: ClassVar[tuple[str, ...]] = ("samples",)
    samples_title: ClassVar[str] = "samples decoded from the prior"
    predicts_from: ClassVar[Literal["noise", "either", "data"]] = "either"
    options: ClassVar[dict[str, str]] = {
        "images": "image file or folder: reconstruct each; without it, images are new",
        "count": "number of new images, 64 by default; of frames or of places in the plane",
        "image_seeds": "the seed of each new image, such as 0-63 or 3,8,12",
        "interpolate": "walk between two of --images, or between new ones: frames and a GIF",
        "plane": "the plane of two-dimensional codes, 16 x 16 places",
    }

    def plan(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of reconstructions, of new images, of a walk between some, or of the plane of codes."""
        if pictures.switch(options, "plane"):
            return self.plan_of_plane(model, options)
        if "images" not in options:
            return samples(model, options)
        walks = pictures.switch(options, "interpolate")  # whose frames --count counts
        if unused := [f"--{name}" for name in ("image_seeds", *(() if walks else ("count",))) if name in options]:
            raise UserError(f"{unused[0]} is for new images: leave it or --images out.")
        pictures.refuse_seed(options)
        files = pictures.image_paths(options, channels=model.image_shape[0])
        if walks:
            if len(files) != 2:
                raise UserError(f"--interpolate goes between two images, and --images names {len(files)}.")
            walk = pictures.frames([partial(_code, path) for _, path in files], options, of_images=True)
            return walk._replace(sources=[path for _, path in files])
        return pictures.Plan([pictures.Picture(name, partial(_back, path), 0, path) for name, path in files])

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return decoder and encoder."""
        encoder, decoder = (getattr(model, name, model) for name in ("encoder", "decoder"))
        return {
            "decoder": Exported(decoder, model.decode, {"code": latents_of(model)}),
            "encoder": Exported(encoder, model.code, {"image": image_of(model)}, {"codes": "what the decoder takes"}),
        }

    def plan_of_plane(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of the images of a square of codes, from top to bottom and left to right."""
        if model.latent_dim != 2:
            raise UserError(f"--plane needs codes of two dimensions, and those of this model have {model.latent_dim}.")
        if unused := [f"--{name}" for name in ("images", "image_seeds", "interpolate") if name in options]:
            raise UserError(f"--plane shows all codes: leave {unused[0]} out.")
        pictures.refuse_seed(options)
        count = pictures.whole_number(options, "count", 256, 4)
        side = math.isqrt(count)
        if side * side != count:
            raise UserError(f"--count must be a square number for --plane, such as {side * side}, not {count}.")
        places = self.places(model, side)
        codes = torch.cartesian_prod(-places, places).flip(1)  # (N, 2) as (x, y), y upwards
        found = [
            pictures.Picture(f"plane-{row:02d}-{column:02d}", partial(_of_code, codes[row * side + column]))
            for row in range(side)
            for column in range(side)
        ]
        return pictures.Plan(found, columns=side)

    def places(self, model: Any, side: int) -> Tensor:
        """Return the codes (side,) of the plane on each axis: N(0, 1) has as much weight between any two neighbours."""
        return torch.special.ndtri((torch.arange(side, dtype=torch.float64) + 0.5) / side).float()

    def predict(self, model: Any, batch: WithImages) -> Tensor:
        """Return the reconstruction of each image of the batch."""
        return model.reconstruct(batch.image).float().clamp(-1, 1)

    def sample_grids(self, model: Any, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples` of the prior, and `reconstructions`: originals, each to the left of its reconstruction."""
        image = batch.image[: count // 2]
        with evaluating(model):
            pairs = side_by_side([image, model.reconstruct(image).float()])
        samples = model.generate(count, torch.Generator().manual_seed(0))
        title = "images and their reconstructions"
        return {
            "samples": Grid(grid(samples), self.samples_title),
            "reconstructions": grid_of_cells(pairs, 4, ("original", "reconstruction"), title),
        }

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return what tells how good the images decoded from the prior are."""
        return sample_evaluators(model, data, options)


class PlainAutoencoder(Autoencoder, Protocol):
    """What the task asks of a model, beside what `Autoencoder` lists."""

    def code(self, image: Tensor) -> Tensor:
        """Return the codes (B, Z) of images (B, C, H, W)."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] of codes (B, Z)."""


class PlainReconstruction(Reconstruction):
    """Reconstruction by a model whose codes follow no prior: images are also decoded from a mixture fitted to them."""

    verbs: ClassVar[type] = PlainAutoencoder
    samples_title: ClassVar[str] = "images decoded from N(0, I), which the codes do not follow"

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of images decoded from N(0, I), and from a mixture fitted to the codes."""
        found = super().evaluators(model, data, options)
        return [*found, FittedCodes(options, model)] if hasattr(data, "training_batches") else found


class LatentVariableModel(Autoencoder, Protocol):
    """What the task asks of a model, beside what `Autoencoder` lists."""

    latent_dim: int
    beta: float
    """Weight of the KL term in the model's loss."""
    num_eval_samples: int
    """Importance samples per test image."""

    def target(self, image: Tensor) -> Tensor:
        """Return images (B, C, H, W) as the likelihood models them, binary for example."""

    def encode(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (B, Z) of q(z|x)."""

    num_importance_samples: int
    """Importance samples per image in training; with several, the model is trained on their bound."""

    def elbo_terms(self, target: Tensor) -> Terms:
        """Return `reconstruction`, -E[log p(x|z)], and `kl`, KL(q(z|x) || p(z)), in nats per image."""

    def log_weights(self, target: Tensor, samples: int) -> Tensor:
        """Return log p(x, z_k) / q(z_k|x) in nats, (samples, B)."""


class LikelihoodReconstruction(Reconstruction):
    """Reconstruction by a model with a likelihood: the ELBO, the log-likelihood and the active units come with it."""

    verbs: ClassVar[type] = LatentVariableModel

    def monitored(self, model: Any) -> str | None:
        """Return what the model is trained on: the loss by the ELBO, or the negative K-sample bound."""
        return "val/bound" if model.num_importance_samples > 1 else self.monitor

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return decoder and encoder; pixels are not made binary for it, which would draw numbers."""
        as_shown = bool(model.target(-torch.ones(1, *model.image_shape)).min() < 0)  # and not in [0, 1]
        outputs = {"mean": "the mean of q(z|x), which the decoder takes", "log_variance": "its log-variance"}
        found = super().exports(model, options)
        network, image = found["encoder"].network, found["encoder"].inputs
        encode = Exported(network, lambda x: model.encode(x if as_shown else (x + 1) / 2), image, outputs)
        return found | {"encoder": encode}

    def held_out_terms(self, model: Any, batch: WithImages, stage: Stage) -> Terms:
        """Return the terms of the ELBO without weights, the ELBO and the loss, all in nats per image.

        `bound` is the negative K-sample bound, where the model is trained on that.
        """
        target = model.target(batch.image)
        terms = model.elbo_terms(target)
        reconstruction, kl = terms["reconstruction"], terms["kl"]
        terms |= {"elbo": -(reconstruction + kl), "loss": reconstruction + model.beta * kl}
        if model.num_importance_samples > 1:
            terms["bound"] = -importance_weighted_bound(model.log_weights(target, model.num_importance_samples)).mean()
        return terms

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of samples, the test log-likelihood and the number of active units.

        For rendered images also how well single codes stand for what they were drawn from.
        """
        own: list[Evaluator] = [NegativeLogLikelihood(model.num_eval_samples), ActiveUnits(model.latent_dim)]
        if hasattr(data, "factors"):
            own.append(Disentanglement(lambda image: model.encode(model.target(image))[0]))
        return [*super().evaluators(model, data, options), *own]


class PriorMatcher(Autoencoder, Protocol):
    """What the task asks of a model, beside what `Autoencoder` lists."""

    latent_dim: int

    def encode(self, image: Tensor, draw: bool | None = None) -> Tensor:
        """Return codes (B, Z): their means, or draws where they are distributions."""

    def decode(self, latent: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] of codes (B, Z)."""

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return draws (count, Z) of the prior."""


class PriorMatching(Reconstruction):
    """Reconstruction by a model whose codes are to follow a prior: how far they do comes with it."""

    verbs: ClassVar[type] = PriorMatcher
    monitor: ClassVar[str | None] = "val/penalized_reconstruction"
    generated_grids: ClassVar[tuple[str, ...]] = ("samples", "plane", "codes")
    options: ClassVar[dict[str, str]] = {
        "classes": "classes of new images, such as 3 or 0,7, which they take in turn; of a model that was told labels",
    }

    def plan(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of new images of some classes, where the command asks for it, or of what all models make."""
        if "classes" not in options:
            return super().plan(model, options)
        if unused := [f"--{name}" for name in ("images", "interpolate", "plane") if name in options]:
            raise UserError(f"--classes is for new images: leave {unused[0]} out.")
        if not getattr(model, "num_classes", 0):
            raise UserError("--classes needs a model that was told labels: an AAE that is conditional, for example.")
        return pictures.of_classes(options, model.num_classes, _of_class)

    def places(self, model: Any, side: int) -> Tensor:
        """Return as many places (side,) as far as the prior reaches."""
        reach = float(model.sample_latent(2_000, torch.Generator().manual_seed(0)).abs().max())
        return torch.linspace(-reach, reach, side)

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of samples, and the distance of the codes to the prior."""
        return [*super().evaluators(model, data, options), PriorDistance()]

    def validation_evaluators(self, model: Any, data: DataModule) -> list[Evaluator]:
        """Return what judges reconstruction and codes together: neither alone tells a good model."""
        return [PenalizedReconstruction()]

    def sample_grids(self, model: Any, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples` and `reconstructions`; for codes in the plane also the decoded `plane` and the `codes`."""
        grids = super().sample_grids(model, batch, count)
        if model.latent_dim != 2:
            return grids
        prior = model.sample_latent(2_000, torch.Generator().manual_seed(0))
        with evaluating(model):
            codes = model.encode(batch.image)
            reach = float(prior.abs().max()) * 1.1
            side = torch.linspace(-reach, reach, 16, device=prior.device)
            plane = torch.cartesian_prod(-side, side).flip(1)  # top to bottom, left to right: (256, 2) as (x, y)
            images = model.decode(plane)
        labels = getattr(batch, "label", torch.zeros(len(codes), dtype=torch.int64))
        title = f"images decoded from the plane of codes, from {-reach:.3g} to {reach:.3g} in both directions"
        return grids | {
            "plane": Grid(grid(images, 16, gap=0), title),
            "codes": Grid(scatter(prior, codes, labels, reach), "codes by label; in grey the prior"),
        }


def _back(path: Path, model: Any) -> Tensor:
    with torch.no_grad():
        return model.reconstruct(pictures.read_square(path, model))


def _code(path: Path, model: Any) -> Tensor:
    with torch.no_grad():
        return model.code(pictures.read_square(path, model))


def _of_class(seed: int, value: int, model: Any) -> Tensor:
    return pictures.of_latent(model, model.sample_class(torch.tensor([value]), torch.Generator().manual_seed(seed)))


def _of_code(code: Tensor, model: Any) -> Tensor:
    return pictures.of_latent(model, code[None].to(model.device))


def scatter(prior: Tensor, codes: Tensor, labels: Tensor, reach: float, size: int = 384) -> Tensor:
    """Draw codes (N, 2), coloured by class indices (N,), black without a label, over grey draws of the prior (M, 2).

    The picture, (3, size, size) in [-1, 1], shows [-reach, reach] in both directions, y upwards. Codes outside are put
    on its edge.
    """
    classes = max(10, int(labels.max()) + 1)
    hues = {label: colorsys.hsv_to_rgb(label / classes, 0.9, 0.8) for label in range(classes)}
    picture = torch.ones(3, size, size)
    for points, colours in (
        (prior, [(0.8, 0.8, 0.8)] * len(prior)),
        (codes, [hues.get(label, (0, 0, 0)) for label in labels.tolist()]),
    ):
        places = ((points.cpu().float() / reach + 1) / 2 * (size - 1)).round().long().clamp(1, size - 2)
        for (x, y), colour in zip(places.tolist(), colours, strict=True):
            row = size - 1 - y
            picture[:, row - 1 : row + 2, x - 1 : x + 2] = torch.tensor(colour)[:, None, None] * 2 - 1
    return picture
