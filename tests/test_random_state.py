import random

import numpy as np
import torch

from lit_gen.random_state import gather_random_states, get_random_state, set_random_state


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        np.random.rand(),
        np.random.randn(),
        torch.rand(3).tolist(),
        torch.randn(1).item(),
    )


def test_what_is_drawn_after_a_state_comes_again(tmp_path):
    draw()
    torch.save(gather_random_states(), tmp_path / "state")
    first = draw()
    assert draw() != first
    (state,) = torch.load(tmp_path / "state", weights_only=True)
    set_random_state(state)
    assert draw() == first


def test_reading_the_state_draws_nothing():
    state = get_random_state()
    first = draw()
    set_random_state(state)
    get_random_state()
    assert draw() == first
