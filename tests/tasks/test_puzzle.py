"""Puzzle: the measures by hand, and what predict and grids show of a PuzzleGAN."""

import pytest
import torch

from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.layers.key_patches import KeyPatches, key_patches
from lit_gen.models import PuzzleGAN
from lit_gen.tasks import puzzle
from lit_gen.tasks.puzzle import assembly_measures
from tests.models import tiny
from tests.models.test_puzzle_gan import halves


def test_measures_by_hand():
    """One image with a mask half right and error 0.4 in one channel of two; one with all right. Outside counts not."""
    truth = halves(2, 16).truth
    mask = truth * 0.51
    mask[0, :, :8] = 0.5  # exactly one half is not inside
    mask[0, :, 8:] = 0.9  # the bottom half of the image, of which half is right
    real, image = torch.zeros(2, 2, 16, 16), torch.ones(2, 2, 16, 16)
    image[..., :8] = torch.tensor([[0.4, 0.0], [0.0, 0.0]])[:, :, None, None]
    measures = assembly_measures(image, mask, real, KeyPatches(torch.empty(0), truth, torch.empty(0)))
    assert measures["mask_iou"].item() == pytest.approx((64 / 192 + 1) / 2)
    assert measures["patch_l1"].item() == pytest.approx((0.2 + 0) / 2)


def test_evaluation_logs_the_measures(tmp_path):
    model = tiny.build(PuzzleGAN, 3)
    (logged,) = tiny.trainer(tmp_path).test(model, datamodule=tiny.NoiseData(2, 3), verbose=False)
    assert set(logged) == {"test/mask_iou", "test/patch_l1", "test/d_logit_real", "test/d_logit_fake"}
    assert 0 <= logged["test/mask_iou"] <= 1 and 0 <= logged["test/patch_l1"] <= 2


def test_predictions_are_strips():
    """Three patches, predicted and true mask, generated and real image, with white between them."""
    model, batch = tiny.build(PuzzleGAN, 3).eval(), tiny.batch(2, 3)
    torch.manual_seed(0)
    strips = model.predict_step(batch, 0)
    assert strips.shape == (2, 3, 16, 7 * 16 + 6 * 2)
    *patches, predicted, truth, generated, real = (strips[..., 18 * index :][..., :16] for index in range(7))
    key = key_patches(batch.image)
    torch.manual_seed(0)
    image, mask = model.assemble(key.patches)
    assert torch.equal(torch.stack(patches, 1), key.patches) and torch.equal(real, batch.image)
    torch.testing.assert_close(generated, image)
    torch.testing.assert_close(predicted, (mask * 2 - 1).expand(-1, 3, -1, -1))
    assert torch.equal(truth, torch.where(key.mask > 0, 1.0, -1.0).expand(-1, 3, -1, -1))
    assert all((strips[..., 18 * index - 2 : 18 * index] == 1).all() for index in range(1, 7))


def test_grids_can_be_compared():
    model, batch = tiny.build(PuzzleGAN, 3), tiny.batch(8, 3)
    grids = [tiny.grids(model, batch, 16)["puzzle"] for _ in range(2)]
    assert torch.equal(*grids)
    assert grids[0].shape == (3, 2 * 22 + 6, 2 * (7 * 16 + 6 * 2 + 6) + 6)
    assert tiny.grids(model, batch, 1)["puzzle"].shape == (3, 16, 7 * 16 + 6 * 2)


def test_images_as_they_were_are_not_perfect(tmp_path, monkeypatch):
    """Images are compared with other real ones than those that their patches are from: FID was 0 here."""
    model = tiny.build(PuzzleGAN, size=32)
    monkeypatch.setattr(
        puzzle, "key_patches", lambda image: KeyPatches(image[:, None], torch.ones_like(image[:, :1]), torch.empty(0))
    )
    model.assemble = lambda patches, latent=None: (patches[:, 0], torch.ones_like(patches[:, 0, :1]))
    evaluation = Evaluation(features="digits")
    tiny.trainer(tmp_path, callbacks=[evaluation]).test(model, datamodule=tiny.NoiseData(3, size=32), verbose=False)
    figures = {name.removeprefix("test/"): figure for name, figure in evaluation.figures.items()}
    assert figures["digit_fid"].value > 0.1 and figures["swd12_32"].value > 1
