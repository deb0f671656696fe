"""Attribute editing: single changes by hand, what predict and grids show, and held-out errors, of a StarGAN by hand."""

import math

import pytest
import torch

from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data.batches import AttributedImages, Images
from lit_gen.models import StarGAN
from lit_gen.tasks.attribute_editing import known_or_guessed_labels, single_changes
from tests.models import tiny
from tests.models.test_stargan import FIVE, Shifts, Sums


@pytest.fixture
def shifting():
    """A model whose generator by hand shows how many attributes were asked for."""
    model = tiny.build(StarGAN, attributes=["Male", "Young", "Smiling"])
    model.generator = Shifts()
    return model


def test_single_changes_by_hand():
    black_haired_man, blond_old_woman = [1, 0, 0, 1, 1], [0, 1, 0, 0, 0]
    targets = single_changes(torch.tensor([black_haired_man, blond_old_woman]).float(), FIVE)
    assert targets.tolist() == [
        [[1, 0, 0, 1, 1], [1, 0, 0, 0, 0]],  # black hair
        [[0, 1, 0, 1, 1], [0, 1, 0, 0, 0]],  # blond hair
        [[0, 0, 1, 1, 1], [0, 0, 1, 0, 0]],  # brown hair
        [[1, 0, 0, 0, 1], [0, 1, 0, 1, 0]],  # the other sex
        [[1, 0, 0, 1, 0], [0, 1, 0, 0, 1]],  # the other age
    ]


def test_single_changes_of_other_lists():
    """Hair colours are known by name wherever they stand; one that is not in the list is nobody's business."""
    labels = torch.tensor([[1, 1, 0, 0.0]])
    targets = single_changes(labels, ["Smiling", "Gray_Hair", "Wavy_Hair", "Brown_Hair"])
    assert targets[:, 0].tolist() == [[0, 1, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 0, 0, 1]]
    assert labels.tolist() == [[1, 1, 0, 0]], "the labels themselves stay"
    assert single_changes(torch.tensor([[0.0], [1.0]]), ["Blond_Hair"]).tolist() == [[[1.0], [1.0]]]
    assert single_changes(torch.tensor([[0.0], [1.0]]), ["Male"]).tolist() == [[[1.0], [0.0]]]


def test_prediction_is_the_input_beside_every_single_change(shifting):
    columns = torch.zeros(2, 6)
    columns[1, 3:5] = 1  # male and young
    image = tiny.images(2) / 2
    wide = shifting.predict_step(AttributedImages(image, columns), 0)
    assert wide.shape == (2, 1, 16, 16 * 4)
    asked = [[None, 1, 1, 1], [None, 1, 1, 3]]
    for row, numbers in enumerate(asked):
        for place, number in enumerate(numbers):
            part = wide[row, :, :, 16 * place : 16 * (place + 1)]
            torch.testing.assert_close(part, image[row] + 0.1 * (number or 0))


def test_unknown_labels_are_what_d_sees(shifting):
    """Without labels in the batch, D's classes stand in: here male and young, not smiling."""
    shifting.discriminator = Sums(1.0, [3.0, 0.1, -0.1])
    batch = Images(tiny.images(2) / 2)
    assert known_or_guessed_labels(shifting, batch).tolist() == [[1, 1, 0]] * 2
    wide = shifting.predict_step(batch, 0)
    torch.testing.assert_close(wide[:, :, :, 48:], batch.image + 0.3)  # smiling is added to the two
    # With attributes in the batch that are not the model's, too.
    other = AttributedImages(batch.image, torch.zeros(2, 1))
    shifting.data_attributes = ["Chubby"]
    assert known_or_guessed_labels(shifting, other).tolist() == [[1, 1, 0]] * 2


@pytest.mark.parametrize("count, rows", [(64, 8), (12, 2), (1, 1)])
def test_grid_has_a_row_an_image(count, rows):
    model = tiny.build(StarGAN, 3)
    batch = tiny.batch(8, 3, kind=AttributedImages)
    (grid,) = tiny.grids(model, batch, count).values()
    assert grid.shape == (3, rows * 18 + 2, 6 * 18 + 2)
    for row in range(rows):
        top = 2 + 18 * row
        assert torch.equal(grid[:, top : top + 16, 2:18], batch.image[row])
        target = single_changes(model.labels(batch), FIVE)[3]  # the other sex
        part = grid[:, top : top + 16, 2 + 4 * 18 : 18 + 4 * 18]
        torch.testing.assert_close(part, model.translate(batch.image, target)[row], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 8])
def test_validation_by_hand(tmp_path, batch_size):
    """With a generator by hand the way there and back adds a tenth of the attributes of both."""
    model = tiny.build(StarGAN)
    model.generator = Shifts()
    data = tiny.NoiseData(1, batch_size=batch_size, kind=AttributedImages)
    (metrics,) = tiny.trainer(tmp_path).validate(model, datamodule=data, verbose=False)
    labels = tiny.batch(batch_size, kind=AttributedImages).attributes[:, :5]
    numbers = labels.sum(1)
    there_and_back = sum(0.1 * (numbers[row] + numbers[row - 1]) for row in range(batch_size)) / batch_size
    assert metrics["val/reconstruction"] == pytest.approx(there_and_back.item(), rel=1e-4)
    assert set(metrics) == {
        "val/reconstruction", "val/classification", "val/translation", "val/d_score_real", "val/d_score_fake",
    }  # fmt: skip
    weighted = model.reconstruction_weight * there_and_back.item() + metrics["val/classification"]
    assert metrics["val/translation"] == pytest.approx(weighted, rel=1e-4) and model.task.monitor == "val/translation"
    assert all(math.isfinite(value) for value in metrics.values())


def test_a_generator_that_changes_nothing_is_not_perfect(tmp_path):
    """Images are compared with other real ones than those that they are made from: FID was 0 here."""
    model = tiny.build(StarGAN, size=28)
    model.generator.forward = lambda image, target: image
    evaluation = Evaluation(features="digits")
    data = tiny.NoiseData(6, size=28, kind=AttributedImages)
    tiny.trainer(tmp_path, callbacks=[evaluation]).test(model, datamodule=data, verbose=False)
    figures = {name.removeprefix("test/"): figure for name, figure in evaluation.figures.items()}
    assert figures["digit_fid"].value > 0.1 and figures["swd24_28"].value > 1
    assert {f"{name}_digit_fid" for name in FIVE} <= set(figures)
    assert all(figure.value > 0.1 for name, figure in figures.items() if name.endswith("_digit_fid"))
