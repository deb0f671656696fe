"""`--model.help VAE`: each argument once, as the parser has it, in groups."""

import re

import pytest
import yaml

import lit_gen.data
import lit_gen.models
from lit_gen import limits
from lit_gen.command_line.class_help import COLUMNS, ORDER, class_help
from lit_gen.command_line.parser import OneLineParser

CLASSES = [("model", name) for name in lit_gen.models.__all__] + [("data", name) for name in lit_gen.data.__all__]


def settings(part, name):
    """Name, values with default, and text of each setting on the screen."""
    return re.findall(rf"^  --{part}\.(\w+) \((.*)\)\n((?: {{6}}\S.*\n?)+)", class_help(part, name), re.MULTILINE)


@pytest.mark.parametrize(("part", "name"), CLASSES)
def test_each_argument_once_with_its_default(part, name):
    parser = OneLineParser()
    package = lit_gen.models if part == "model" else lit_gen.data
    parser.add_class_arguments(getattr(package, name), "given", skip={"spec"})
    defaults = dict(parser.get_defaults().given.items())
    shown = {setting: values for setting, values, _ in settings(part, name)}
    assert len(settings(part, name)) == len(shown), "none twice"
    names = {action.dest.removeprefix("given.") for action in parser._actions if action.dest.startswith("given.")}
    assert shown.keys() == {name for name in names if not name.endswith(".help")}
    for setting, values in shown.items():
        if values.endswith("required"):
            assert defaults[setting] is None
            continue
        if setting == "encoder":
            assert "default MLPEncoder(hidden_sizes=[" in values
            continue
        default = yaml.safe_load(values.partition("; default ")[2])
        have = defaults[setting]
        if isinstance(have, int | float) and not isinstance(have, bool):
            assert float(default) == have, setting
        elif isinstance(have, (tuple, list, bool, type(None))):
            assert default == (list(have) if isinstance(have, tuple) else have), setting
    assert all(len(text.strip()) > 8 for _, _, text in settings(part, name))


@pytest.mark.parametrize(("part", "name"), CLASSES)
def test_the_screen_is_grouped_and_narrow(part, name):
    lines = class_help(part, name).splitlines()
    titles = [line for before, line in zip(lines, lines[1:], strict=False) if not before]
    assert len(titles) >= 2 and len(set(titles)) == len(titles)
    assert part == "data" or titles == [title for title in ORDER if title in titles]
    assert max(map(len, lines)) <= COLUMNS


def test_where_the_paper_has_another_value_it_is_said():
    text = {name: words for name, _, words in settings("model", "GAN")}
    assert "0.005" in text["discriminator_range"] and "1e-6" in text["learning_rate_floor"]
    assert "names no other" in class_help("model", "GAN")
    text = {name: words for name, _, words in settings("model", "VAE")}
    assert "1e-4" in text["adam_epsilon"]


def test_groups_and_values_of_vae():
    assert class_help("model", "GAN").startswith("GAN: Generative")
    assert class_help("data", "MNIST").startswith("MNIST: images"), "the name stands once"
    text = class_help("model", "VAE")
    groups = dict(zip(ORDER, re.split(rf"^(?:{'|'.join(ORDER)})$", text, flags=re.MULTILINE)[1:], strict=True))
    assert "--model.beta (number from 0; default 1.0)" in groups["loss"]
    assert "--model.likelihood (bernoulli | gaussian; default bernoulli)" in groups["loss"]
    assert "--model.learning_rate (" in groups["optimizer, schedule and initial weights"]
    assert "--model.encoder (" in groups["architecture"] and "weight_decay" not in groups["loss"]


def test_a_class_of_another_package_is_left_to_the_parser():
    assert class_help("model", "torch.nn.Linear") is None
    assert class_help("model", "Vae") is None


@pytest.mark.parametrize(("part", "name"), CLASSES)
def test_no_setting_has_the_name_of_a_limit_for_its_values(part, name):
    assert limits.TYPES
    assert not [word for word in limits.TYPES if word in class_help(part, name)]
