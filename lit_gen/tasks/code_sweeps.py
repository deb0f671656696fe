"""Code sweeps: sampling by a model that gives part of its noise a meaning, which a recognition network reads back."""

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from lit_gen.data.batches import WithImages
from lit_gen.data.contract import DataModule
from lit_gen.distributions import Code
from lit_gen.errors import UserError
from lit_gen.losses import Terms
from lit_gen.metrics.categories import CategoryAccuracy
from lit_gen.metrics.codes import CodeInformation
from lit_gen.metrics.disentanglement import Disentanglement
from lit_gen.metrics.evaluator import Evaluator, Options
from lit_gen.tasks import pictures
from lit_gen.tasks.base import Stage
from lit_gen.tasks.exports import Exported, Exports, Input, image_of, latents_of, sampler_of
from lit_gen.tasks.grids import Grid, grid
from lit_gen.tasks.sampling import Sampler, Sampling
from lit_gen.training.modes import evaluating

# Grids show continuous codes over [-2, 2], beyond the (-1, 1) of training, as figure 2 of Chen et al. (2016) does.
SWEEP = [step * 0.4 - 2 for step in range(11)]


class CodedSampler(Sampler, Protocol):
    """What the task asks of a model, beside what `Sampler` lists."""

    codes: Sequence[Code]
    """The codes, in the order in which they stand in the latent vectors."""
    noise_dim: int
    """Length of the noise in front of them."""
    sampler: nn.Module
    """The network that images are generated with."""

    def __call__(self, latent: Tensor) -> Tensor:
        """Return images (B, C, H, W) in [-1, 1] of latent vectors (B, Z)."""

    def sample_latent(self, count: int, generator: torch.Generator | None = None) -> Tensor:
        """Return (count, Z): noise, then codes."""

    def recognize(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return D's logits (B, 1), and what Q says of all codes (B, O)."""

    def information(self, codes: Tensor, outputs: Tensor) -> Terms:
        """Return lower bounds in nats of the information about codes (B, F) in images, by Q's outputs (B, O)."""

    def categories(self, images: Tensor) -> Tensor:
        """Return the likeliest value (B,), int64, of the first categorical code for each image."""


class CodeSweeps(Sampling):
    """Sampling with codes: a grid for each code shows what it changes; how much the images tell of them is measured."""

    verbs: ClassVar[type] = CodedSampler
    generated_grids: ClassVar[tuple[str, ...]] = ("samples", "code_*")
    options: ClassVar[dict[str, str]] = {
        "sweep": "the code that changes, c0 for the first: a row of images for each of --count seeds",
        "classes": "classes, such as 3 or 0,7, which the images take in turn; they are values of the first code",
    }

    def plan(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of new images, with a code swept or the first one set where the command asks for it."""
        asked = [name for name in ("sweep", "classes", "interpolate") if name in options]
        if len(asked) > 1:
            raise UserError(f"--{asked[0]} and --{asked[1]} are two things: give one of them.")
        if asked == ["sweep"]:
            return self.sweep(model, options)
        if asked == ["classes"]:
            return self.of_classes(model, options)
        return super().plan(model, options)

    def exports(self, model: Any, options: pictures.Options) -> Exports:
        """Return the generator of images of noise and codes, and Q, which reads codes in images."""
        place, latent = model.noise_dim, latents_of(model)
        kinds = [
            f"{code.features} columns, one of them 1" if code.kind == "categorical" else "1 column from -1 to 1"
            for code in model.codes
        ]
        inputs = {
            "noise": Input(latent.values, lambda count, random: latent.draw(count, random)[:, :place]),
            "codes": Input("; ".join(kinds), lambda count, random: latent.draw(count, random)[:, place:]),
        }
        read = {"outputs": "for each code the logits of its categories, or its mean (and log-variance, if learnt)"}
        recognize = Exported(model.discriminator, lambda x: model.recognize(x)[1], {"image": image_of(model)}, read)
        generate = Exported(sampler_of(model), lambda *parts: model(torch.cat(parts, 1)), inputs)
        return {"generator": generate, "recognizer": recognize}

    def sweep(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of a row for each seed, in which nothing but one code changes.

        A categorical code takes each of its values, a continuous one goes from -2 to 2. The first code, if it is
        categorical and another one changes, has the row's number.
        """
        names = [f"c{number}" for number in range(len(model.codes))]
        name = pictures.name_of(options, "sweep", names)
        number, first = names.index(name), model.codes[0]
        start = model.noise_dim + sum(code.features for code in model.codes[:number])
        code = model.codes[number]
        values = torch.eye(code.features) if code.kind == "categorical" else torch.tensor(SWEEP)[:, None]
        found = []
        for row, seed in enumerate(pictures.image_seeds(options, 8)):
            fixed = {} if number == 0 or first.kind != "categorical" else {
                model.noise_dim: torch.eye(first.features)[row % first.features]
            }  # fmt: skip
            for column, value in enumerate(values):
                make = partial(_with_codes, seed, fixed | {start: value})
                found.append(pictures.Picture(f"{name}-{seed:06d}-{column:02d}", make, seed))
        categorical = code.kind == "categorical"
        heads = [f"{name} = {value}" for value in (range(len(values)) if categorical else (f"{x:+.1f}" for x in SWEEP))]
        return pictures.Plan(found, columns=len(values), heads=heads)

    def of_classes(self, model: Any, options: pictures.Options) -> pictures.Plan:
        """Return the plan of images whose first code has the values that the command lists, in turn."""
        first = model.codes[0]
        if first.kind != "categorical":
            raise UserError("--classes needs a categorical code, and this InfoGAN has none.")
        return pictures.of_classes(options, first.features, _of_class, "c0 = {}")

    @torch.no_grad()
    def sample_grids(self, model: Any, batch: WithImages, count: int = 64) -> dict[str, Grid]:
        """Return `samples`, and for each code a grid in which nothing but this code changes.

        A categorical code has one row per category, with the noise fixed per column. A continuous one goes from -2 to
        2, left to right; there, the rows are the categories of the first code, if it has any.
        """
        grids = super().sample_grids(model, batch, count)
        random = torch.Generator().manual_seed(0)
        first, start = model.codes[0], model.noise_dim
        with evaluating(model.sampler):
            for number, code in enumerate(model.codes, 1):
                if code.kind == "categorical":
                    columns = model.sample_latent(max(1, count // 8), random)
                    latent = columns.repeat(code.features, 1, 1)  # (rows, columns, Z)
                    latent[..., start : start + code.features] = torch.eye(code.features).to(latent)[:, None]
                    title = f"code {number}, categorical: a category per row, the same noise down a column"
                    heads = [f"noise {column}" for column in range(1, latent.shape[1] + 1)]
                else:
                    rows = first.features if first.kind == "categorical" else 8
                    latent = model.sample_latent(rows, random)[:, None].repeat(1, len(SWEEP), 1)
                    if first.kind == "categorical":
                        place = slice(model.noise_dim, model.noise_dim + rows)
                        latent[..., place] = torch.eye(rows).to(latent)[:, None]
                    latent[..., start] = torch.tensor(SWEEP).to(latent)
                    of_row = "a category of code 1" if first.kind == "categorical" else "other noise"
                    title, heads = f"code {number}, continuous: {of_row} per row", [f"{value:+.1f}" for value in SWEEP]
                shown = grid(model(latent.flatten(0, 1)), latent.shape[1])
                grids[f"code_{number}_{code.kind}"] = Grid(shown, title, heads)
                start += code.features
        return grids

    def held_out_terms(self, model: Any, batch: WithImages, stage: Stage) -> Terms:
        """Return D's mean outputs and, in validation, the mean over batches of the information in new fakes.

        `test` has the information over all fakes at once.
        """
        latent = model.sample_latent(len(batch.image))
        fake_logits, outputs = model.recognize(model(latent))
        real_logits = model.recognize(batch.image)[0]
        terms = {"d_logit_real": real_logits.mean(), "d_logit_fake": fake_logits.mean()}
        return terms if stage == "test" else terms | model.information(latent[:, model.noise_dim :], outputs)

    def evaluators(self, model: Any, data: DataModule, options: Options) -> list[Evaluator]:
        """Return the quality of samples, the information about codes, and how well categories stand for classes.

        For rendered images also how well single codes stand for what they were drawn from.
        """
        found = [*super().evaluators(model, data, options), CodeInformation(), *category_evaluators(model)]
        if hasattr(data, "factors"):
            categorical = [code.kind == "categorical" for code in model.codes]
            found.append(Disentanglement(partial(codes_in, model), categorical))
        return found

    def validation_evaluators(self, model: Any, data: DataModule) -> list[Evaluator]:
        """Return the distance to held-out images, and how well categories stand for classes."""
        return [*super().validation_evaluators(model, data), *category_evaluators(model)]


def codes_in(model: Any, images: Tensor) -> Tensor:
    """Return what Q reads in images, (B, number of codes): the likeliest category, or the mean."""
    outputs = model.recognize(images)[1].float().split([code.outputs for code in model.codes], 1)
    pairs = zip(model.codes, outputs, strict=True)
    return torch.stack([part.argmax(1) if code.kind == "categorical" else part[:, 0] for code, part in pairs], 1)


def _with_codes(seed: int, codes: dict[int, Tensor], model: Any) -> Tensor:
    """Return the image (1, C, H, W) of a seed, with codes set: their values, by the place where they begin."""
    latent = pictures.latent_of(seed, model)
    for start, value in codes.items():
        latent[:, start : start + len(value)] = value.to(latent)
    return pictures.of_latent(model, latent)


def _of_class(seed: int, value: int, model: Any) -> Tensor:
    return _with_codes(seed, {model.noise_dim: torch.eye(model.codes[0].features)[value]}, model)


def category_evaluators(model: Any) -> list[Evaluator]:
    """Return the accuracy of the first code's categories as classes, where there are categories and labels."""
    first, classes = model.codes[0], model.spec["num_classes"]
    return [CategoryAccuracy(first.features, classes)] if first.kind == "categorical" and classes else []
