"""Limits of settings: what is beyond them ends in one line, what is not arrives as a plain number."""

import pytest
import yaml
from jsonargparse import ArgumentParser

import lit_gen.models  # noqa: F401  so that short names resolve
from lit_gen.command_line.parser import OneLineParser
from lit_gen.command_line.refusals import explain
from lit_gen.data.base import ImageData
from lit_gen.errors import UserError
from lit_gen.limits import BelowOne, ClosedUnitInterval, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from lit_gen.models.base import GenerativeModule
from tests.test_cli import data, mistake, runs  # noqa: F401  two are fixtures

GOOD = [
    (PositiveInt, "1", 1), (PositiveInt, "12", 12), (NonNegativeInt, "0", 0), (NonNegativeFloat, "0", 0.0),
    (NonNegativeFloat, "1e-4", 1e-4), (NonNegativeFloat, "2", 2.0), (BelowOne, "0", 0.0), (BelowOne, "0.999", 0.999),
    (ClosedUnitInterval, "1", 1.0), (PositiveInt | None, "null", None), (list[PositiveInt], "[8, 4]", [8, 4]),
    (tuple[BelowOne, BelowOne], "[0, 0.9]", (0.0, 0.9)), (dict[int, PositiveInt], "{4: 8}", {4: 8}),
    (PositiveFloat, "1e-9", 1e-9), (PositiveFloat, "3", 3.0),
]  # fmt: skip
BAD = [
    (PositiveInt, "0"), (PositiveInt, "-3"), (PositiveInt, "0.5"), (PositiveInt, "true"), (PositiveInt, "x"),
    (NonNegativeInt, "-1"), (NonNegativeFloat, "-1e-9"), (NonNegativeFloat, "inf"), (NonNegativeFloat, "nan"),
    (NonNegativeFloat, ".inf"), (BelowOne, "1.0"), (BelowOne, "-0.1"), (ClosedUnitInterval, "1.01"),
    (PositiveInt | None, "0"), (list[PositiveInt], "[8, 0]"), (dict[int, PositiveInt], "{4: 0}"), (BelowOne, "nan"),
    (PositiveFloat, "0"), (PositiveFloat, "-1"), (PositiveFloat, "inf"), (PositiveFloat, "nan"),
]  # fmt: skip


def parse(kind: type, word: str) -> tuple[object, str]:
    """The value of an option of this type, and how it is written to a config."""
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--option", type=kind)
    settings = parser.parse_args([f"--option={word}"])
    return settings.option, parser.dump(settings)


def numbers(value: object) -> list[object]:
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else [value]
    return [item for item in items if item is not None]


@pytest.mark.parametrize(("kind", "word", "expected"), GOOD)
def test_a_value_within_the_limits_is_a_plain_number(kind, word, expected):
    """Optimizers keep their settings in checkpoints, which are to hold plain types only."""
    value, written = parse(kind, word)
    assert value == expected and [type(one) for one in numbers(value)] == [type(one) for one in numbers(expected)]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--option", type=kind)
    assert parser.parse_string(written).option == expected


@pytest.mark.parametrize(("kind", "word"), BAD)
def test_a_value_beyond_the_limits_is_refused(kind, word):
    with pytest.raises(Exception, match="option"):
        parse(kind, word)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("--checkpoints.keep=0", "--checkpoints.keep must be of type integer from 1, not 0."),
        (
            "--checkpoints.every_n_batches=-1",
            "--checkpoints.every_n_batches must be of type integer from 0, not -1.",
        ),
        (
            "--checkpoints.every_n_minutes=-0.5",
            "--checkpoints.every_n_minutes must be of type number from 0, not -0.5.",
        ),
        ("--health.every_n_batches=0.5", "--health.every_n_batches must be of type integer from 0, not 0.5."),
        ("--trainer.accumulate_grad_batches=0", "--trainer.accumulate_grad_batches must be of type integer from 1"),
    ],
)
def test_the_command_line_says_the_limit(word, expected, capsys):
    assert mistake(["fit", "--model=VAE", "--data=MNIST", word], capsys).startswith(f"error: {expected}")


@pytest.fixture(scope="module")
def parser():
    """For a model or data, as the command line has one."""
    parser = OneLineParser()
    for part, base in (("model", GenerativeModule), ("data", ImageData)):
        parser.add_subclass_arguments(base, part, required=False, skip={"spec"})
    return parser


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("model=VAE latent_dim=0", "integer from 1, not 0"),
        ("model=VAE encoder.hidden_sizes=[8,0]", "integer from 1, not 0"),
        ("model=Text2Image text_channels=[8,8,-1]", "integer from 1, not -1"),
        ("model=DCGAN n_critic=0", "integer from 1, not 0"),
        ("model=DCGAN betas=[0.5,1.0]", "number from 0 to below 1, not 1.0"),
        ("model=GAN hidden_dropout=.nan", "finite number from 0 to below 1, not .nan"),
        ("model=InfoGAN discriminator_learning_rate=-1e-4", "number from 0, not -1e-4"),
        ("model=CycleGAN cycle_weight=.inf", "finite number from 0, not .inf"),
        ("model=CycleGAN residual_blocks=-1", "integer from 0 or null, not -1"),
        ("model=VAE beta=.nan", "finite number from 0, not .nan"),
        ("model=VAE pixel_deviation=0", "number above 0, not 0"),
        ("model=VAE num_importance_samples=0", "integer from 1, not 0"),
        ("model=VAE num_eval_samples=0", "integer from 1, not 0"),
        ("model=AAE prior_scale=0", "number above 0, not 0"),
        ("model=AAE labelled_fraction=1.5", "number from 0 to 1, not 1.5"),
        ("data=MNIST num_workers=-1", "integer from 0, not -1"),
        ("data=ImageFolder channels=0", "integer from 1, not 0"),
    ],
)
def test_a_setting_of_a_model_or_of_data_has_a_limit(words, expected, parser):
    named, setting = words.split(" ", 1)
    part, name = named.partition("=")[0], setting.partition("=")[0]
    with pytest.raises(UserError) as refused:
        parser.parse_args([f"--{named}", f"--{part}.{setting}"])
    assert explain(str(refused.value)) == f"--{part}.{name} must be of type {expected}."


def test_the_values_of_a_table_have_a_limit(parser):
    with pytest.raises(UserError) as refused:
        parser.parse_args(["--model=ProGAN", "--model.minibatch_sizes={4: 8, 8: 0}"])
    expected = "--model.minibatch_sizes must have values of type integer from 1, or be null, not {4: 8, 8: 0}."
    assert explain(str(refused.value)) == expected


@pytest.mark.parametrize(
    "words",
    ["model=VAE latent_dim=1", "model=VAE encoder.hidden_sizes=[]", "model=VAE beta=0",
     "model=CycleGAN residual_blocks=null", "model=DCGAN betas=[0,0.999]", "model=CycleGAN pool_size=0",
     "model=ProGAN fade_kimg=600"],
)  # fmt: skip
def test_a_setting_at_its_limit_is_taken(words, parser):
    named, setting = words.split(" ", 1)
    part, (name, value) = named.partition("=")[0], setting.split("=")
    settings = parser.parse_args([f"--{named}", f"--{part}.{setting}"])
    found = settings[part].init_args.as_dict()
    for key in name.split("."):  # a network has settings of its own
        found = found.get("init_args", found)[key]
    assert (list(found) if isinstance(found, tuple) else found) == yaml.safe_load(value)
    assert {type(one) for one in numbers(found)} <= {int, float}


def test_what_the_command_line_refuses_is_told_in_short(data, runs, capsys):  # noqa: F811
    words = ["fit", *data, f"--trainer.default_root_dir={runs}", "--model=VAE"]
    assert (
        mistake([*words, "--model.latent_dim=0.5"], capsys)
        == "error: --model.latent_dim must be of type integer from 1, not 0.5."
    )
    line = mistake([*words, "--model.likelihood=poisson"], capsys)
    assert line == "error: --model.likelihood must be of type Literal['bernoulli', 'gaussian'], not poisson."
    assert "there is not enough memory" in mistake([*words, "--model.latent_dim=1000000000000"], capsys)
    assert "--trainer.num_nodes must be at least 1" in mistake([*words, "--trainer.num_nodes=0"], capsys)
    assert "precision 64-true would need" in mistake([*words, "--trainer.precision=64-true"], capsys)
