import hashlib
import os
import shutil
from pathlib import Path

import pytest
import torch

from lit_gen.data import MNIST
from lit_gen.errors import UserError
from lit_gen.metrics import digits
from lit_gen.metrics.digits import WEIGHTS, accuracy, jitter, load_digits
from tests.models import tiny


@pytest.fixture(scope="module")
def classifier():
    return load_digits()[0]


def test_the_weights_are_small_and_name_the_features():
    assert WEIGHTS.stat().st_size < 1_000_000
    name = load_digits()[1]
    assert name == "digits-" + hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()[:8]
    assert sum(parameter.numel() for parameter in load_digits()[0].parameters()) == 170_194


@pytest.mark.skipif("LIT_GEN_DATA" not in os.environ, reason="LIT_GEN_DATA names no folder with MNIST/raw")
def test_accuracy_on_mnist_is_as_stated(classifier):
    data = MNIST(Path(os.environ["LIT_GEN_DATA"]), download=False)
    data.setup("test")
    assert accuracy(classifier, data) == pytest.approx(0.9973, abs=3e-4)  # rounding differs between processors


def test_rendered_digits_are_recognised(classifier, mnist_root):
    data = MNIST(mnist_root, val_size=100)
    data.setup("test")
    assert accuracy(classifier, data) > 0.7  # they were never trained on; chance is 0.1


def test_32_pixels_are_28_with_a_border(classifier):
    image = tiny.images(3, 1, 28)
    border = torch.nn.functional.pad(image, (2, 2, 2, 2), value=0.3)
    with torch.no_grad():
        assert classifier.features(image).shape == (3, 128)
        torch.testing.assert_close(classifier.features(border), classifier.features(image))
        assert not torch.allclose(classifier.features(image.roll(4, -1)), classifier.features(image))


def test_jitter_moves_by_two_pixels_at_most():
    torch.manual_seed(0)
    image = torch.full((64, 1, 28, 28), -1.0)
    image[:, :, 13:15, 13:15] = 1  # its centre is the picture's
    torch.testing.assert_close(jitter(image, 0, 0, 0), image, rtol=0, atol=1e-5)
    ink = jitter(image, 2, 0, 0) + 1
    places = torch.arange(28) - 13.5
    for axis in (2, 3):
        centre = (ink.sum(5 - axis).squeeze(1) * places).sum(1) / ink.sum((1, 2, 3))
        assert 1.5 < centre.abs().max() <= 2 + 1e-4 and centre.unique().numel() > 60
    assert jitter(image, 2, 10, 0.1).min() == -1  # what comes in is black


def test_jitter_turns_by_the_angle_at_most():
    """A bar of 20 pixels leans 10 degrees at most, to either side."""
    torch.manual_seed(0)
    image = torch.full((64, 1, 28, 28), -1.0)
    image[:, :, 4:24, 13:15] = 1
    ink = (jitter(image, 0, 10, 0) + 1).squeeze(1)
    places = torch.arange(28) - 13.5
    top, bottom = ((ink[:, row] * places).sum(1) / ink[:, row].sum(1) for row in (6, 21))
    lean = torch.rad2deg(torch.atan((top - bottom) / 15))
    assert 8 < lean.abs().max() < 10.5 and lean.min() < -5 < 5 < lean.max()


def test_missing_and_damaged_weights(tmp_path):
    with pytest.raises(UserError, match="^cannot read the digit classifier .*No such file.*train it"):
        load_digits(tmp_path / "none.safetensors")
    shutil.copy(WEIGHTS, tmp_path / "cut")
    (tmp_path / "cut").write_bytes(WEIGHTS.read_bytes()[:1000])
    with pytest.raises(UserError, match="does not hold the digit classifier"):
        load_digits(tmp_path / "cut")


def test_the_recipe_runs(mnist_root, tmp_path, monkeypatch, capsys):
    target = tmp_path / "weights.safetensors"
    monkeypatch.setattr("sys.argv", ["digits", f"--root={mnist_root}", f"--target={target}", "--epochs=1"])
    digits.main()
    assert "of the test digits are classified correctly" in capsys.readouterr().out
    trained, name = load_digits(target)
    assert name != load_digits()[1]
    assert not trained.training and not any(parameter.requires_grad for parameter in trained.parameters())
