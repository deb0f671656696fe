"""Networks as arguments of a model: in Python, on the command line, in checkpoints."""

import sys
from functools import partial

import pytest
import torch
from torch import nn

from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.layers.coders import (
    ConvDecoder,
    ConvEncoder,
    Encoder,
    MLPDecoder,
    MLPEncoder,
    ResidualDecoder,
    ResidualEncoder,
    network,
)
from lit_gen.models import AAE, VAE, AutoEncoder
from tests.models import tiny
from tests.test_cli import data, mistake, runs  # noqa: F401  two are fixtures


class Own(Encoder):
    """An encoder of a user's own, without a mirror."""

    def __init__(self, image_shape: tuple[int, int, int], out_features: int, factor: float = 1.0) -> None:
        super().__init__()
        self.factor, self.linear = factor, nn.Linear(image_shape[-1], out_features)

    def forward(self, image):
        return self.factor * self.linear(image.mean((1, 2)))


def shapes(module):
    return [tuple(parameter.shape) for parameter in module.parameters()]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (network(MLPEncoder, hidden_sizes=[7, 5], activation="tanh"), MLPDecoder(3, (1, 16, 16), [5, 7], "tanh")),
        (partial(ConvEncoder, channels=4), ConvDecoder(3, (1, 16, 16), 4)),
        (network(ResidualEncoder, channels=4, hidden_sizes=[7, 5]), ResidualDecoder(3, (1, 16, 16), 4, [5, 7])),
        (
            network(ResidualEncoder, channels=4, hidden_sizes=[7, 5], blocks=2),
            ResidualDecoder(3, (1, 16, 16), 4, [5, 7], 2),
        ),
        (ConvEncoder, ConvDecoder(3, (1, 16, 16), 64)),
    ],
)
def test_a_decoder_is_the_mirror_unless_it_is_given(given, expected):
    model = AutoEncoder(tiny.spec(), latent_dim=3, encoder=given)
    assert shapes(model.decoder) == shapes(expected)
    assert [type(layer) for layer in model.decoder.modules()] == [type(layer) for layer in expected.modules()]
    other = AutoEncoder(tiny.spec(), latent_dim=3, encoder=given, decoder=network(MLPDecoder, hidden_sizes=[2]))
    assert shapes(other.decoder) == [(2, 3), (2,), (256, 2), (256,)] and shapes(other.encoder) == shapes(model.encoder)


def test_a_network_of_ones_own_needs_a_decoder():
    with pytest.raises(UserError, match=r"Own has no mirror. Set --model.decoder"):
        AutoEncoder(tiny.spec(), encoder=Own)
    model = AutoEncoder(tiny.spec(), latent_dim=3, encoder=partial(Own, factor=2.0), decoder=MLPDecoder)
    assert model.encoder.factor == 2 and model.reconstruct(tiny.images(2)).shape == (2, 1, 16, 16)


@pytest.mark.parametrize("model", [AutoEncoder, VAE, AAE])
@pytest.mark.parametrize("given", [ConvEncoder, partial(ConvEncoder, channels=4), network(ConvEncoder, channels=4)])
def test_a_checkpoint_names_a_network_of_this_project(model, given, tmp_path):
    built = model(tiny.spec(), latent_dim=3, encoder=given)
    trainer = tiny.trainer(tmp_path, max_steps=1)
    trainer.fit(built, datamodule=tiny.NoiseData(1))
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    settings = torch.load(tmp_path / "it.ckpt", weights_only=True)["hyper_parameters"]
    expected = {} if given is ConvEncoder else {"channels": 4}
    assert settings["encoder"] == {"class_path": "lit_gen.layers.coders.ConvEncoder", "init_args": expected}
    loaded = model.load_from_checkpoint(tmp_path / "it.ckpt", map_location="cpu")
    tiny.assert_same(loaded.state_dict(), built.state_dict())


def test_a_checkpoint_imports_nothing(tmp_path):
    """A network of another package is named by who loads the checkpoint, and by nobody else."""
    built = AutoEncoder(tiny.spec(), latent_dim=3, encoder=partial(Own, factor=2.0), decoder=MLPDecoder)
    trainer = tiny.trainer(tmp_path, max_steps=1)
    trainer.fit(built, datamodule=tiny.NoiseData(1))
    trainer.save_checkpoint(tmp_path / "own.ckpt")
    with pytest.raises(UserError, match=r"encoder is tests.layers.test_networks.Own, .* in Python by encoder=<class>"):
        AutoEncoder.load_from_checkpoint(tmp_path / "own.ckpt")
    for given, factor in ((Own, 2), (partial(Own, factor=1.0), 1)):  # as it was trained, unless one says otherwise
        loaded = AutoEncoder.load_from_checkpoint(tmp_path / "own.ckpt", encoder=given)
        assert loaded.encoder.factor == factor
        assert torch.equal(loaded.encoder.linear.weight, built.encoder.linear.weight)
    checkpoint = torch.load(tmp_path / "own.ckpt", weights_only=True)
    checkpoint["hyper_parameters"] |= {
        "encoder": {"class_path": "antigravity.Encoder"},
        "_instantiator": "lightning.pytorch.cli.instantiate_module",
        "_class_path": "antigravity.AutoEncoder",
    }
    torch.save(checkpoint, tmp_path / "own.ckpt")
    with pytest.raises(UserError, match="encoder is antigravity.Encoder"):
        AutoEncoder.load_from_checkpoint(tmp_path / "own.ckpt")
    assert "antigravity" not in sys.modules


def test_the_command_line_names_networks(data, runs, capsys):  # noqa: F811
    words = ["fit", *data, f"--trainer.default_root_dir={runs}", "--trainer.max_steps=1", "--trainer.logger=false"]
    words += ["--model=AAE", "--model.latent_dim=3", "--model.discriminator_sizes=[8]"]
    main([*words, "--model.encoder=ConvEncoder", "--model.encoder.channels=4", "--model.decoder=MLPDecoder",
          "--model.decoder.hidden_sizes=[8]"])  # fmt: skip
    (path,) = runs.glob("*/*/checkpoints/last.ckpt")
    loaded = AAE.load_from_checkpoint(path)
    assert isinstance(loaded.encoder, ConvEncoder) and loaded.encoder.channels == 4
    assert isinstance(loaded.decoder, MLPDecoder) and shapes(loaded.decoder)[0] == (8, 3)
    main(["test", *data, f"--config={path.parents[1] / 'config.yaml'}", f"--ckpt_path={path}",
          "--evaluation.samples=8", "--evaluation.features=none"])  # fmt: skip
    for setting, expected in (
        ("network=conv", "AAE has no setting 'network': it is --model.encoder=<class> now."),
        ("hidden_sizes=[8]", "AAE has no setting 'hidden_sizes': it is --model.encoder.hidden_sizes now."),
        ("encoder=Conv", "there is no encoder 'Conv'. Did you mean"),
        ("encoder.channels=4", "--model.encoder has no setting 'channels'."),
    ):
        assert expected in mistake([*words, f"--model.{setting}"], capsys)
