from pathlib import Path

import pytest
import torch

from lit_gen.data import download, server
from lit_gen.errors import UserError
from lit_gen.metrics import features as module
from lit_gen.metrics.digits import load_digits
from lit_gen.metrics.features import INCEPTION_WEIGHTS, DigitFeatures, Features


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
    assert not list(hub.parent.iterdir())


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
