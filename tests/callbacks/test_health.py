import copy
from unittest import mock

import pytest
import torch
from lightning import Callback
from torch import nn
from torch.nn.functional import softplus

from lit_gen.callbacks import health
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import COLLAPSED, GRACE, PATIENCE, Health, mean_distance
from lit_gen.models import DCGAN, GAN, ProGAN, StarGAN, Text2Image
from lit_gen.models.adversarial import AdversarialModule
from tests.models import tiny

ADVERSARIAL = [model for model in tiny.ALL if issubclass(model, AdversarialModule)]
PLAIN = {"input_dropout": 0.0, "hidden_dropout": 0.0, "optimizer": "sgd", "momentum": 0.0}


def fit(model, folder, *callbacks, batches=6, checkpoint=None, data=None, **settings):
    """Trains and returns the warnings."""
    kind = tiny.kind_for(type(model))
    trainer = tiny.trainer(folder, callbacks=list(callbacks), enable_checkpointing=True, **settings)
    with mock.patch.object(health, "rank_zero_info") as say:
        trainer.fit(model, datamodule=data or tiny.NoiseData(batches, kind=kind), ckpt_path=checkpoint)
    return [call.args[0] for call in say.call_args_list]


def norm(gradients):
    return sum(gradient.square().sum() for gradient in gradients).sqrt().item()


class ByHand(Callback):
    """The same step on copies of the networks, by autograd alone."""

    def __init__(self, rate):
        self.rate, self.expected = rate, {}

    def on_train_batch_start(self, trainer, model, batch, index):
        d, g = copy.deepcopy(model.discriminator), copy.deepcopy(model.generator)
        fake = g(model.sample_latent(len(batch.image)))
        real_logits, fake_logits = d(batch.image), d(fake.detach())
        loss = softplus(-real_logits).mean() + softplus(fake_logits).mean()
        d_gradients = torch.autograd.grad(loss, list(d.parameters()))
        with torch.no_grad():
            for parameter, gradient in zip(d.parameters(), d_gradients, strict=True):
                parameter -= self.rate * gradient
        g_gradients = torch.autograd.grad(softplus(-d(fake)).mean(), list(g.parameters()))
        self.expected[trainer.fit_loop.total_batch_idx + 1] = {
            "health/d_logit_real": real_logits.mean().item(),
            "health/d_logit_fake": fake_logits.mean().item(),
            "health/d_gradient_norm": norm(d_gradients),
            "health/g_gradient_norm": norm(g_gradients),
        }


def test_outputs_and_gradient_norms_are_those_computed_by_hand(tmp_path):
    model = tiny.build(GAN, learning_rate=0.1, **PLAIN)
    noise = torch.randn(100, model.latent_dim)
    model.sample_latent = lambda count, generator=None: noise[:count]
    by_hand, rows = ByHand(0.1), {}

    class Reader(Callback):
        def on_train_batch_end(self, trainer, *_):
            if (trainer.fit_loop.total_batch_idx + 1) % 2 == 0:
                rows[trainer.fit_loop.total_batch_idx + 1] = {
                    name: value.item() for name, value in trainer.callback_metrics.items() if "health/" in name
                }

    fit(model, tmp_path, by_hand, Health(every_n_batches=2), Reader(), batches=6)
    assert list(rows) == [2, 4, 6]
    for batch, row in rows.items():
        for name, value in by_hand.expected[batch].items():
            assert row[name] == pytest.approx(value, rel=1e-4), (batch, name)
    assert len({row["health/g_gradient_norm"] for row in rows.values()}) == 3


@pytest.mark.parametrize("model_class", ADVERSARIAL)
def test_it_changes_nothing(model_class, tmp_path):
    """Weights, averages, running means, optimizers and random states are to the bit what they are without it."""

    def end(name, *callbacks):
        torch.manual_seed(0)
        fit(tiny.build(model_class), tmp_path, *callbacks, RunCheckpoints(tmp_path / name), batches=4)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    seen = []

    class Reader(Callback):
        def on_train_batch_end(self, trainer, *_):
            seen.append({name for name in trainer.callback_metrics if name.startswith("health/")})

    watched, alone = end("watched", Health(every_n_batches=1), Reader()), end("alone")
    for part in ("state_dict", "optimizer_states", "NoiseData", "loops"):
        tiny.assert_same(watched[part], alone[part], part)
    names = {f"{model_class.output_name}_{kind}" for kind in ("real", "fake")}
    names |= {"d_gradient_norm", "g_gradient_norm", "collapsed", "dead_discriminator"}
    names |= {"diversity"} if model_class.task.makes_samples else set()
    assert seen[-1] == {f"health/{name}" for name in names}


@pytest.mark.parametrize("model_class", [GAN, DCGAN, ProGAN, StarGAN])
def test_a_resumed_run_equals_an_unbroken_one(model_class, tmp_path):
    class Death(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.fit_loop.total_batch_idx == 4:
                raise ConnectionError

    def run(name, *callbacks, checkpoint=None):
        torch.manual_seed(0 if checkpoint is None else 99)
        callbacks = [Evaluation(), Health(2), *callbacks, RunCheckpoints(tmp_path / name, every_n_batches=1)]
        fit(tiny.build(model_class), tmp_path, *callbacks, batches=3, max_epochs=2, checkpoint=checkpoint)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    whole = run("whole")
    with pytest.raises(ConnectionError):
        run("broken", Death())
    tiny.assert_same(whole, run("resumed", checkpoint=tmp_path / "broken" / "last.ckpt"))


def test_g_that_steps_seldom_has_its_last_gradient_in_the_log(tmp_path):
    model = tiny.build(GAN, n_critic=3)
    rows = []

    class Reader(Callback):
        def on_train_batch_end(self, trainer, *_):
            rows.append(trainer.callback_metrics.get("health/g_gradient_norm"))

    fit(model, tmp_path, Health(4), Reader(), batches=8)
    assert rows[2] is None and rows[3] is not None  # G stepped in batch 3, the look is at batch 4
    assert rows[7] > 0 and rows[7] != rows[3]


@pytest.mark.parametrize("setting", ["n_critic", "accumulate_grad_batches"])
def test_a_resumed_run_logs_the_gradients_of_a_step_before_its_checkpoint(setting, tmp_path):
    """The step is in batch 3, the look at batch 4, and the run dies in between."""
    found = []

    class Reader(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.fit_loop.total_batch_idx == 3 and not trainer.ckpt_path and found:
                raise ConnectionError

        def on_train_batch_end(self, trainer, *_):
            if trainer.fit_loop.total_batch_idx == 3:
                values = trainer.callback_metrics.items()
                found.append({name: value.item() for name, value in values if name.startswith("health/")})

    def run(checkpoint=None):
        model, written = tiny.build(GAN), RunCheckpoints(tmp_path, every_n_batches=1)
        setattr(model, setting, 3)
        fit(model, tmp_path, Health(4), Reader(), written, batches=5, checkpoint=checkpoint)

    run()
    with pytest.raises(ConnectionError):
        run()
    run(tmp_path / "last.ckpt")
    assert len(found) == 2 and found[0] == found[1] and "health/g_gradient_norm" in found[0]


def test_it_waits_for_the_gpu_when_it_looks_only(tmp_path, monkeypatch):
    looks = []
    original = Health._alarms
    monkeypatch.setattr(Health, "_alarms", lambda self, batch, seen: looks.append(batch) or original(self, batch, seen))
    monkeypatch.setattr(
        "lit_gen.callbacks.health.gradient_norm", lambda optimizer: looks.append("norm") or torch.ones(())
    )
    fit(tiny.build(GAN), tmp_path, Health(10), batches=35)
    assert looks == ["norm", "norm", 10, "norm", "norm", 20, "norm", "norm", 30]


@pytest.mark.parametrize("model_class", [GAN, Text2Image])
def test_none_at_all(model_class, tmp_path):
    class Reader(Callback):
        def on_train_end(self, trainer, model):
            assert not any(name.startswith("health/") for name in trainer.callback_metrics)

    fit(tiny.build(model_class), tmp_path, Health(0), Reader(), batches=2)


# ---------------------------------------------------------------------------------------------------------- diversity


def test_the_mean_distance_of_all_pairs():
    images = torch.tensor([0.0, 3.0, 7.0]).view(3, 1, 1, 1).expand(3, 1, 2, 2)  # 2 |difference| apart
    assert mean_distance(images).item() == pytest.approx(2 * (3 + 7 + 4) / 3)


class Painter(nn.Module):
    """Pictures with one random value each, `spread` times as far from each other as uniform noise."""

    def __init__(self, spread):
        super().__init__()
        self.spread, self.weight = spread, nn.Parameter(torch.zeros(()))

    def forward(self, latent):
        value = self.spread * latent[:, :1, None, None] / 3**0.5 + self.weight
        return value.expand(-1, 1, 16, 16)


class Values(tiny.NoiseData):
    """Held-out pictures that are uniform on (-1, 1), each of one value."""

    def preview_batch(self, count):
        value = torch.rand(count, 1, 1, 1, generator=torch.Generator().manual_seed(5)) * 2 - 1
        return tiny.LabelledImages(value.expand(-1, 1, 16, 16), torch.zeros(count))


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0])
def test_diversity_is_that_of_the_fakes_over_that_of_the_real_images(spread, tmp_path):
    model = tiny.build(GAN, learning_rate=0.0, **PLAIN)
    model.generator = Painter(spread)
    values = []

    class Reader(Callback):
        def on_train_batch_end(self, trainer, *_):
            values.append(trainer.callback_metrics["health/diversity"].item())

    fit(model, tmp_path, Health(1), Reader(), data=Values(3))
    assert values[0] == pytest.approx(spread, rel=0.15)  # the noise of 64 images
    assert len(set(values)) == 1  # the same noise each time


# ------------------------------------------------------------------------------------------------------------- alarms


def rung(model, folder, batches=PATIENCE + 3, every=1, **settings):
    flags = []

    class Reader(Callback):
        def on_train_batch_end(self, trainer, *_):
            if (trainer.fit_loop.total_batch_idx + 1) % every == 0:
                flags.append(tuple(trainer.callback_metrics[f"health/{name}"].item() for name in names))

    names = ("collapsed", "dead_discriminator")
    return fit(model, folder, Health(every), Reader(), batches=batches, **settings), flags


def test_a_constant_generator_rings_once(tmp_path):
    model = tiny.build(GAN)
    for parameter in model.generator.parameters():
        nn.init.zeros_(parameter)  # and no gradient finds a way through such a network
    said, flags = rung(model, tmp_path, batches=GRACE + PATIENCE + 3)
    patient = GRACE + PATIENCE - 1
    expected = f"warning: batch {patient}: G has collapsed: its images differ by 0.0%"
    assert len(said) == 1 and said[0].startswith(expected)
    assert flags == [(0.0, 0.0)] * (patient - 1) + [(1.0, 0.0)] * 5


def test_a_discriminator_of_zeros_rings_once(tmp_path):
    model = tiny.build(GAN, learning_rate=0.0, **PLAIN)
    for parameter in model.discriminator.parameters():
        nn.init.zeros_(parameter)
    said, flags = rung(model, tmp_path)
    assert len(said) == 1 and said[0].startswith(f"warning: batch {PATIENCE}: D is dead: it has no gradient")
    assert [dead for _, dead in flags] == [0.0] * (PATIENCE - 1) + [1.0] * 4


def test_a_discriminator_that_leaves_g_no_gradient_rings(tmp_path):
    class Oracle(nn.Module):
        """Knows fakes, which are pictures of one value, from all others, and is very sure of itself."""

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, images):
            real = images.flatten(1).std(1, keepdim=True) > 1e-3
            return torch.where(real, 40.0, -40.0) * self.weight + 1e-3 * images.mean((1, 2, 3))[:, None]

    model = tiny.build(GAN, learning_rate=1e-3, loss="saturating", **PLAIN)
    model.generator, model.discriminator = Painter(1.0), Oracle()
    said, _ = rung(model, tmp_path)
    assert len(said) == 1 and "D tells all real images from all fakes, and G has no gradient" in said[0]


@pytest.mark.parametrize("model_class", [GAN, DCGAN])
def test_a_healthy_gan_rings_no_alarm(model_class, tmp_path):
    said, flags = rung(tiny.build(model_class, learning_rate=5e-3), tmp_path, batches=10, every=2, max_epochs=8)
    assert said == [] and set(flags) == {(0.0, 0.0)} and len(flags) == 2 * GRACE


def looks(callback, diversities):
    with mock.patch.object(health, "rank_zero_info") as say:
        for batch, diversity in enumerate(diversities, 1):
            seen = {"d_real": batch, "d_fake": 0.0, "d_gradient_norm": 1.0, "g_gradient_norm": 1.0, "separated": 0.0}
            callback._alarms(batch, seen | {"diversity": diversity})
    return [call.args[0].split(": ")[1] for call in say.call_args_list]


def test_an_alarm_rings_again_when_it_was_over():
    low, high, diverse = 0.9 * COLLAPSED, 1.1 * COLLAPSED, 2.1 * COLLAPSED
    assert looks(Health(), [diverse] + [low] * (PATIENCE - 1) + [high]) == []
    twice = [diverse] + [low] * (PATIENCE + 4) + [high] + [low] * PATIENCE
    assert looks(Health(), twice) == [f"batch {1 + PATIENCE}", f"batch {2 * PATIENCE + 6}"]
    assert looks(Health(), [low] * (GRACE + PATIENCE - 2) + [high] * 3) == []  # it took its time
    first, second = Health(), Health()
    looks(first, [diverse] + [low] * (PATIENCE - 1))
    second.load_state_dict(first.state_dict())  # a resumed run goes on counting
    assert looks(second, [low]) == ["batch 1"]
