"""What evaluators look at: images as a model gets them, and noise from fixed seeds."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lit_gen.data.batches import Images
from lit_gen.data.datasets import to_tensor
from lit_gen.training.seeds import seed_generators_of

ENCODED_AT_ONCE = 500  # images


def as_images(arrays: Any, data: Any, device: torch.device) -> Tensor:
    """Return images, each (H, W, C) uint8, as (N, C, H, W) in [-1, 1]."""
    return data.to_floats(Images(to_tensor(np.stack(arrays)).to(device)), flip=False).image


@contextmanager
def own_noise(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's generators within the block, and restore their states after it."""
    of_mac = torch.mps.get_rng_state() if device.type == "mps" else None  # which fork_rng cannot keep
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        seed_generators_of(device, seed)
        try:
            yield
        finally:
            if of_mac is not None:
                torch.mps.set_rng_state(of_mac)
