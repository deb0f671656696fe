"""Code sweeps: one code at a time in the grids, and categories as classes, of an InfoGAN."""

import pytest
import torch

from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data.batches import AttributedImages, DataSpec, LabelledImages
from lit_gen.models import InfoGAN
from tests.models import tiny


def test_accuracy_of_an_epoch(tmp_path, monkeypatch):
    """Labels are the row's number; categories that are these plus one, but for one row, are 7 of 8 right."""
    model = tiny.build(InfoGAN, categorical_codes=[10])
    answer = (torch.arange(8) + 1) % 10
    answer[5] = 1
    outputs = torch.cat([torch.nn.functional.one_hot(answer, 10), torch.full((8, 2), 5)], dim=1).float()
    monkeypatch.setattr(model.discriminator, "recognize", lambda images: (torch.zeros(8, 1), outputs))
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation(features="none")])
    for _ in range(2):  # counts of an earlier epoch must not stay
        (metrics,) = trainer.validate(model, datamodule=tiny.NoiseData(3), verbose=False)
        assert metrics["val/category_accuracy"] == pytest.approx(7 / 8)
    (metrics,) = trainer.test(model, datamodule=tiny.NoiseData(3), verbose=False)
    assert metrics["test/category_accuracy"] == pytest.approx(7 / 8)
    assert not any("counts" in name for name in model.state_dict())


@pytest.mark.parametrize(
    "settings, num_classes, kind",
    [({}, 0, AttributedImages), ({}, 10, AttributedImages), ({"categorical_codes": []}, 10, LabelledImages)],
)
def test_no_accuracy_without_labels_or_categories(settings, num_classes, kind, tmp_path):
    data = tiny.NoiseData(2, kind=kind)
    torch.manual_seed(0)
    model = InfoGAN(
        DataSpec(image_shape=[1, 16, 16], num_classes=num_classes, attributes=tiny.ATTRIBUTES),
        **tiny.SMALL["InfoGAN"] | settings,
    )
    trainer = tiny.trainer(tmp_path, callbacks=[Evaluation()])
    (metrics,) = trainer.validate(model, datamodule=data, verbose=False)
    assert "val/d_logit_real" in metrics and "val/category_accuracy" not in metrics


def test_grids_change_one_code_at_a_time(monkeypatch):
    model = tiny.build(InfoGAN, noise_dim=4, categorical_codes=[3, 2], continuous_codes=1)
    seen = []
    model.generator.register_forward_hook(lambda module, args, output: seen.append(args[0]))
    grids = tiny.grids(model, tiny.batch(), 32)
    assert list(grids) == ["samples", "code_1_categorical", "code_2_categorical", "code_3_continuous"]
    _, first, second, third = seen
    for latent, rows, span in ((first, 3, slice(4, 7)), (second, 2, slice(7, 9))):
        grid = latent.unflatten(0, (rows, 4))
        assert torch.equal(grid[..., span].argmax(-1), torch.arange(rows)[:, None].expand(rows, 4))
        rest = torch.cat([grid[..., : span.start], grid[..., span.stop :]], dim=-1)
        assert torch.equal(rest, rest[:1].expand_as(rest)), "a column is the same but for the category"
        assert not torch.equal(rest[:, 0], rest[:, 1])
    grid = third.unflatten(0, (3, 11))
    assert grid[..., 9].tolist() == [pytest.approx([-2 + 0.4 * step for step in range(11)])] * 3
    assert torch.equal(grid[..., :9], grid[:, :1, :9].expand(3, 11, 9)), "a row is the same but for the sweep"
    assert grid[:, 0, 4:7].argmax(-1).tolist() == [0, 1, 2]
    again = tiny.grids(model, tiny.batch(), 32)
    assert all(torch.equal(grid, again[name]) for name, grid in grids.items())


def test_sweeps_without_categories():
    grids = tiny.grids(tiny.build(InfoGAN, categorical_codes=[], continuous_codes=2), tiny.batch())
    assert list(grids) == ["samples", "code_1_continuous", "code_2_continuous"]
