"""In 16 bits every model trains on without a value that is not finite, and near where 32 bits take it."""

import warnings

import pytest
import torch
from lightning.pytorch.plugins.precision import MixedPrecision

from tests.models import tiny
from tests.models.test_contract import loss_terms

GPU = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")]
PLACES = [
    pytest.param("cpu", "bf16-mixed", id="bfloat16"),
    pytest.param("cpu", "16-mixed", id="float16"),  # from the command line Lightning gives this to GPUs only
    pytest.param("cuda", "bf16-mixed", marks=GPU, id="bfloat16 on a GPU"),
    pytest.param("cuda", "16-mixed", marks=GPU, id="float16 on a GPU"),
]
INITIALIZATIONS = {"Text2Image": 3}
"""How many are tried together: how far rounding takes one of Text2Image's differs several times over."""
STAYS_WHOLE = {"AAE": {"input_dropout": 0.0}, "GAN": {"input_dropout": 0.0, "hidden_dropout": 0.0}}


def fit(model, batches: int, device: str, precision: str = "", scale: float = 2.0**16):
    """Trains for so many batches, in epochs of at most 50, each with a validation; in float32 without a precision."""
    data = tiny.NoiseData(min(batches, 50), kind=tiny.kind_for(type(model)))
    scaler = torch.amp.GradScaler(device, scale) if precision == "16-mixed" else None
    plugins = [MixedPrecision(precision, device, scaler)] if precision else None
    trainer = tiny.trainer("", accelerator=device, max_epochs=-(-batches // 50), plugins=plugins)
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, datamodule=data)
    return trainer


@pytest.mark.parametrize("batches", [12, pytest.param(500, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("device", "precision"), PLACES)
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_everything_stays_finite(model_class, device, precision, batches):
    """Each term of each batch too, or the run would have ended by itself."""
    model = tiny.build(model_class)
    before = tiny.parameters(model)
    trainer = fit(model, batches, device, precision)
    assert trainer.fit_loop.epoch_loop.total_batch_idx + 1 == batches
    assert all(value.isfinite().all() for value in model.state_dict().values() if isinstance(value, torch.Tensor))
    assert all(value.isfinite() for value in trainer.callback_metrics.values())
    assert any(tiny.moved(before, model.cpu()))


@pytest.mark.parametrize(("device", "precision"), PLACES)
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_it_is_near_float32_after_a_few_batches(model_class, device, precision):
    """Terms within 5 %, and weights no more than thrice as far as rounding the first weights to 16 bits takes them."""
    half = torch.bfloat16 if precision == "bf16-mixed" else torch.float16

    def train(precision="", rounded=False, seed=0):
        torch.manual_seed(seed)
        settings = tiny.SMALL.get(model_class.__name__, {}) | STAYS_WHOLE.get(model_class.__name__, {})
        model = model_class(tiny.spec(), **settings)
        tiny.descend(model, 2e-5)
        if rounded:
            for parameter in model.parameters():
                parameter.data = parameter.to(half).float()
        before = tiny.parameters(model)
        # With the usual scale, float16 leaves out the first steps.
        terms = fit(model, 4, device, precision, scale=1.0).callback_metrics
        moves = [(value.cpu() - before[name]).flatten() for name, value in model.named_parameters()]
        return torch.cat(moves), {name: value.item() for name, value in terms.items() if name.startswith("train/")}

    moves = []
    for seed in range(INITIALIZATIONS.get(model_class.__name__, 1)):
        (exact, terms), (rounded, _), (mixed, mixed_terms) = (
            train(*how, seed=seed) for how in ((), ("", True), (precision,))
        )
        assert exact.norm() > 0 and not torch.equal(mixed, exact)
        assert mixed_terms == pytest.approx(terms, rel=0.05, abs=0.005)
        moves.append((exact, rounded, mixed))
    exact, rounded, mixed = (torch.cat(move) for move in zip(*moves, strict=True))
    assert (mixed - exact).norm() <= 3 * (rounded - exact).norm() + 0.02 * exact.norm()


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_every_term_is_in_float32(model_class):
    model = tiny.build(model_class)
    with torch.autocast("cpu", torch.bfloat16):
        types = {name: term.dtype for _, make_terms in loss_terms(model) for name, term in make_terms().items()}
    assert types and set(types.values()) == {torch.float32}, types
