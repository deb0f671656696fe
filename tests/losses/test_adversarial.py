"""Adversarial losses against closed forms."""

import math

import pytest
import torch
from torch.nn import functional

from lit_gen.losses.adversarial import (
    gradient_penalty,
    least_squares,
    minimax_discriminator,
    nonsaturating_generator,
    saturating_generator,
    wasserstein_discriminator,
    wasserstein_generator,
)


def logits(seed, *shape):
    return 3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_minimax_losses_are_cross_entropies_of_probabilities():
    real, fake = logits(0, 5, 1), logits(1, 7, 1)
    terms = minimax_discriminator(real, fake)
    ones, zeros = torch.ones_like, torch.zeros_like
    expected = functional.binary_cross_entropy(real.sigmoid(), ones(real))
    torch.testing.assert_close(terms["d_real"], expected, rtol=1e-10, atol=0)
    expected = functional.binary_cross_entropy(fake.sigmoid(), zeros(fake))
    torch.testing.assert_close(terms["d_fake"], expected, rtol=1e-10, atol=0)
    expected = functional.binary_cross_entropy(fake.sigmoid(), ones(fake))
    torch.testing.assert_close(nonsaturating_generator(fake)["g_adversarial"], expected, rtol=1e-10, atol=0)
    expected = torch.log(1 - fake.sigmoid()).mean()
    torch.testing.assert_close(saturating_generator(fake)["g_adversarial"], expected, rtol=1e-10, atol=0)


def test_a_discriminator_that_cannot_tell_pays_log_2_for_each_kind():
    terms = minimax_discriminator(torch.zeros(3, 1), torch.zeros(5, 1))
    assert terms.keys() == {"d_real", "d_fake"}
    assert [term.item() for term in terms.values()] == pytest.approx([math.log(2)] * 2)


def test_the_best_discriminator_is_the_density_ratio():
    """With p(real) = 0.3 and p(fake) = 0.7 at one point, D must say 0.3 there (Goodfellow et al., proposition 1)."""
    grid = torch.linspace(0.001, 0.999, 999, dtype=torch.float64)
    losses = [
        0.3 * t["d_real"] + 0.7 * t["d_fake"] for p in grid for t in [minimax_discriminator(p.logit(), p.logit())]
    ]
    assert grid[torch.stack(losses).argmin()].item() == pytest.approx(0.3, abs=2e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_extreme_logits_neither_overflow_nor_lose_the_gradient(dtype):
    high, low = (torch.tensor([[value]], dtype=dtype, requires_grad=True) for value in (1e4, -1e4))
    wrong = minimax_discriminator(low, high)
    right = minimax_discriminator(high, low)
    assert [term.item() for term in wrong.values()] == pytest.approx([1e4] * 2, rel=5e-3)  # bfloat16 has 8 bits
    assert [term.item() for term in right.values()] == [0, 0]
    assert nonsaturating_generator(low)["g_adversarial"].item() == pytest.approx(1e4, rel=5e-3)
    assert saturating_generator(high)["g_adversarial"].item() == pytest.approx(-1e4, rel=5e-3)
    sum(wrong.values()).backward()
    assert (low.grad.item(), high.grad.item()) == (-1, 1)


def test_both_generator_losses_push_logits_up_and_only_the_saturating_one_vanishes():
    """d/ds of softplus(-s) is -sigmoid(-s), and of -softplus(s) is -sigmoid(s)."""
    for loss, slope in ((nonsaturating_generator, -1.0), (saturating_generator, -math.exp(-20))):
        caught = torch.tensor([-20.0], dtype=torch.float64, requires_grad=True)  # D is sure that it is a fake
        loss(caught)["g_adversarial"].backward()
        assert caught.grad.item() == pytest.approx(slope, rel=1e-6)


def test_minimax_gradients_have_the_right_sign():
    real, fake = torch.zeros(1, requires_grad=True), torch.zeros(1, requires_grad=True)
    sum(minimax_discriminator(real, fake).values()).backward()
    assert (real.grad.item(), fake.grad.item()) == (-0.5, 0.5)


def test_losses_average_over_batch_and_patches():
    patches = logits(2, 4, 1, 3, 3)
    for loss in (
        nonsaturating_generator,
        saturating_generator,
        wasserstein_generator,
        lambda fake: minimax_discriminator(fake, -fake),
        lambda fake: wasserstein_discriminator(fake, fake**2),
    ):
        for name, term in loss(patches).items():
            each = torch.stack([loss(one)[name] for one in patches.flatten()])
            assert term.shape == ()
            torch.testing.assert_close(term, each.mean())


def test_wasserstein_pair():
    real, fake = torch.tensor([[1.0], [5.0]]), torch.tensor([[-2.0], [4.0], [1.0]])
    assert wasserstein_discriminator(real, fake) == {"d_real": -3, "d_fake": 1}
    assert wasserstein_generator(fake) == {"g_adversarial": -1}


def images(count=6, size=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 2, size, size, generator=generator), torch.randn(
        count, 2, size, size, generator=generator
    )


@pytest.mark.parametrize("norm", [0.5, 1.0, 3.0])
def test_penalty_of_a_linear_critic(norm):
    direction = torch.ones(2, 4, 4) * norm / math.sqrt(32)
    penalty = gradient_penalty(lambda x: (x * direction).sum((1, 2, 3)) + 7, *images(), weight=10)
    assert penalty.keys() == {"d_penalty"}
    assert penalty["d_penalty"].item() == pytest.approx(10 * (norm - 1) ** 2, abs=1e-5)


def test_default_weight_is_the_papers():
    assert gradient_penalty(lambda x: 3 * x[:, 0, 0, 0], *images())["d_penalty"].item() == pytest.approx(40)


def test_penalty_of_a_quadratic_critic():
    """D(x) = |x|^2 / 2 has the gradient x: with reals and fakes both at distance r from 0, it is weight (r - 1)^2."""
    real = images()[0]
    norms = real.flatten(1).norm(dim=1)
    penalty = gradient_penalty(lambda x: 0.5 * x.square().sum((1, 2, 3)), real, real, weight=2)["d_penalty"]
    torch.testing.assert_close(penalty, 2 * ((norms - 1) ** 2).mean())


def test_penalty_of_a_critic_with_patches_is_of_the_gradient_of_their_sum():
    """Four patches that each score a pixel of their own 3 times: the sum's gradient is (3, 3, 3, 3), of length 6."""
    penalty = gradient_penalty(lambda x: 3 * x[:, :1, :2, :2], *images(), weight=1)["d_penalty"]
    assert penalty.item() == pytest.approx(25)


def test_penalty_does_not_mix_images():
    """The mean is over penalties and not over norms: lengths 0 and 2 have a mean of 1, but both are 1 off."""
    slopes = torch.tensor([0.0, 2.0])
    penalty = gradient_penalty(lambda x: slopes * x[:, 0, 0, 0], *images(2), weight=1)["d_penalty"]
    assert penalty.item() == pytest.approx(1, abs=1e-4)


def test_penalty_points_lie_between_reals_and_fakes():
    torch.manual_seed(0)
    count, seen = 4000, []

    def critic(x):
        seen.append(x.detach())
        return x.sum((1, 2, 3))

    real, fake = torch.full((count, 1, 2, 2), -1.0), torch.full((count, 1, 2, 2), 3.0)
    gradient_penalty(critic, real, fake)
    (points,) = seen
    assert (points == points[:, :, :1, :1]).all(), "one mix an image, not one a pixel"
    mix = (points[:, 0, 0, 0] + 1) / 4
    assert mix.min() >= 0 and mix.max() <= 1
    assert mix.mean().item() == pytest.approx(1 / 2, abs=0.02)  # uniform: four standard errors
    assert mix.var().item() == pytest.approx(1 / 12, abs=0.005)


def test_penalty_reaches_the_critic_and_not_the_images():
    critic = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(32, 1, bias=False))
    real, fake = (x.requires_grad_() for x in images())
    gradient_penalty(critic, real, fake, weight=1)["d_penalty"].backward()
    weight = critic[1].weight.detach()
    expected = 2 * (weight.norm() - 1) * weight / weight.norm()  # of (|w| - 1)^2
    torch.testing.assert_close(critic[1].weight.grad, expected)
    assert real.grad is None and fake.grad is None


def test_penalty_of_a_flat_critic_has_a_finite_gradient():
    scale = torch.zeros((), requires_grad=True)
    penalty = gradient_penalty(lambda x: scale * x.sum((1, 2, 3)), *images(), weight=1)["d_penalty"]
    penalty.backward()
    assert penalty.item() == pytest.approx(1, abs=1e-5) and torch.isfinite(scale.grad)


def test_penalty_is_float32_under_autocast():
    critic = torch.nn.Sequential(torch.nn.Conv2d(2, 1, 3), torch.nn.Flatten())
    seen = []
    critic.register_forward_hook(lambda module, args, output: seen.append((args[0].dtype, output.dtype)))
    real, fake = images()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.nn.functional.conv2d(real, critic[0].weight).dtype == torch.bfloat16
        penalty = gradient_penalty(critic, real.bfloat16(), fake, weight=1)["d_penalty"]
    assert seen == [(torch.float32, torch.float32)] and penalty.dtype == torch.float32


def test_penalty_works_where_gradients_are_off():
    with torch.no_grad():
        assert gradient_penalty(lambda x: 2 * x[:, 0, 0, 0], *images(), weight=1)["d_penalty"].item() == pytest.approx(
            1
        )


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_least_squares_by_hand(kind):
    scores = torch.tensor([[[0.0, 1.0]], [[2.0, 3.0]]], dtype=kind)
    for target, expected in ((1, (1 + 0 + 1 + 4) / 4), (0, (0 + 1 + 4 + 9) / 4)):
        loss = least_squares(scores, target)
        assert loss.item() == expected and loss.dtype is torch.float32
