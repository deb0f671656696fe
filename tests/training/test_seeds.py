"""Seeds as functions of a place in the training."""

import subprocess
import sys

import torch

from lit_gen.training.seeds import seed_generators, seed_generators_of, seed_of


def test_another_place_has_another_seed():
    places = [(seed, word, rank, images) for seed in (0, 1) for word in ("step", "test") for rank in range(5)
              for images in range(500)]  # fmt: skip
    seeds = {seed_of(*place) for place in places}
    assert len(seeds) == len(places) == 10_000
    assert all(0 <= seed < 2**63 for seed in seeds) and max(seeds) > 2**62
    assert seed_of(1, 23) != seed_of(12, 3)


def test_every_process_finds_the_same():
    code = "from lit_gen.training.seeds import seed_of; print(seed_of(5, 'step', 0, 128))"
    found = {subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
             for _ in range(2)}  # fmt: skip
    assert found == {f"{seed_of(5, 'step', 0, 128)}\n"}


def test_what_was_drawn_before_makes_no_difference():
    draws = []
    for before in (0, 7):
        torch.rand(before)
        seed_generators(torch.device("cpu"), 3, "step", 0, 64)
        draws.append(torch.rand(1_000))
    assert torch.equal(*draws)
    seed_generators(torch.device("cpu"), 3, "step", 0, 72)
    assert torch.corrcoef(torch.stack([draws[0], torch.rand(1_000)]))[0, 1].abs() < 0.15  # 4.7 standard deviations


def test_a_mac_s_gpu_is_seeded_too(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.mps, "manual_seed", seeds.append)
    seed_generators_of(torch.device("mps"), 7)
    seed_generators_of(torch.device("cpu"), 8)
    assert seeds == [7] and torch.default_generator.initial_seed() == 8
