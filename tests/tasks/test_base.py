"""What all tasks share."""

import pytest
import torch

from lit_gen.models import VAE
from lit_gen.tasks.base import Task, grid
from lit_gen.tasks.code_sweeps import CodeSweeps
from lit_gen.tasks.reconstruction import Reconstruction
from lit_gen.tasks.sampling import GrowingSampling, Sampling
from tests.models import tiny


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grid_has_images_in_rows_on_white(channels):
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, channels, 2, 3) / 10
    made = grid(images, columns=3, gap=1)
    assert made.shape == (channels, 2 * 3 + 1, 3 * 4 + 1)
    assert made[:, 1:3, 1:4].unique().tolist() == [0.0]
    assert made[:, 4:6, 5:8].unique().tolist() == pytest.approx([0.4])
    assert made[:, 0].unique().tolist() == [1.0] and made[:, 4:6, 9:12].unique().tolist() == [1.0]


def test_a_grid_is_square_and_within_range():
    made = grid(3 * torch.ones(9, 1, 4, 4, dtype=torch.bfloat16, requires_grad=True))
    assert made.shape == (1, 3 * 6 + 2, 3 * 6 + 2)
    assert made.dtype is torch.float32 and made.max() == 1 and not made.requires_grad


def test_a_new_task_is_safe_until_it_speaks():
    class Inherits(Sampling):
        pass

    class Own(Sampling):
        def sample_grids(self, model, batch, count=64):
            return {"samples": grid(batch.image)}

    class Silent(Own):
        pass

    class Speaks(Own):
        generated_grids = ("made_*",)

    class Mixin:
        def sample_grids(self, model, batch, count=64):
            return {"samples": grid(batch.image)}

    class Mixed(Mixin, Sampling):
        pass

    assert not Inherits.shows_data("samples") and Inherits.shows_data("reals")
    assert Own.shows_data("samples") and Silent.shows_data("samples") and Mixed.shows_data("samples")
    assert Speaks.shows_data("samples") and not Speaks.shows_data("made_of_noise")
    assert not CodeSweeps.shows_data("code_2_continuous") and not Reconstruction.shows_data("samples")
    assert Reconstruction.shows_data("reconstructions") and Task.shows_data("anything")
    assert GrowingSampling.shows_data("reals") and not GrowingSampling.shows_data("samples")


@pytest.mark.parametrize("count", [3, torch.tensor(3), torch.tensor(3.0)])
def test_what_a_mean_is_over_may_be_any_number(count, monkeypatch):
    """Lightning divides the sum over several processes by their number, and rounds it down where it is whole."""
    model, batch, mean, sizes = tiny.build(VAE), tiny.batch(8), torch.ones(()), {}
    monkeypatch.setattr(VAE.task, "held_out_terms", lambda *_: {"plain": mean, "own": (mean, count)})
    monkeypatch.setattr(model, "log", lambda name, *_, batch_size, **__: sizes.update({name: batch_size}))
    model.validation_step(batch, 0)
    assert sizes == {"val/plain": 8, "val/own": 3}
    assert all(torch.as_tensor(size).is_floating_point() for size in sizes.values())
