"""Settings of older versions become those of this one, and a line says so."""

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
