import pytest
import torch

from lit_gen.metrics.frechet import FrechetDistance, gaussian


def crossed(scales: list[float], shift: float) -> torch.Tensor:
    """Points along the axes: mean `shift` in all, and a diagonal covariance that is known."""
    axes = torch.diag(torch.tensor(scales, dtype=torch.float64))
    return torch.cat([axes, -axes]) + shift


def fid(made, real):
    return FrechetDistance(real).to(gaussian(made))


def test_a_gaussian_is_mean_and_unbiased_covariance():
    points = torch.randn(70, 4, generator=torch.Generator().manual_seed(0))
    found = gaussian(points)
    assert torch.allclose(found.mean, points.double().mean(0)) and torch.allclose(
        found.covariance, points.double().T.cov()
    )
    rows = torch.tensor([3, 5, 7, 60])
    assert torch.allclose(gaussian(points, rows).covariance, points[rows].double().T.cov())


def test_distance_in_closed_form():
    """|difference of means|^2 + sum of (difference of standard deviations)^2 for diagonal covariances."""
    real, made = crossed([1, 2, 3, 4], 0), crossed([2, 2, 5, 1], 0.5)
    unit = (2 / 7) ** 0.5  # standard deviation of a coordinate, of 8 points
    assert fid(made, real) == pytest.approx(4 * 0.5**2 + unit**2 * (1 + 0 + 4 + 9), rel=1e-6)
    assert fid(real + 3, real) == pytest.approx(4 * 9, rel=1e-6)
    assert fid(real, real) == pytest.approx(0, abs=1e-6)


def test_distance_where_covariances_do_not_commute():
    """By the eigenvalues of the product of both, as Heusel et al. have it; also for fewer points than dimensions."""
    generator = torch.Generator().manual_seed(0)
    for count in (40, 4):
        mix = torch.randn(6, 6, generator=generator).double()
        made, real = torch.randn(count, 6, generator=generator).double() @ mix, torch.randn(50, 6, generator=generator)
        a, b = made.T.cov(), real.double().T.cov()
        between = torch.linalg.eigvals(a @ b).real.clamp(min=0).sqrt().sum()
        means = (made.mean(0) - real.double().mean(0)).square().sum()
        assert fid(made, real) == pytest.approx(float(means + a.trace() + b.trace() - 2 * between), rel=1e-6)


def test_the_extrapolated_distance_has_no_bias_of_few_generated_images():
    """The true distance of two Gaussians is known. At N it is above by ten times as much as the extrapolated one."""
    features, count = 32, 1_500
    deviation = torch.linspace(0.5, 2, features).double()
    true = float(features * 0.1**2 + (0.2 * deviation).square().sum())
    real = torch.randn(4_000, features, generator=torch.Generator().manual_seed(0)).double()
    real = real - real.mean(0)
    real = real @ torch.linalg.inv(torch.linalg.cholesky(real.T.cov())).T * deviation  # this very covariance
    distance, errors = FrechetDistance(real), []
    for seed in range(1, 9):
        made = torch.randn(count, features, generator=torch.Generator().manual_seed(seed)).double()
        made = made * 1.2 * deviation + 0.1
        errors.append((distance.to(gaussian(made)) - true, distance.extrapolated(made) - true))
        assert distance.extrapolated(made) == distance.extrapolated(made)
    at_count, extrapolated = torch.tensor(errors).mean(0).tolist()
    assert at_count > 0.15 and abs(extrapolated) < 0.25 * at_count
