"""What each validation measures, and the best checkpoint that comes of it."""

import math
from statistics import fmean

import pytest
import torch

from lit_gen.callbacks.best import BestCheckpoint
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.held_out import PER_IMAGE
from lit_gen.metrics.sliced_wasserstein import sliced_wasserstein
from lit_gen.models import DCGAN, GAN, ProGAN
from lit_gen.tasks.sampling import Sampling
from tests.models import tiny


class Draws(Evaluator):
    """Draws from all that it can, and counts how it was used."""

    uses = []

    def prepare(self, model, data):
        self.images = 0
        self.uses.append("prepare")
        torch.rand(3)

    def update(self, model, batch):
        self.images += len(batch[0])
        torch.rand(3)

    def compute(self):
        self.uses.append(self.images)
        torch.rand(3)
        return {"drawn": Figure(7.5, self.images)}


class Measured(Sampling):
    """Sampling that measures something else in each validation."""

    def __init__(self, kind):
        self.kind = kind

    def validation_evaluators(self, model, data):
        return [self.kind()]


def fit(model, folder, *callbacks, batches=4, data=None, **settings):
    torch.manual_seed(0)
    callbacks = [*callbacks, RunCheckpoints(folder, every_n_batches=1)]
    trainer = tiny.trainer(folder, callbacks=callbacks, enable_checkpointing=True, **{"max_epochs": 2} | settings)
    trainer.fit(model, datamodule=data or tiny.NoiseData(batches, kind=tiny.kind_for(type(model))))
    return trainer


def ends(*folders):
    return [torch.load(folder / "last.ckpt", weights_only=True) for folder in folders]


@pytest.mark.parametrize("interval", [1.0, 2])
def test_evaluators_run_in_each_validation_but_the_sanity_check(interval, tmp_path, monkeypatch):
    monkeypatch.setattr(Draws, "uses", [])
    model = tiny.build(GAN)
    model.task = Measured(Draws)
    trainer = fit(model, tmp_path / "with", Evaluation(), val_check_interval=interval, num_sanity_val_steps=2)
    assert Draws.uses == ["prepare", 4 * 8] * (4 if interval == 2 else 2)
    assert trainer.callback_metrics["val/drawn"] == 7.5
    fit(tiny.build(GAN), tmp_path / "without", val_check_interval=interval)
    one, other = ends(tmp_path / "with", tmp_path / "without")
    for part in ("state_dict", "optimizer_states", "NoiseData"):
        tiny.assert_same(one[part], other[part], part)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_each_model_logs_what_it_monitors(model_class, tmp_path):
    model = tiny.build(model_class)
    trainer = fit(model, tmp_path, Evaluation(), BestCheckpoint(tmp_path, model.task.monitored(model)), max_epochs=1)
    value = trainer.callback_metrics[model.task.monitored(model)].item()
    assert math.isfinite(value) and value > 0
    assert (tmp_path / "best.ckpt").is_file()


@pytest.mark.parametrize("model_class", [GAN, DCGAN, ProGAN])
def test_the_distance_is_to_the_first_held_out_images(model_class, tmp_path):
    """By the pictures that `generate` makes after the run."""
    model, data = tiny.build(model_class), tiny.NoiseData(4)
    trainer = fit(model, tmp_path, Evaluation(), data=data)
    made = model.generate(32, torch.Generator().manual_seed(0))
    distances = sliced_wasserstein(made, data.preview_batch(1_000).image, per_image=PER_IMAGE)
    assert trainer.callback_metrics["val/sliced_wasserstein"].item() == pytest.approx(fmean(distances.values()))


def test_two_processes_measure_what_one_measures(tmp_path):
    def measured(**settings):
        model = tiny.build(DCGAN)
        trainer = tiny.trainer(tmp_path, callbacks=[Evaluation()], **settings)
        trainer.validate(model, datamodule=tiny.NoiseData(4), verbose=False)
        return trainer.callback_metrics["val/sliced_wasserstein"].item()

    assert measured(devices=2, strategy="ddp_fork", use_distributed_sampler=False) == pytest.approx(measured(), 1e-6)


class Falling(Evaluator):
    """One figure after the other."""

    figures = []

    def update(self, model, batch):
        pass

    def compute(self):
        return {"sliced_wasserstein": Figure(self.figures.pop(0), 1)}


def test_the_best_checkpoint_has_the_lowest_value(tmp_path, monkeypatch):
    monkeypatch.setattr(Falling, "figures", [3.0, 1.0, float("nan"), 2.0, 0.5, 4.0])
    model = tiny.build(GAN)
    model.task = Measured(Falling)

    def run(epochs, checkpoint=None):
        callbacks = [Evaluation(), BestCheckpoint(tmp_path, model.task.monitored(model)), RunCheckpoints(tmp_path)]
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, max_epochs=epochs, enable_checkpointing=True)
        trainer.fit(model, datamodule=tiny.NoiseData(1), ckpt_path=checkpoint)
        return torch.load(tmp_path / "best.ckpt", weights_only=True)["epoch"]

    assert run(4) == 1
    assert (
        run(6, tmp_path / "last.ckpt") == 4
    )  # it knows the former lowest one: the fifth value is lower, the sixth not


class NothingHeldOut(tiny.NoiseData):
    def val_dataloader(self):
        self.count, count = 0, self.count
        try:
            return super().val_dataloader()
        finally:
            self.count = count


@pytest.mark.parametrize("case", ["no images", "no batches", "never"])
def test_without_validation_there_is_no_best_checkpoint_but_a_line(case, tmp_path, caplog):
    data = NothingHeldOut(3) if case == "no images" else tiny.NoiseData(3)
    settings = {"no batches": {"limit_val_batches": 0}, "never": {"check_val_every_n_epoch": 5}}.get(case, {})
    with caplog.at_level("INFO"):
        fit(tiny.build(GAN), tmp_path, Evaluation(), BestCheckpoint(tmp_path, GAN.task.monitor), data=data, **settings)
    assert caplog.text.count("no best.ckpt: ") == 1
    assert {path.name for path in tmp_path.glob("*.ckpt")} == {"last.ckpt", "previous-1.ckpt"}


def test_images_too_small_for_the_distance(tmp_path):
    model = tiny.build(ProGAN, size=4)
    trainer = fit(model, tmp_path, Evaluation(), data=tiny.NoiseData(2, size=4))
    assert "val/sliced_wasserstein" not in trainer.callback_metrics
