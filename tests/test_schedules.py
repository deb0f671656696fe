"""Schedules against tables by hand."""

import pytest

from lit_gen.schedules import constant_then_linear, divided, growth, linear, log_spaced, tripling_stages


@pytest.mark.parametrize(
    "images, stage, alpha",
    [
        (0, 0, 1.0),  # 4x4 has no fade
        (99, 0, 1.0),
        (100, 1, 0.0),  # 8x8 fades in over 50
        (101, 1, 0.02),
        (125, 1, 0.5),
        (149, 1, 0.98),
        (150, 1, 1.0),  # and is stable for 100
        (249, 1, 1.0),
        (250, 2, 0.0),
        (275, 2, 0.5),
        (300, 2, 1.0),
        (399, 2, 1.0),
        (400, 2, 1.0),  # the last stage goes on: no alpha from 0 again
        (425, 2, 1.0),
        (10**9, 2, 1.0),
    ],
)
def test_growth_by_hand(images, stage, alpha):
    assert growth(images, fade_images=50, stable_images=100, last_stage=2) == (stage, pytest.approx(alpha))


@pytest.mark.parametrize(
    "kimg, stage, alpha",
    [(599, 0, 1), (600, 1, 0), (900, 1, 0.5), (1200, 1, 1), (1800, 2, 0), (5400, 5, 0), (5700, 5, 0.5), (6000, 5, 1)],
)
def test_growth_of_the_paper(kimg, stage, alpha):
    """With 600k images a phase, 128 pixels begin after 4x4 and four pairs of fade and stability: 600k (1 + 2 * 4)."""
    assert growth(kimg * 1000, 600_000, 600_000, last_stage=5) == (stage, alpha)


@pytest.mark.parametrize("fade, stable, last", [(7, 5, 3), (1, 1, 4), (3, 0, 2), (0, 4, 3), (16, 16, 0)])
def test_growth_rises_and_stays(fade, stable, last):
    points = [growth(images, fade, stable, last) for images in range(200)]
    assert all(0 <= stage <= last and 0 <= alpha <= 1 for stage, alpha in points)
    progress = [point.stage - 1 + point.alpha for point in points]
    assert progress == sorted(progress), "a fade begins where the stage before it stood, and nothing falls back"
    assert max(after - before for before, after in zip(progress, progress[1:], strict=False)) <= 1 / max(fade, 1) + 1e-9
    assert points[-1] == (last, 1)
    assert {stage for stage, _ in points} == set(range(0 if stable else 1, last + 1))


def test_no_fade_goes_in_steps():
    assert [growth(images, 0, 2, 2) for images in range(7)] == [(0, 1)] * 2 + [(1, 1)] * 2 + [(2, 1)] * 3


def test_no_stable_phase_fades_at_once():
    points = [growth(images, 2, 0, 2) for images in range(6)]
    assert points == [(1, 0), (1, 0.5), (2, 0), (2, 0.5), (2, 1), (2, 1)]


def test_nothing_but_stages_without_length_is_the_last_stage():
    assert growth(0, 0, 0, 3) == (3, 1)


def test_one_stage_never_fades():
    assert {growth(images, 5, 5, 0) for images in range(50)} == {(0, 1.0)}


@pytest.mark.parametrize("progress, factor", [(0, 1), (0.5, 1), (0.75, 0.5), (0.9, 0.2), (1, 0)])
def test_constant_then_linear(progress, factor):
    assert constant_then_linear(progress) == pytest.approx(factor)


def test_log_spaced_has_equal_factors():
    values = [log_spaced(step / 4, 1e-2, 1e-4) for step in range(5)]
    assert values[0] == pytest.approx(1e-2) and values[-1] == pytest.approx(1e-4)
    assert [later / earlier for earlier, later in zip(values, values[1:], strict=False)] == pytest.approx(
        [10**-0.5] * 4
    )


@pytest.mark.parametrize(
    ("epoch", "momentum"), [(1, 0.5), (84, 0.5 + 0.2 / 3), (167, 0.5 + 0.4 / 3), (250, 0.7), (900, 0.7)]
)
def test_momentum_of_the_authors_of_gan(epoch, momentum):
    """From 0.5 in the first of epochs of 50,000 images to 0.7 in the 250th."""
    assert linear((epoch - 1) * 50_000, 0.5, 0.7, 12_450_000) == pytest.approx(momentum, abs=1e-12)


@pytest.mark.parametrize(("batches", "factor"), [(0, 1.0), (1, 1 / 1.000004), (173_287, 0.5), (2_878_237, 1e-5)])
def test_rates_of_the_authors_of_gan(batches, factor):
    """They halve in 173,287 batches; and after any number of batches there is no overflow."""
    assert divided(100 * batches, 1.000004, 100) == pytest.approx(factor, rel=2e-6)
    assert divided(10**15, 1.000004, 100) == 0


@pytest.mark.parametrize(
    ("epoch", "rate"),  # each stage's first and last epoch, as the authors' code rounds its rate
    [
        (0, 1e-3), (1, 7.2e-4), (3, 7.2e-4), (4, 5.2e-4), (12, 5.2e-4), (13, 3.7e-4), (39, 3.7e-4), (40, 2.7e-4),
        (120, 2.7e-4), (121, 1.9e-4), (363, 1.9e-4), (364, 1.4e-4), (1092, 1.4e-4), (1093, 1e-4), (3279, 1e-4),
        (9999, 1e-4),
    ],
)  # fmt: skip
def test_stages_of_burda_et_al(epoch, rate):
    """Stages of 1, 3, 9, 27, 81, 243, 729 and 2,187 epochs of 59,600 images: 3,280 in all."""
    for images in (epoch * 59_600, (epoch + 1) * 59_600 - 20):
        assert 1e-3 * tripling_stages(images, 59_600) == pytest.approx(rate, rel=0.03)
