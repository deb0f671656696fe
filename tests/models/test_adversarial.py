"""Steps on several batches, and gradients that are clipped."""

import copy
import warnings

import pytest
import torch
from lightning import Callback
from lightning.pytorch.plugins.precision import MixedPrecision
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.health import Health
from lit_gen.models import DCGAN, GAN, ProGAN, StarGAN
from tests.models import tiny

PLAIN = {"input_dropout": 0.0, "hidden_dropout": 0.0, "optimizer": "sgd", "momentum": 0.0, "learning_rate": 0.1}


def from_its_images(model):
    """Fakes that depend on nothing but the batch's images, so that the same images have the same however divided."""
    model.make_fakes = lambda batch: model.generator(batch.image.flatten(1)[:, : model.latent_dim])
    return model


def fit(model, folder, batches, *callbacks, **settings):
    """Trains for one epoch on these very batches."""
    model.accumulate_grad_batches = settings.pop("accumulate", 1)
    model.gradient_clip_val = settings.pop("clip", None)
    trainer = tiny.trainer(folder, callbacks=list(callbacks), limit_val_batches=0, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, train_dataloaders=DataLoader(tiny.Batches(batches), batch_size=None))
    return trainer


def divided(batch, sizes):
    return [tiny.LabelledImages(*piece) for piece in zip(*(field.split(sizes) for field in batch), strict=True)]


class Rows(Callback):
    """What is logged in each batch."""

    def __init__(self):
        self.rows = []

    def on_train_batch_end(self, trainer, *_):
        self.rows.append({name: value.item() for name, value in trainer.callback_metrics.items()})


@pytest.mark.parametrize("loss", ["nonsaturating", "saturating"])
@pytest.mark.parametrize("n_critic", [1, 2])
@pytest.mark.parametrize("sizes", [[2, 2, 2, 2], [5, 3], [1, 6, 1]])
def test_several_batches_make_the_step_of_one(sizes, n_critic, loss, tmp_path):
    """Weights, average, counters and logged terms after four steps."""
    whole_batches = [tiny.batch(8, seed=seed) for seed in range(4)]
    ends = []
    for batches, accumulate in (
        (whole_batches, 1),
        ([piece for batch in whole_batches for piece in divided(batch, sizes)], len(sizes)),
    ):
        model = from_its_images(tiny.build(GAN, n_critic=n_critic, loss=loss, ema_decay=0.5, **PLAIN))
        rows = Rows()
        trainer = fit(model, tmp_path, batches, rows, accumulate=accumulate)
        assert trainer.global_step == len(batches)
        ends.append((model, rows.rows[accumulate - 1 :: accumulate]))
    (whole, whole_rows), (pieces, pieces_rows) = ends
    assert pieces.images_seen == whole.images_seen == 32 and pieces.discriminator_steps == 4
    for name, value in whole.state_dict().items():
        if isinstance(value, torch.Tensor):
            torch.testing.assert_close(pieces.state_dict()[name], value, rtol=1e-5, atol=1e-6)
    assert len(whole_rows) == len(pieces_rows) == 4
    for one, other in zip(whole_rows, pieces_rows, strict=True):
        assert one and one == pytest.approx(other, rel=1e-5)


def test_the_end_of_an_epoch_or_of_the_training_is_waited_for_by_nobody(tmp_path):
    def steps(batches, **settings):
        model = tiny.build(GAN)
        trainer = fit(model, tmp_path, [tiny.batch(4, seed=seed) for seed in range(batches)], **settings)
        return model.discriminator_steps, model.images_seen, trainer.global_step

    assert steps(7, accumulate=3) == (3, 28, 7)
    assert steps(7, accumulate=3, max_steps=5, max_epochs=-1) == (2, 20, 5)
    assert steps(3, accumulate=2, max_epochs=3) == (6, 36, 9)


def clipped(gradients, algorithm, value):
    """torch's own clipping, of tensors that have these gradients."""
    parameters = [torch.nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    if algorithm == "norm":
        torch.nn.utils.clip_grad_norm_(parameters, value)
    else:
        torch.nn.utils.clip_grad_value_(parameters, value)
    return [parameter.grad for parameter in parameters]


@pytest.mark.parametrize("precision", ["float32", "float16"])
@pytest.mark.parametrize(("algorithm", "value"), [("norm", 0.05), ("norm", 1e3), ("value", 1e-3)])
def test_clipping_by_hand(algorithm, value, precision, tmp_path):
    """One step of D, then one of G against it; each network's gradient is clipped by itself, and not its scaled one."""
    model = from_its_images(tiny.build(GAN, **PLAIN))
    batch = tiny.batch(8)
    d, g = copy.deepcopy(model.discriminator), copy.deepcopy(model.generator)
    fake = g(batch.image.flatten(1)[:, : model.latent_dim])
    norms = []

    def step(network, loss, retain=False):
        gradients = torch.autograd.grad(loss, list(network.parameters()), retain_graph=retain)
        norms.append(sum(gradient.square().sum() for gradient in gradients).sqrt().item())
        with torch.no_grad():
            for parameter, gradient in zip(network.parameters(), clipped(gradients, algorithm, value), strict=True):
                parameter -= 0.1 * gradient

    step(d, softplus(-d(batch.image)).mean() + softplus(d(fake.detach())).mean())
    step(g, softplus(-d(fake)).mean())
    scaled = {}
    if precision == "float16":
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        scaled = {"plugins": [Float32WithScaler("16-mixed", "cpu", scaler)]}
    fit(model, tmp_path, [batch], Health(1), clip=value, gradient_clip_algorithm=algorithm, **scaled)
    for network, expected in ((model.discriminator, d), (model.generator, g)):
        for parameter, other in zip(network.parameters(), expected.parameters(), strict=True):
            torch.testing.assert_close(parameter, other, rtol=1e-4, atol=1e-6)
    logged = [model.trainer.callback_metrics[f"health/{name}_gradient_norm"].item() for name in "dg"]
    assert logged == pytest.approx(norms, rel=1e-3)  # of before the clipping
    assert value == 1e3 or min(norms) > 0.05
    assert not scaled or scaler.state_dict()["_growth_tracker"] == 2  # both steps were scaled ones


class Float32WithScaler(MixedPrecision):
    """Scaled gradients as of 16 bits, but of computations in 32, so that they can be compared."""

    def forward_context(self):
        return torch.autocast("cpu", enabled=False)


@pytest.mark.parametrize("after", [3, 4, 5])
@pytest.mark.parametrize("model_class", [GAN, DCGAN, ProGAN, StarGAN])
def test_a_resume_between_the_batches_of_a_step(model_class, after, tmp_path):
    """Steps are of batches 1 to 3, 4 and 5, and so on in each epoch of five."""

    class Death(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.fit_loop.total_batch_idx == after:
                raise ConnectionError

    def run(name, *callbacks, checkpoint=None):
        torch.manual_seed(0 if checkpoint is None else 99)
        model = tiny.build(model_class)
        model.accumulate_grad_batches = 3
        callbacks = [*callbacks, RunCheckpoints(tmp_path / name, every_n_batches=1)]
        trainer = tiny.trainer(tmp_path, max_epochs=2, callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(model, datamodule=tiny.NoiseData(5, kind=tiny.kind_for(model_class)), ckpt_path=checkpoint)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    whole = run("whole")
    with pytest.raises(ConnectionError):
        run("broken", Death())
    broken = torch.load(tmp_path / "broken" / "last.ckpt", weights_only=True)
    assert model_class is ProGAN or len(broken["waiting"][0]) == {3: 0, 4: 1, 5: 0}[after]
    resumed = run("resumed", checkpoint=tmp_path / "broken" / "last.ckpt")
    tiny.assert_same(whole, resumed)
