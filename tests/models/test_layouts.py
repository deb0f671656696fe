"""The layout that a model wants: its weights and the images of its steps have it, and only the speed depends on it."""

import pytest
import torch

from lit_gen.models import DCGAN, InfoGAN, ProGAN, StarGAN, Text2Image
from lit_gen.models.adversarial import AdversarialModule
from tests.models import tiny

LAST, FIRST = torch.channels_last, torch.contiguous_format
MODELS = {DCGAN: LAST, InfoGAN: LAST, ProGAN: LAST, Text2Image: LAST, StarGAN: FIRST}


class Data(tiny.NoiseData):
    """Noise whose images have this layout."""

    layout = FIRST

    def on_after_batch_transfer(self, batch, dataloader_idx):
        return type(batch)(*(field.to(memory_format=self.layout) if field.ndim == 4 else field for field in batch))


def fit(model, folder, steps, given=FIRST, ckpt_path=None):
    data = Data(steps, channels=3, kind=tiny.kind_for(type(model)))
    data.layout = given
    trainer = tiny.trainer(folder, max_epochs=-1, max_steps=steps, limit_val_batches=0)
    trainer.fit(model, datamodule=data, ckpt_path=ckpt_path)
    return trainer


def apart(one, other, before):
    """How far apart two trainings ended, in parts of the way that the second one went."""
    ends = [torch.cat([dict(model.named_parameters())[name].flatten() for name in before]) for model in (one, other)]
    start = torch.cat([value.flatten() for value in before.values()])
    return ((ends[0] - ends[1]).norm() / (ends[1] - start).norm()).item()


@pytest.mark.parametrize("given", [FIRST, LAST])
@pytest.mark.parametrize(("kind", "layout"), MODELS.items())
def test_images_and_weights_have_it(kind, layout, given, tmp_path):
    model, seen = tiny.build(kind, channels=3), []
    loss = model.discriminator_loss

    def watched(batch, fakes):
        tensors = [*batch, *model.state_dict().values(), *(value.grad for value in model.parameters())]
        seen.extend(value for value in tensors if getattr(value, "ndim", 0) == 4)
        assert all(value.is_contiguous(memory_format=layout) for value in seen)
        return loss(batch, fakes)

    model.discriminator_loss = watched
    fit(model, tmp_path, 2, given)
    assert len(seen) > 2
    assert all(value.is_contiguous() for value in model.parameters())


@pytest.mark.parametrize("kind", [kind for kind in tiny.ALL if issubclass(kind, AdversarialModule)])
def test_it_changes_no_gradient(kind, tmp_path, monkeypatch):
    models = []
    for layout in (FIRST, LAST):
        monkeypatch.setattr(kind, "memory_format", layout)
        models.append(tiny.build(kind, channels=3))
        before = tiny.parameters(models[-1])
        tiny.descend(models[-1], 1e-3)
        fit(models[-1], tmp_path, 3, layout)
    assert apart(*models, before) < 1e-3


@pytest.mark.parametrize("kind", MODELS)
def test_a_run_of_another_layout_goes_on(kind, tmp_path, monkeypatch):
    """Adam's means, too, change their layout: a fused one would take those of other weights."""
    monkeypatch.setattr(kind, "memory_format", FIRST)
    fit(tiny.build(kind, channels=3), tmp_path, 4).save_checkpoint(tmp_path / "first.ckpt")
    ends = []
    for layout in (LAST, FIRST):
        monkeypatch.setattr(kind, "memory_format", layout)
        ends.append(tiny.build(kind, channels=3))
        fit(ends[-1], tmp_path, 8, ckpt_path=tmp_path / "first.ckpt")
    before = torch.load(tmp_path / "first.ckpt", weights_only=True)["state_dict"]
    far = apart(*ends, {name: before[name] for name, _ in ends[0].named_parameters()})
    assert far < 0.1  # Adam makes much of how a gradient that should be 0 was rounded
