"""What every model must do; a new model is covered by existing."""

import inspect
import math
import random
from typing import NamedTuple

import numpy as np
import pytest
import torch
from lightning import Callback, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import DataLoader

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.errors import UserError
from lit_gen.models import PuzzleGAN, Text2Image, adversarial
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.tasks.attribute_editing import AttributeEditing
from lit_gen.tasks.puzzle import Puzzle
from lit_gen.tasks.reconstruction import Reconstruction
from lit_gen.tasks.sampling import Sampling
from lit_gen.tasks.translation import Translation
from lit_gen.training.step import descend
from tests.models import tiny

ADVERSARIAL = [model for model in tiny.ALL if issubclass(model, AdversarialModule)]
SAMPLERS = [model for model in tiny.ALL if isinstance(model.task, Sampling | Reconstruction)]
TRANSLATORS = [model for model in tiny.ALL if model not in SAMPLERS]
SEEN_BY_ADAM = 6  # batches after which every parameter of a tiny model must have moved


def fit(model, tmp_path, **settings):
    trainer = tiny.trainer(tmp_path, **settings)
    trainer.fit(model, datamodule=data_for(model, SEEN_BY_ADAM))
    return trainer


def data_for(model, batches, **settings):
    return tiny.NoiseData(batches, kind=tiny.kind_for(type(model)), **settings)


def pictures(model, seed=1):
    """What the model makes of fixed data and noise."""
    model.eval()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(seed)
        return model.predict_step(tiny.batch(4, kind=tiny.kind_for(type(model))), 0)


def loss_terms(model):
    """Each loss of the model as (name of its network, function that makes its terms)."""
    data = tiny.batch(kind=tiny.kind_for(type(model)))
    if isinstance(model, AdversarialModule):

        def detached():
            return apply_to_collection(model.make_fakes(data), Tensor, Tensor.detach)

        yield "discriminator", lambda: model.discriminator_loss(data, detached())
        yield "generator", lambda: model.generator_loss(data, model.make_fakes(data))
    else:
        yield "", lambda: model.losses(data)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_every_term_is_finite_and_moves_its_own_network(model_class):
    model = tiny.build(model_class)
    for network, make_terms in loss_terms(model):
        own = model.get_submodule(network) if network else model
        for name in make_terms():
            own.zero_grad()
            term = make_terms()[name]
            assert term.shape == () and torch.isfinite(term), name
            term.backward()
            gradients = [p.grad.abs().sum() for p in own.parameters() if p.grad is not None]
            assert gradients and sum(gradients) > 0, f"{name} has no gradient on {network or 'the model'}"


@pytest.mark.parametrize("model_class", ADVERSARIAL)
def test_each_step_moves_one_network_only(model_class, tmp_path, monkeypatch):
    model = tiny.build(model_class)
    seen = []

    def watched(module, optimizer, loss, batches, fakes):
        before = tiny.parameters(model.discriminator), tiny.parameters(model.generator)
        terms = descend(module, optimizer, loss, batches, fakes)
        changed = tuple(
            any(tiny.moved(*pair)) for pair in zip(before, (model.discriminator, model.generator), strict=True)
        )
        seen.append((loss.__name__, *changed))
        return terms

    monkeypatch.setattr(adversarial, "descend", watched)
    fit(model, tmp_path, limit_train_batches=2)
    assert set(seen) == {("discriminator_loss", True, False), ("generator_loss", False, True)}


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_every_parameter_moves(model_class, tmp_path):
    model = tiny.build(model_class)
    before = tiny.parameters(model)
    fit(model, tmp_path, max_epochs=4)
    stuck = {name for name, value in before.items() if value.requires_grad} - set(tiny.moved(before, model))
    assert not {name for name in stuck if model.get_parameter(name).requires_grad}


@pytest.mark.parametrize("model_class", [model for model in ADVERSARIAL if tiny.takes(model, "n_critic")])
def test_n_critic_trains_d_more_often(model_class, tmp_path, monkeypatch):
    model = tiny.build(model_class, n_critic=3)
    steps = []

    def watched(module, optimizer, loss, batches, fakes):
        steps.append(loss.__name__)
        return descend(module, optimizer, loss, batches, fakes)

    monkeypatch.setattr(adversarial, "descend", watched)
    fit(model, tmp_path, limit_train_batches=SEEN_BY_ADAM)
    assert steps[:4] == ["discriminator_loss"] * 3 + ["generator_loss"]
    assert steps.count("generator_loss") == steps.count("discriminator_loss") // 3


@pytest.mark.parametrize("model_class", [*SAMPLERS, PuzzleGAN, Text2Image])
def test_a_model_says_whether_its_latents_are_gaussian(model_class):
    """The fourth moment of a Gaussian is 3, of a uniform distribution 1.8; a one-hot class has another one."""
    model = tiny.build(model_class)
    latent = model.sample_latent(20_000).double()
    moments = (latent - latent.mean(0)).pow(4).mean(0) / latent.var(0) ** 2
    assert model.has_gaussian_latents == ((moments - 3).abs() < 0.3).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model_class", SAMPLERS)
def test_generate(model_class, channels):
    model = tiny.build(model_class, channels=channels)
    for count in (1, 5):
        images = model.generate(count)
        assert images.shape == (count, channels, 16, 16)
        assert images.abs().max() <= 1 and torch.isfinite(images).all()
        assert not images.requires_grad
    assert model.training, "generate must leave the mode as it was"
    again = [model.generate(4, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*again)
    assert not torch.equal(again[0], model.generate(4, torch.Generator().manual_seed(4)))


@pytest.mark.parametrize("model_class", SAMPLERS)
def test_generate_does_not_depend_on_its_neighbours(model_class):
    """In evaluation mode no layer may mix the images of a batch."""
    model = tiny.build(model_class)
    latent = torch.randn(6, model.latent_dim)
    model.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(latent)[:2], model(latent[:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("model_class", TRANSLATORS)
def test_predictions(model_class, channels, monkeypatch):
    """One picture a row, within range, that does not depend on the other rows."""
    model = tiny.build(model_class, channels=channels).eval()
    for name in ("noise", "uniform_noise"):
        monkeypatch.setattr(model, name, lambda *shape, generator=None: torch.full(shape, 0.1))
    data = tiny.batch(5, channels, kind=tiny.kind_for(model_class))
    with torch.no_grad():
        several = model.predict_step(data, 0)
        one = model.predict_step(type(data)(*(field[:1] for field in data)), 0)
    assert several.ndim == 4 and several.shape[:2] == (5, channels)
    assert several.abs().max() <= 1 and torch.isfinite(several).all()
    torch.testing.assert_close(several[:1], one, rtol=1e-4, atol=1e-5)


class Draws(Callback):
    """Draws from all generators, and seeds them anew, wherever a callback is called outside of a step."""

    def __getattribute__(self, name):
        within_a_step = ("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step")
        if name.startswith("on_") and name not in within_a_step:
            random.seed()
            np.random.seed()
            torch.seed()
            torch.rand(3)
        return super().__getattribute__(name)


@pytest.mark.parametrize("batch", [2, 3], ids=["mid-epoch", "end of epoch"])
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_resume_equals_an_unbroken_run(model_class, batch, tmp_path):
    """Two epochs of three batches; and one run that dies after some batch, and another that goes on from there.

    What callbacks draw in between makes no difference.
    """

    class Death(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.fit_loop.total_batch_idx == batch:
                raise ConnectionError

    def run(name, checkpoint=None, callbacks=()):
        seed_everything(0 if checkpoint is None else 999, verbose=False)  # what is drawn must come from the checkpoint
        model = tiny.build(model_class)
        saver = RunCheckpoints(tmp_path / name, every_n_batches=1)
        trainer = tiny.trainer(tmp_path, max_epochs=2, callbacks=[*callbacks, saver], enable_checkpointing=True)
        trainer.fit(model, datamodule=data_for(model, 3), ckpt_path=checkpoint)
        return model

    model = run("whole")
    with pytest.raises(ConnectionError):
        run("broken", callbacks=[Death()])
    begun = torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)
    assert begun["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"] == batch
    run("resumed", tmp_path / "broken" / "last.ckpt", callbacks=[Draws()])
    whole, resumed = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "resumed"))
    assert whole["optimizer_states"]
    tiny.assert_same(whole, resumed)
    loaded = model_class.load_from_checkpoint(tmp_path / "resumed" / "last.ckpt", weights_only=True)
    assert torch.equal(pictures(loaded), pictures(model))
    assert loaded.images_seen == 2 * 3 * 8


@pytest.mark.parametrize("model_class", [one for one in tiny.ALL if "learning_rate" in str(inspect.signature(one))])
def test_the_command_line_wins_over_the_checkpoint(model_class, tmp_path):
    saver = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    first = tiny.build(model_class)
    tiny.trainer(tmp_path, callbacks=[saver], enable_checkpointing=True).fit(first, datamodule=data_for(first, 1))
    rates = [name for name in inspect.signature(model_class).parameters if name.endswith("learning_rate")]
    second = tiny.build(model_class, **dict.fromkeys(rates, 0.777))
    trainer = tiny.trainer(tmp_path, max_epochs=2)
    trainer.fit(second, datamodule=data_for(second, 1), ckpt_path=tmp_path / "last.ckpt")
    groups = [group for optimizer in trainer.optimizers for group in optimizer.param_groups]
    assert {group.get("initial_lr", group["lr"]) for group in groups} == {0.777}  # a schedule may have lowered it


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_evaluation_and_prediction_run_and_change_nothing(model_class, tmp_path):
    model = tiny.build(model_class)
    before = {name: value for name, value in model.state_dict().items() if isinstance(value, torch.Tensor)}
    before = {name: value.clone() for name, value in before.items()}
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(features="none", samples=12)])
    for evaluate in (trainer.validate, trainer.test):
        (metrics,) = evaluate(model, datamodule=data_for(model, 2), verbose=False)
        assert metrics and all(torch.isfinite(torch.tensor(value)) for value in metrics.values())
    predictions = trainer.predict(model, datamodule=data_for(model, 2))
    assert [images.shape[:2] for images in predictions] == [(8, 1)] * 2
    for name, value in before.items():
        assert torch.equal(value, model.state_dict()[name]), name


@pytest.mark.parametrize("size, features", [(16, "none"), (32, "digits")])
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_pictures_are_compared_with_real_ones(model_class, size, features, tmp_path):
    """By the same figures in each model, and with the same result each time, whatever the test itself draws."""
    model, figures = tiny.build(model_class, size=size), []
    for _ in range(2):
        evaluation = Evaluation(features=features, samples=12)
        trainer = tiny.trainer(tmp_path, callbacks=[evaluation])
        trainer.test(model, datamodule=data_for(model, 2, size=size), verbose=False)
        figures.append(evaluation.figures)
    directions = ("a_to_b_", "b_to_a_") if isinstance(model.task, Translation) else ("",)
    # Images made of real ones are compared with others, so that 16 rows give 8 of each.
    count = 8 if isinstance(model.task, AttributeEditing | Puzzle) else 12
    names = [f"swd{count}_{size}", f"swd{count}_mean", "ms_ssim"]
    if features == "digits":
        names += [f"digit_{name}" for name in ("fid", "kid", "precision", "recall")]
    for name in (f"test/{direction}{name}" for direction in directions for name in names):
        first, second = (run[name] for run in figures)
        assert first == second and math.isfinite(first.value)
        assert first.samples == (count // 2 if "ms_ssim" in name else count)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_model_offers_the_verbs_of_its_task(model_class):
    model = tiny.build(model_class)
    assert model.task.verbs and not model.task.missing_verbs(model)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_sample_grids_leave_the_model_as_it_was(model_class):
    model = tiny.build(model_class, channels=3)
    grids = tiny.grids(model, tiny.batch(8, 3, kind=tiny.kind_for(model_class)), 8)
    assert grids
    for grid in grids.values():
        assert grid.ndim == 3 and grid.shape[0] == 3 and grid.abs().max() <= 1
    assert all(module.training for name, module in model.named_modules() if not name.startswith("average"))


@pytest.mark.parametrize("shape", [(16, 32), (32, 16)])
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_images_that_are_not_square(model_class, shape, tmp_path):
    """A model takes them from the first to the last, or says at once that it does not."""
    spec, settings = tiny.spec() | {"image_shape": [1, *shape]}, tiny.SMALL.get(model_class.__name__, {})
    squares = ("DCGAN", "InfoGAN", "ProGAN", "PuzzleGAN", "StarGAN", "Text2Image")
    try:
        model, kind = model_class(spec, **settings), tiny.kind_for(model_class)
    except UserError as refusal:  # in a model of a user's own, of which no settings are known, a network may say it
        assert model_class.__name__ in squares or not settings
        named = f"{model_class.__name__ * bool(settings)} takes square images, not {shape[0]} x {shape[1]}. Crop or "
        assert named in str(refusal)
        return
    assert model_class.__name__ not in squares
    images = torch.nn.functional.interpolate(tiny.images(8), size=shape)
    batch = tiny.batch(8, kind=kind)
    batch = kind(*(images if field.ndim == 4 else field for field in batch))
    loader = DataLoader(tiny.Batches([batch]), batch_size=None)
    tiny.trainer(tmp_path).fit(model, loader, loader)
    assert pictures_of_shape(model, batch) == shape


def pictures_of_shape(model, batch):
    """Height and width of what the model makes."""
    with torch.no_grad():
        if hasattr(model.task.verbs, "generate"):
            return tuple(model.generate(2).shape[2:])
        return tuple(model.translate(batch[0], "a_to_b").shape[2:])


@pytest.mark.parametrize("model_class", ADVERSARIAL)
def test_max_steps_counts_batches(model_class, tmp_path):
    trainer = fit(tiny.build(model_class), tmp_path, max_steps=4, max_epochs=-1)
    assert trainer.global_step == 4
    assert trainer.fit_loop.epoch_loop.total_batch_idx + 1 == 4


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_data_without_the_fields_are_refused(model_class, tmp_path):
    class Nothing(NamedTuple):
        nothing: Tensor

    data = tiny.NoiseData(kind=Nothing)
    words = f"{model_class.__name__} needs batches with fields image.*; NoiseData gives Nothing.*Data that fit: [A-Z]"
    with pytest.raises(UserError, match=words):
        tiny.trainer(tmp_path).fit(tiny.build(model_class), datamodule=data)
