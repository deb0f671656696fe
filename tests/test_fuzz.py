"""Random settings through the command line: each command trains two batches, or ends in one line; none in a traceback.

The settings are drawn by the types in the signatures, so that a new model or data module takes part by being there.
"""

import inspect
import io
import json
import shutil
import signal
import types
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import hypothesis
import lightning
import pytest
from hypothesis import strategies as st
from PIL import Image

import lit_gen.data
import lit_gen.models
from lit_gen.cli import main
from lit_gen.data.contract import batch_types, fields_read
from lit_gen.limits import BelowOne, ClosedUnitInterval, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from lit_gen.synthetic.faces.names import ATTRIBUTES
from tests.models.tiny import SMALL

SECONDS = 120  # for one command, on a machine that has other work; most take one or two
HUGE = 10**12  # more than any memory holds, where memory is asked for

INTEGERS = st.sampled_from([1, 2, 3, 4, 5, 8, 16, 31, 32, 0, -1])
FLOATS = st.sampled_from([1.0, 0.5, 1e-4, 0.0, 2.0, -1.0, 1e30, float("inf"), float("nan")])
NAMES = st.lists(st.sampled_from([*ATTRIBUTES[:12], "Male", "Young", "not Male", "", "hair"]), max_size=4)
BY_NAME = {
    "image_size": st.sampled_from([4, 8, 12, 16, 28, 31, 32, 3, 0, -8, HUGE]),
    "batch_size": st.sampled_from([1, 2, 3, 5, 8, 0, -1, 10**6]),
    "crop_size": st.sampled_from([178, 100, 1, 0, 300]),
    "attributes": NAMES,
    "held_out": st.lists(NAMES, max_size=2),
    "dataset": st.sampled_from(["horse2zebra", "zebra2horse", "", "../horse2zebra"]),
    "num_workers": st.sampled_from([0, -1]),
    "caption_length": st.sampled_from([80, 201, 300, 79, 0]),
    "prompts": st.sampled_from([None, "a man", [], ["", "a"]]),
    "n_critic": st.sampled_from([1, 2, 0, -1, HUGE]),
    "latent_dim": st.one_of(INTEGERS, st.just(HUGE)),
    "pool_size": st.one_of(INTEGERS, st.just(HUGE)),
}
NOT_DRAWN = {
    "self",
    "spec",
    "kwargs",
    "root",
    "cache_folder",
    "synthetic",
    "synthetic_count",
    "download",
    "folder_a",
    "folder_b",
}
TRAINER = [
    "precision=bf16-mixed", "precision=16-mixed", "precision=64-true", "precision=bf16-true",
    "accumulate_grad_batches=2", "gradient_clip_val=1", "deterministic=true", "devices=0", "accelerator=cuda",
    "limit_val_batches=0", "max_epochs=0", "overfit_batches=1", "max_steps=1", "num_nodes=0",
]  # fmt: skip


def values(kind: Any) -> st.SearchStrategy:
    """Values of a type as it stands in a signature."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is bool:
        return st.booleans()
    if kind in (int, PositiveInt, NonNegativeInt):
        return INTEGERS
    if kind in (float, BelowOne, ClosedUnitInterval, NonNegativeFloat, PositiveFloat):
        return FLOATS
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is Callable:  # a network, by its class or by something else
        return st.sampled_from([*(network.__name__ for network in inner[-1].__subclasses__()), "Nothing", "8"])
    if origin in (Union, types.UnionType):
        return st.one_of(*(values(one) for one in inner))
    if kind is type(None):
        return st.none()
    if origin is list:
        return st.lists(values(inner[0]), max_size=3)
    if origin is tuple:
        return st.tuples(*(values(one) for one in inner))
    if origin is dict:
        return st.dictionaries(*(values(one) for one in inner), max_size=3)
    raise TypeError(f"no values are known for the type {kind}")


def settings_of(kind: type) -> dict[str, st.SearchStrategy]:
    """For each setting of a class what can be drawn; where it takes `**kwargs`, those of its parents too."""
    found: dict[str, st.SearchStrategy] = {}
    for parent in kind.__mro__:
        if "__init__" not in vars(parent) or not parent.__module__.startswith("lit_gen"):
            continue
        hints = get_type_hints(parent.__init__)
        names = inspect.signature(parent.__init__).parameters
        for name in names.keys() - NOT_DRAWN - found.keys():
            found[name] = BY_NAME[name] if name in BY_NAME else values(hints[name])
        if "kwargs" not in names:
            break
    return dict(sorted(found.items()))


def drawn(draw: Any, kind: type, most: int) -> dict[str, Any]:
    possible = settings_of(kind)
    names = draw(st.lists(st.sampled_from(list(possible)), unique=True, max_size=most))
    return {name: draw(possible[name], label=name) for name in names}


def words(part: str, settings: dict[str, Any]) -> list[str]:
    """Settings as they are typed."""
    typed = {name: value if isinstance(value, str) else json.dumps(value) for name, value in settings.items()}
    for python, yaml in (("NaN", ".nan"), ("Infinity", ".inf")):
        typed = {name: value.replace(python, yaml) for name, value in typed.items()}
    return [f"--{part}.{name}={value}" for name, value in typed.items()]


SMALL_DATA = {
    "MNIST": {"val_size": 100, "batch_size": 8, "image_size": 16},
    "MNISTCaptions": {"val_size": 100, "batch_size": 8, "image_size": 16},
    "CelebA": {"batch_size": 8, "image_size": 16},
    "CelebACaptions": {"batch_size": 8, "image_size": 16},
    "Horse2Zebra": {"batch_size": 2, "image_size": 16},
    "ImageFolder": {"batch_size": 2, "image_size": 16},
    "ImageTable": {"batch_size": 2, "image_size": 16},
    "UnpairedFolders": {"batch_size": 2, "image_size": 16},
}


@st.composite
def commands(draw: Any) -> list[str]:
    """The words of a `fit` with a random model, random data and a few settings of each."""
    model = getattr(lit_gen.models, draw(st.sampled_from(lit_gen.models.__all__)))
    kinds = [getattr(lit_gen.data, name) for name in lit_gen.data.__all__]
    needs = set(fields_read(model))
    fitting = [kind for kind in kinds if any(needs <= set(one._fields) for one in batch_types(kind))]
    data = draw(st.sampled_from(fitting if draw(st.integers(0, 9)) else kinds))
    chosen = SMALL.get(model.__name__, {}) | drawn(draw, model, 3)
    given = SMALL_DATA[data.__name__] | drawn(draw, data, 2)
    trainer = draw(st.lists(st.sampled_from(TRAINER), max_size=1)) if not draw(st.integers(0, 3)) else []
    return [
        f"--model={model.__name__}", *words("model", chosen), f"--data={data.__name__}", *words("data", given),
        *(f"--trainer.{setting}" for setting in trainer),
    ]  # fmt: skip


class Batches(lightning.Callback):
    """Notes how many batches were trained, and how many there should have been."""

    ends: list[tuple[int, int]] = []

    def on_train_start(self, trainer, model):
        self.count = 0

    def on_train_batch_end(self, trainer, model, *_):
        self.count += 1

    def on_train_end(self, trainer, model):
        self.ends.append((self.count, trainer.num_training_batches))


class Hung(BaseException):
    """A command took longer than it may."""


def run(command: list[str]) -> str | None:
    """Runs a command; the line that it ended with, or None after two batches.

    Raises:
        AssertionError: it ended in another way.
        Exception: what would have been a traceback.
    """

    def too_long(*_):
        raise Hung(f"{SECONDS} s: {' '.join(command)}")

    quiet = ["--trainer.fast_dev_run=2", "--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    if not any("accelerator" in word for word in command):
        quiet.append("--trainer.accelerator=cpu")
    before, errors = signal.signal(signal.SIGALRM, too_long), io.StringIO()
    signal.alarm(SECONDS)
    Batches.ends.clear()
    try:
        with redirect_stderr(errors):
            main(["fit", *command, *quiet, "--trainer.callbacks+=tests.test_fuzz.Batches"])
    except SystemExit as end:
        lines = [line for line in errors.getvalue().splitlines() if line.startswith("error: ")]
        assert end.code == 2 and len(lines) == 1, f"exit code {end.code}, {lines}"
        assert "Traceback" not in errors.getvalue()
        return lines[0]
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    [(done, there)] = Batches.ends
    assert 1 <= done <= there <= 2  # ProGAN makes several steps of a batch, and two steps are the end
    return None


@pytest.fixture(scope="session")
def roots(mnist_root, celeba_root, horse2zebra_root, tmp_path_factory) -> dict[str, str]:
    """Where each kind of data lies."""
    own = tmp_path_factory.mktemp("own pictures")
    for number in range(9):
        mode = ("RGB", "L", "RGBA")[number % 3]
        Image.new(mode, (20 + number, 30)).save(own / f"größe {number}.png")
    table = Path(shutil.copytree(own, tmp_path_factory.mktemp("table") / "in"))
    rows = [
        f"größe {number}.png,{number % 3},yes,{'no' if number % 2 else 'Yes'},sentence {number}" for number in range(9)
    ]
    (table / "metadata.csv").write_text("\n".join(["file_name,label,red,Young,caption", *rows]))
    return {
        "MNIST": mnist_root, "MNISTCaptions": mnist_root, "CelebA": celeba_root, "CelebACaptions": celeba_root,
        "Horse2Zebra": horse2zebra_root, "ImageFolder": own, "ImageTable": table,
    }  # fmt: skip


def complete(command: list[str], roots: dict[str, str]) -> list[str]:
    """With the place of the data, which is not drawn: no download is tried."""
    [kind] = [word.removeprefix("--data=") for word in command if word.startswith("--data=")]
    if kind == "UnpairedFolders":
        return [*command, f"--data.folder_a={roots['ImageFolder']}", f"--data.folder_b={roots['ImageTable']}"]
    offline = [] if kind in ("ImageFolder", "ImageTable") else ["--data.download=false"]
    return [*command, f"--data.root={roots[kind]}", *offline]


USUAL = {
    "deadline": None,  # `run` has one that ends what hangs
    "database": None,
    "suppress_health_check": list(hypothesis.HealthCheck),
}


@hypothesis.settings(max_examples=12, derandomize=True, **USUAL)
@hypothesis.given(command=commands())
def test_a_few_commands_train_or_end_in_one_line(command, roots):
    run(complete(command, roots))


@pytest.mark.slow
@hypothesis.settings(max_examples=500, **USUAL)
@hypothesis.given(command=commands())
def test_many_commands_train_or_end_in_one_line(command, roots):
    run(complete(command, roots))
