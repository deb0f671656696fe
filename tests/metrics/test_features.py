import json
import warnings
from pathlib import Path

import pytest
import torch

from lit_gen.data import download, server
from lit_gen.errors import UserError
from lit_gen.metrics import features as module
from lit_gen.metrics.digits import load_digits
from lit_gen.metrics.features import INCEPTION_WEIGHTS, DigitFeatures, Features
from tests.metrics import inception_vector


@pytest.mark.parametrize(
    "choice, shape, expected",
    [
        ("auto", (1, 28, 28), ["digits"]),
        ("auto", (1, 32, 32), ["digits"]),
        ("auto", (1, 16, 16), ["inception"]),
        ("auto", (1, 64, 64), ["inception"]),
        ("auto", (3, 32, 32), ["inception"]),
        ("digits", (1, 28, 28), ["digits"]),
        ("inception", (1, 28, 28), ["inception"]),
        ("dinov2", (1, 28, 28), ["dinov2"]),
        ("none", (3, 64, 64), []),
    ],
)
def test_choice(choice, shape, expected):
    assert Features(choice, shape).choices == expected


@pytest.mark.parametrize("shape", [(3, 28, 28), (1, 64, 64), (1, 16, 16)])
def test_digits_look_at_digits_only(shape):
    with pytest.raises(UserError, match=f"grey images of 28 to 32 pixels, these are {shape[0]}x{shape[1]}x{shape[2]}"):
        Features("digits", shape)


def test_digit_features_of_bytes():
    """The same as of the floats that the data make of the bytes."""
    image = torch.randint(256, (4, 1, 28, 28), dtype=torch.uint8)
    classifier, name = load_digits()
    (network,) = Features("auto", (1, 28, 28)).load("cpu")
    assert isinstance(network, DigitFeatures) and network.title == name and not network.training
    with torch.no_grad():
        assert torch.equal(network(image), classifier.features(image.float() / 127.5 - 1))


def test_none_has_no_network(capsys):
    assert Features("none", (3, 64, 64)).load("cpu") == []
    assert not any(capsys.readouterr())


@pytest.fixture
def hub(tmp_path, monkeypatch) -> Path:
    """The place of the weights in a folder without them, and no network."""

    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(server, "urlopen", refuse)
    monkeypatch.setattr(download, "PAUSE", 0)
    monkeypatch.setattr(module, "fetch", download.fetch)
    return tmp_path / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"


def test_without_a_network_one_line_says_so(hub, caplog):
    features = Features("auto", (3, 64, 64))
    with caplog.at_level("INFO"):
        assert features.load("cpu") == []
        asked = len(caplog.records)
        assert features.load("cpu") == []  # the second evaluator does not ask again
    assert len(caplog.records) == asked
    message = caplog.records[-1].getMessage()
    assert "\n" not in message
    assert message.startswith("warning: FID, KID, precision and recall are left out: cannot download weights-inception")
    assert "no route to host" in message and str(hub) in message and "--evaluation.features=none" in message
    assert not hub.parent.exists()


def test_a_wrong_file_is_moved_aside(hub, caplog):
    hub.parent.mkdir()
    hub.write_bytes(b"something else")
    with caplog.at_level("INFO"), pytest.raises(UserError, match="no route to host"):
        INCEPTION_WEIGHTS.ready()
    assert f"{hub} is not the file that https://" in caplog.text
    assert [path.name for path in hub.parent.iterdir()] == [f"{hub.name}.damaged"]


def test_inception_takes_grey_and_coloured_bytes(tmp_path, monkeypatch):
    """With weights by chance: the real ones are too large to ship."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.save({}, tmp_path / "weights.pth")
    monkeypatch.setattr(module.Weights, "ready", lambda weights: tmp_path / "weights.pth")
    monkeypatch.setattr(FeatureExtractorInceptionV3, "load_state_dict", lambda *_: None)
    torch.manual_seed(0)
    (network,) = Features("inception", (1, 16, 16)).load("cpu")
    assert network.title == "inception-6726825d"
    grey = torch.randint(256, (2, 1, 16, 16), dtype=torch.uint8)
    found = network(grey)
    assert found.shape == (2, network.num_features) and found.dtype == torch.float32
    assert torch.equal(found, network(grey.repeat(1, 3, 1, 1)))
    assert not torch.allclose(found[0], found[1])


# The published protocol


@pytest.mark.parametrize(
    "choice, shape, expected",
    [
        ("auto", (1, 28, 28), ["digits", "inception", "vgg16"]),
        ("auto", (3, 64, 64), ["inception", "vgg16"]),
        ("digits", (1, 28, 28), ["digits"]),
        ("inception", (1, 28, 28), ["inception", "vgg16"]),
        ("dinov2", (3, 64, 64), ["dinov2"]),
        ("none", (3, 64, 64), []),
    ],
)
def test_published_choice(choice, shape, expected):
    assert Features(choice, shape, published=True).choices == expected


def test_without_a_network_the_digits_go_on(hub, caplog):
    with caplog.at_level("INFO"):
        (network,) = Features("auto", (1, 28, 28), published=True).load("cpu")
    assert isinstance(network, DigitFeatures) and network.measures == ("fid", "kid", "precision")
    warnings = [line for line in caplog.messages if line.startswith("warning: ")]
    assert ["FID and KID", "precision and recall"] == [line[9:].split(" are left out: ")[0] for line in warnings]
    assert all("no route to host" in line and "\n" not in line for line in warnings)


def test_dinov2_that_cannot_be_had_is_one_line(monkeypatch, caplog):
    def refuse(*_, **__):
        raise RuntimeError("no route to host\nand more")

    monkeypatch.setattr(torch.hub, "load", refuse)
    with caplog.at_level("INFO"):
        assert Features("dinov2", (3, 64, 64)).load("cpu") == []
    (warning,) = [line for line in caplog.messages if line.startswith("warning: ")]
    assert "facebookresearch/dinov2 (no route to host)" in warning


def extractors(monkeypatch, tmp_path):
    """Both networks of torch-fidelity with random weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    from torchvision.models import VGG

    torch.save({}, tmp_path / "weights.pth")
    monkeypatch.setattr(module.Weights, "ready", lambda weights: tmp_path / "weights.pth")
    for kind in (FeatureExtractorInceptionV3, VGG):
        monkeypatch.setattr(kind, "load_state_dict", lambda *_: None)
    torch.manual_seed(0)
    return Features("inception", (3, 16, 16), published=True).load("cpu")


class Seen(torch.nn.Module):
    """Keeps what enters a network, and ends there."""

    def forward(self, image):
        self.image = image
        raise EOFError


def test_what_enters_the_networks_by_hand(monkeypatch, tmp_path):
    """Grey bytes in three channels, resized as TensorFlow 1 did: pixel i of the new image lies at i·old/new of the old.

    Not at (i + 1/2)·old/new − 1/2, as elsewhere: the last pixels all have the last value. The values are not rounded.
    """
    inception, vgg = extractors(monkeypatch, tmp_path)
    assert (inception.measures, vgg.measures) == (("fid", "kid"), ("precision",))
    assert (inception.title, vgg.title) == ("inception-6726825d", "vgg16-397923af")
    found = vgg(torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8))
    assert found.shape == (2, 4096) and found.dtype == torch.float16 and found.min() >= 0  # after the ReLU
    old = torch.tensor([[0, 100], [200, 50]], dtype=torch.uint8)
    for network, first, side, scaled in (
        (inception, "Conv2d_1a_3x3", 299, lambda pixels, _: (pixels - 128) / 128),
        (vgg, "model", 224, lambda pixels, channel: (pixels / 255 - (0.485, 0.456, 0.406)[channel])
         / (0.229, 0.224, 0.225)[channel]),
    ):  # fmt: skip
        seen = Seen()
        setattr(network.network, first, seen)
        with pytest.raises(EOFError):
            network(old[None, None])
        assert seen.image.shape == (1, 3, side, side)
        for row, column in ((0, 0), (0, side - 1), (side - 1, 0), (0, 1), (side // 2, side // 3), (side // 4, 7)):
            down, right = min(1.0, row * 2 / side), min(1.0, column * 2 / side)
            top, bottom = 0 + right * 100, 200 + right * (50 - 200)
            pixels = top + down * (bottom - top)
            for channel in range(3):
                found = float(seen.image[0, channel, row, column])
                assert found == pytest.approx(scaled(pixels, channel), abs=1e-4), (row, column, channel)


def test_real_inception_features():
    if not (inception_vector.TARGET.is_file() and INCEPTION_WEIGHTS.path.is_file()):
        problem = (
            "UNTESTED: real Inception features. Run python -m tests.metrics.inception_vector where they can be had"
        )
        warnings.warn(problem, stacklevel=1)
        pytest.skip(problem)
    vector = json.loads(inception_vector.TARGET.read_text())
    network = module.inception()
    assert vector["network"] == network.title
    for name, image in inception_vector.known_images().items():
        torch.testing.assert_close(network(image)[0], torch.tensor(vector["features"][name]), rtol=1e-3, atol=1e-3)
