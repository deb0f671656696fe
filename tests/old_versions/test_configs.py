"""Settings of older versions become those of this one, and a line says so."""

from copy import deepcopy

import pytest
import yaml

from lit_gen.old_versions.configs import translate

OF_RUN = "# lightning.pytorch==2.6.6\n"


@pytest.mark.parametrize(
    ("header", "settings", "dropped"),
    [
        (OF_RUN, {"ckpt_path": "runs/a.ckpt", "trainer": {}}, True),
        ("# pytorch_lightning==2.0.0\n", {"ckpt_path": "runs/a.ckpt"}, True),
        ("", {"ckpt_path": "runs/a.ckpt"}, False),  # a file of the user's
        ("# lightning is great\n", {"ckpt_path": "runs/a.ckpt"}, False),
        (OF_RUN, {"ckpt_path": "runs/a.ckpt", "verbose": True}, False),  # of a test
        (OF_RUN, {"ckpt_path": "runs/a.ckpt", "return_predictions": None}, False),  # of a prediction
    ],
)
def test_what_a_training_went_on_from_is_left_out(header, settings, dropped):
    before = dict(settings)
    said = translate(settings, header + yaml.safe_dump(settings))
    assert settings == {name: value for name, value in before.items() if not dropped or name != "ckpt_path"}
    assert len(said) == dropped and all("runs/a.ckpt" in line and "--ckpt_path" in line for line in said)


def test_nothing_is_said_of_a_training_that_began_anew():
    settings = {"ckpt_path": None, "seed_everything": 0}
    assert translate(settings, OF_RUN + "ckpt_path: null\nseed_everything: 0\n") == []


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (
            {
                "class_path": "VAE",
                "init_args": {"network": "mlp", "hidden_sizes": [8], "activation": "tanh", "channels": 64},
            },
            {
                "class_path": "lit_gen.layers.coders.MLPEncoder",
                "init_args": {"hidden_sizes": [8], "activation": "tanh"},
            },
        ),
        (
            {"class_path": "lit_gen.models.AAE", "init_args": {"network": "conv", "hidden_sizes": [8], "channels": 4}},
            {"class_path": "lit_gen.layers.coders.ConvEncoder", "init_args": {"channels": 4}},
        ),
        (
            {"class_path": "AutoEncoder", "network": "residual", "hidden_sizes": [8], "channels": 4},
            {"class_path": "lit_gen.layers.coders.ResidualEncoder", "init_args": {"channels": 4, "hidden_sizes": [8]}},
        ),
        ({"init_args": {"hidden_sizes": [8]}}, {"init_args": {"hidden_sizes": [8]}}),
        ({"hidden_sizes": [8]}, {"init_args": {"hidden_sizes": [8]}}),
        ({"class_path": "VAE", "init_args": {"channels": 4}}, {"init_args": {"channels": 4}}),
    ],
)
def test_a_network_of_then_is_an_encoder(model, expected):
    settings = {"model": model}
    (line,) = translate(settings, "")
    assert "--model.encoder" in line
    init_args = model.get("init_args", model)
    assert init_args["encoder"] == expected
    assert not {"network", "hidden_sizes", "activation", "channels"} & init_args.keys()


@pytest.mark.parametrize(
    "model",
    ["VAE", None, {"init_args": {"channels": 4}}, {"class_path": "CycleGAN", "init_args": {"channels": 4}},
     {"class_path": "VAE", "init_args": {"encoder": {"init_args": {"hidden_sizes": [8]}}}}],
)  # fmt: skip
def test_other_settings_stay(model):
    settings = {"model": deepcopy(model)}
    assert translate(settings, "") == [] and settings == {"model": model}
