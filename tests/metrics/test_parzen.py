import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from lit_gen.metrics import parzen
from lit_gen.metrics.parzen import SIGMAS, ParzenWindow, log_densities
from tests.metrics.pictures import in_two_processes


def mixture(centres, sigma):
    """The same density by torch's distributions."""
    kernels = Independent(Normal(centres, torch.full_like(centres, sigma)), 1)
    return MixtureSameFamily(Categorical(torch.ones(len(centres))), kernels)


def test_sigmas_are_the_protocol():
    assert len(SIGMAS) == 10 and SIGMAS[0] == pytest.approx(0.1) and SIGMAS[-1] == pytest.approx(1)
    steps = [after / before for before, after in zip(SIGMAS, SIGMAS[1:], strict=False)]
    assert steps == pytest.approx([10 ** (1 / 9)] * 9)


def test_one_centre_is_a_gaussian():
    point, centre = torch.tensor([[0.3, 0.9, 0.1]]).double(), torch.tensor([[0.1, 0.4, 0.1]]).double()
    squares = 0.2**2 + 0.5**2
    expected = [-squares / (2 * s * s) - 3 * math.log(s * math.sqrt(2 * math.pi)) for s in (0.1, 0.7)]
    assert log_densities(point, centre, [0.1, 0.7]).flatten().tolist() == pytest.approx(expected)


def test_many_centres_are_a_mixture(monkeypatch):
    monkeypatch.setattr(parzen, "AT_ONCE", 6)
    generator = torch.Generator().manual_seed(0)
    points, centres = (torch.rand(n, 20, generator=generator, dtype=torch.float64) for n in (15, 9))
    found = log_densities(points, centres, [0.1, 0.5])
    for row, sigma in zip(found, (0.1, 0.5), strict=True):
        torch.testing.assert_close(row, mixture(centres, sigma).log_prob(points))


class Drawer:
    """A model whose pictures are a grey level each; it counts them."""

    device = torch.device("cpu")

    def __init__(self):
        self.drawn = 0

    def generate(self, count):
        self.drawn += count
        return (torch.rand(count, 1, 1, 1) - 0.5).expand(count, 1, 28, 28) + 0.3 * torch.randn(count, 1, 28, 28)


def pictures(count, seed):
    return 0.3 * torch.randn(count, 1, 28, 28, generator=torch.Generator().manual_seed(seed))


def data():
    return SimpleNamespace(preview_batch=lambda count: (pictures(min(count, 30), 1),))


def evaluated(rank=0, processes=1):
    metric, model = ParzenWindow(60), Drawer()
    metric.prepare(model, data())
    for batch in pictures(17, 2).split(5 if processes == 1 else 3)[rank::processes]:  # ragged either way
        metric.update(model, (batch, None))
    return model.drawn, metric.compute()


def test_the_protocol():
    """Sigma from the held-out images, then the mean and its standard error over the test images, in [0, 1]."""
    drawn, figures = evaluated()
    assert drawn == 60 and {figure.samples for figure in figures.values()} == {60}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        centres = (Drawer().generate(60).flatten(1).double() + 1) / 2
    held_out, test = ((pictures(count, seed).flatten(1).double() + 1) / 2 for count, seed in ((30, 1), (17, 2)))
    scores = {sigma: mixture(centres, sigma).log_prob(held_out).mean().item() for sigma in SIGMAS}
    best = max(scores, key=scores.get)
    assert SIGMAS[0] < best < SIGMAS[-1]
    values = mixture(centres, best).log_prob(test)
    assert figures["parzen_sigma"].value == pytest.approx(best)
    assert figures["parzen_log_likelihood"].value == pytest.approx(values.mean().item(), rel=1e-9)
    assert figures["parzen_error"].value == pytest.approx(values.std(correction=0).item() / math.sqrt(17), rel=1e-6)


def test_drawing_leaves_the_noise_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = evaluated()
    assert torch.equal(torch.rand(3), expected)
    assert first == evaluated()  # and the same is drawn each time


@pytest.mark.slow
def test_two_processes_give_what_one_gives():
    (drawn, figures), (other_drawn, other_figures) = in_two_processes(evaluated, 2)
    _, alone = evaluated()
    assert (drawn, other_drawn) == (60, 0)
    assert figures == other_figures
    for name, figure in alone.items():
        assert figures[name].value == pytest.approx(figure.value, rel=1e-9) and figures[name].samples == figure.samples
