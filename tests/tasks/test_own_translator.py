"""A translator of a user's own: networks, fakes, two losses, two verbs, the name of its task, and it has everything."""

import json

import pytest
import torch
from torch import nn

from lit_gen.callbacks.best import BestCheckpoint
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.predictions import PredictionWriter
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.data.batches import Images, UnpairedImages
from lit_gen.data.contract import check_pair
from lit_gen.errors import UserError
from lit_gen.losses.adversarial import least_squares
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.tasks.translation import Translation
from tests.models import test_contract, tiny


class Recolour(AdversarialModule):
    """Each way an affine map of colours, without a cycle."""

    task = Translation()
    direction = "a_to_b"

    def __init__(self, spec):
        super().__init__(spec)
        self.save_hyperparameters()
        self.learning_rate, self.betas = 1e-2, (0.5, 0.999)
        channels = spec["image_shape"][0]
        self.generator = nn.ModuleDict({way: nn.Conv2d(channels, channels, 1) for way in ("a_to_b", "b_to_a")})
        self.discriminator = nn.ModuleDict({domain: nn.Conv2d(channels, 1, 4, 4) for domain in "ab"})

    def make_fakes(self, batch):
        return self.generator["b_to_a"](batch.image_b), self.generator["a_to_b"](batch.image_a)

    def discriminator_loss(self, batch, fakes):
        real, fake = self.discriminate(batch, fakes)
        return {"d_real": least_squares(real, 1), "d_fake": least_squares(fake, 0)}

    def generator_loss(self, batch, fakes):
        return {"g_adversarial": least_squares(self.discriminate(batch, fakes)[1], 1)}

    def discriminate(self, batch, fakes):
        d_a, d_b = self.discriminator["a"], self.discriminator["b"]
        return tuple(torch.stack([d_a(image_a), d_b(image_b)]) for image_a, image_b in (batch, fakes))

    @torch.no_grad()
    def translate(self, images, direction):
        return self.generator[direction](images).clamp(-1, 1)


def test_training_leaves_grids_and_the_best_checkpoint(tmp_path):
    model, data = tiny.build(Recolour, 3), tiny.NoiseData(4, 3, kind=UnpairedImages)
    callbacks = [Evaluation(), SampleGrids(tmp_path / "samples", count=9), Health(every_n_batches=2)]
    callbacks += [BestCheckpoint(tmp_path, model.task.monitor), RunCheckpoints(tmp_path)]
    trainer = tiny.trainer(tmp_path, callbacks=callbacks, max_epochs=2, enable_checkpointing=True)
    trainer.fit(model, datamodule=data)
    expected = {f"{way}-{batches:07d}.png" for way in ("a_to_b", "b_to_a") for batches in (4, 8)}
    assert {path.name for path in (tmp_path / "samples").iterdir()} == expected
    assert (tmp_path / "best.ckpt").is_file()
    terms = {"cycle_a", "cycle_b", "d_score_a_real", "d_score_a_fake", "d_score_b_real", "d_score_b_fake"}
    assert {f"val/{name}" for name in terms | {"sliced_wasserstein"}} <= set(trainer.callback_metrics)
    assert {"health/d_logit_real", "health/g_gradient_norm"} <= set(trainer.callback_metrics)


def test_test_and_predict(tmp_path):
    model, data = tiny.build(Recolour, 3), tiny.NoiseData(2, 3, kind=UnpairedImages)
    callbacks = [Evaluation(tmp_path, features="none"), PredictionWriter(tmp_path / "predictions")]
    trainer = tiny.trainer(tmp_path, callbacks=callbacks)
    trainer.test(model, datamodule=data, verbose=False)
    figures = json.loads((tmp_path / "test.json").read_text())["figures"]
    assert {f"test/{way}_swd16_mean" for way in ("a_to_b", "b_to_a")} | {"test/cycle_a"} <= set(figures)
    trainer.predict(model, datamodule=data, return_predictions=False)
    assert len(list((tmp_path / "predictions").iterdir())) == 16
    assert model.predict_step(Images(tiny.images(2, 3)), 0).shape == (2, 3, 16, 16)


def test_grids_of_images_stay_on_the_machine():
    assert Recolour.task.shows_data("a_to_b")


@pytest.mark.parametrize(
    "rule",
    [
        "test_every_term_is_finite_and_moves_its_own_network",
        "test_evaluation_and_prediction_run_and_change_nothing",
        "test_every_parameter_moves",
    ],
)
def test_the_contract(rule, tmp_path):
    test = getattr(test_contract, rule)
    test(Recolour, *([tmp_path] if "tmp_path" in test.__code__.co_varnames else []))


def test_data_are_those_of_the_task():
    with pytest.raises(UserError, match="Recolour needs batches with fields image_a, image_b; NoiseData gives"):
        check_pair(Recolour, tiny.NoiseData())
    check_pair(Recolour, tiny.NoiseData(), predicting=True)


def test_a_verb_that_is_missing_is_named(tmp_path):
    class Silent(AdversarialModule):
        task = Translation()

    with pytest.raises(
        UserError, match="Silent names the task Translation, but has no direction, translate. Define what "
    ):
        tiny.trainer(tmp_path).validate(Silent(tiny.spec()), datamodule=tiny.NoiseData(1, kind=UnpairedImages))


def test_a_model_says_what_its_critics_are_given(tmp_path):
    class Undecided(Recolour):
        discriminate = AdversarialModule.discriminate

    with pytest.raises(UserError, match="batches of UnpairedImages, .* Define its discriminate, as lit_gen.tasks"):
        tiny.trainer(tmp_path).validate(Undecided(tiny.spec()), datamodule=tiny.NoiseData(1, kind=UnpairedImages))
