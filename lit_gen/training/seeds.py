"""Seeds as functions of a place in the training, so that random draws depend on nothing that happened before.

A resumed run therefore draws the same numbers as an unbroken one, whatever callbacks draw in between.
"""

from hashlib import blake2b

import torch


def seed_of(*place: int | str) -> int:
    """Return a seed in [0, 2^63) for a place, the same on every machine; another place gives another seed.

    A place is numbers and words, such as the run's seed, a purpose, the rank and the images seen.
    """
    digest = blake2b("/".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(device: torch.device, *place: int | str) -> None:
    """Seed torch's generators of the CPU and of `device` by `seed_of(*place)`, without waiting for a GPU."""
    seed_generators_of(device, seed_of(*place))


def seed_generators_of(device: torch.device, seed: int) -> None:
    """Seed torch's generators of the CPU and of `device`, and of no other GPU."""
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, and takes 90 times as long
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)
