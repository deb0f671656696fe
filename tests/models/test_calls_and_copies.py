"""Models outside of a Trainer: what they give when they are called, and their copies."""

import copy
import inspect
import io
import pickle
import re

import pytest
import torch
from torch import Tensor

from lit_gen.errors import UserError
from lit_gen.tasks.reconstruction import Reconstruction
from lit_gen.tasks.sampling import Sampling
from tests.models import tiny

COUNT, SIZE, Z = 3, 16, "latent_dim"
# What each is called with, by its docstring: shapes, where a name is an attribute of the model.
NOISE = {"latent": (COUNT, Z)}
CALLS = {
    "CycleGAN": {"images": (COUNT, 1, SIZE, SIZE)},
    "PuzzleGAN": {"patches": (COUNT, 3, 1, SIZE, SIZE), "latent": (COUNT, Z)},
    "StarGAN": {"image": (COUNT, 1, SIZE, SIZE), "target": (COUNT, 5)},
    "Text2Image": {"latent": (COUNT, Z), "embedding": (COUNT, tiny.SMALL["Text2Image"]["embedding_dim"])},
}
AVERAGED = [
    (model, average) for model in tiny.ALL for average in (False, True) if average <= tiny.takes(model, "ema_decay")
]
COPIES = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "torch.save": lambda model: _saved(model),
}


def _saved(model):
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def build(model_class, average):
    return tiny.build(model_class, **({"ema_decay": 0.5} if average else {}))


def fit(model, tmp_path, batches=3):
    trainer = tiny.trainer(tmp_path)
    trainer.fit(model, datamodule=tiny.NoiseData(batches, kind=tiny.kind_for(type(model))))
    return trainer


def pictures(model):
    """What the model makes of fixed data and noise."""
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        training, model = model.training, model.eval()
        made = model.predict_step(tiny.batch(4, kind=tiny.kind_for(type(model))), 0)
        model.train(training)
    return made


def called(model):
    shapes = CALLS.get(type(model).__name__, NOISE)
    values = {
        name: torch.randn(*(getattr(model, side) if isinstance(side, str) else side for side in shape)).clamp(-1, 1)
        for name, shape in shapes.items()
    }
    return values, model(*values.values())


@pytest.mark.parametrize(("model_class", "average"), AVERAGED)
def test_a_call_gives_what_its_docstring_says(model_class, average):
    model = build(model_class, average).eval()
    called_with = re.search(r"Called with.*?(?=\n\n|$)", inspect.getdoc(model_class), re.DOTALL)
    for docstring in ([called_with[0]] if called_with else []) + [model.forward.__doc__]:
        assert all(shape in docstring for shape in ("(B, ", "images" if model_class.__name__ != "CycleGAN" else "tr"))
    names = list(inspect.signature(model.forward).parameters)
    values, result = called(model)
    assert names[: len(values)] == list(values)
    image, *others = result if isinstance(result, tuple) else (result,)
    assert image.shape == (COUNT, 1, SIZE, SIZE) and image.isfinite().all()
    if model_class.__name__ != "ProGAN":  # has no last nonlinearity
        assert image.abs().max() <= 1
    assert [mask.shape for mask in others] == ([(COUNT, 1, SIZE, SIZE)] if model_class.__name__ == "PuzzleGAN" else [])
    assert all(0 <= mask.min() and mask.max() <= 1 for mask in others)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_lightning_exports_what_a_call_gives(model_class, tmp_path):
    """`to_torchscript` and `to_onnx` send their example the way of a batch, which it is not, also after a training."""
    model = tiny.build(model_class)
    for trained in (False, True):
        if trained:
            fit(model, tmp_path)
        values, result = called(model.eval())
        script = model.to_torchscript(method="trace", example_inputs=tuple(values.values()), check_trace=False)
        torch.testing.assert_close(script(*values.values()), result)


@pytest.mark.parametrize("average", [False, True])
def test_calling_stargan_is_its_generator(average, tmp_path):
    """The averaged one where there is one, and what `translate` gives."""
    model = build(next(model for model in tiny.ALL if model.__name__ == "StarGAN"), average)
    fit(model, tmp_path, 6)
    image, target = tiny.images(4), torch.eye(5)[:4]
    model.eval()
    with torch.no_grad():
        network = model.average.module if average else model.generator
        assert torch.equal(model(image, target), network(image, target))
        assert torch.equal(model(image, target), model.translate(image, target))
        assert not average or not torch.equal(model(image, target), model.generator(image, target))
        assert not torch.equal(model(image, target), model(image, 1 - target))


@pytest.mark.parametrize(("model_class", "average"), AVERAGED)
def test_copies_are_whole_and_their_own(model_class, average, tmp_path):
    """Before a training, after it, and of what was loaded from a checkpoint."""
    model = build(model_class, average)
    for duplicate in COPIES.values():
        assert torch.equal(pictures(duplicate(model)), pictures(model))
    trainer = fit(model, tmp_path)
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    loaded = model_class.load_from_checkpoint(tmp_path / "it.ckpt", weights_only=True)
    for one in (model, loaded):  # one with its trainer, one that never had any
        assert (one._trainer is not None) == (one is model)
        state, before = one.state_dict(), pictures(one)
        assert not average or "average.n_averaged" in state and any(key.startswith("average.module.") for key in state)
        for duplicate in COPIES.values():
            again = duplicate(one)
            assert again._trainer is None and torch.equal(pictures(again), before)
            tiny.assert_same(dict(state), dict(again.state_dict()))
    kept = copy.deepcopy(dict(state))
    fit(again, tmp_path, 2)  # goes on alone
    tiny.assert_same(kept, dict(one.state_dict()))
    assert list(tiny.moved(tiny.parameters(one), again))
    if average:
        assert again.average.n_averaged > one.average.n_averaged


@pytest.mark.parametrize("way", COPIES)
def test_the_average_of_a_copy_is_the_moving_average(way):
    """decay a + (1 - decay) x, whatever was averaged before."""
    model = tiny.build(next(model for model in tiny.ALL if model.__name__ == "DCGAN"), ema_decay=0.75)
    model.average.update_parameters(model.generator)
    model = COPIES[way](model)
    before = [value.clone() for value in model.average.module.parameters()]
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter.add_(1)
    model.average.update_parameters(model.generator)
    for value, was, new in zip(model.average.module.parameters(), before, model.generator.parameters(), strict=True):
        torch.testing.assert_close(value, 0.75 * was + 0.25 * new)


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_models_can_be_used_without_a_trainer(model_class, tmp_path):
    """Fresh, and loaded from a checkpoint."""
    fresh = tiny.build(model_class)
    trainer = fit(tiny.build(model_class), tmp_path)
    trainer.save_checkpoint(tmp_path / "it.ckpt")
    batch = tiny.batch(4, kind=tiny.kind_for(model_class))
    for model in (fresh, model_class.load_from_checkpoint(tmp_path / "it.ckpt", weights_only=True)):
        shallow = copy.copy(model)
        for one in (model, shallow):
            made = [one.predict_step(batch, 0), *tiny.grids(one, batch, 8).values()]
            made += [one.generate(2)] if isinstance(one.task, Sampling | Reconstruction) else []
            assert all(isinstance(images, Tensor) and images.isfinite().all() for images in made)


@pytest.mark.parametrize("model_class", [model for model in tiny.ALL if hasattr(model.task.verbs, "generate")])
def test_a_number_of_images_below_0(model_class):
    model = tiny.build(model_class)
    with pytest.raises(UserError, match="generate takes a number of images from 0 on, not -1"):
        model.generate(-1)
    assert len(model.generate(0)) == 0
