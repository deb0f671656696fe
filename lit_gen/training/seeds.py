"""Seeds as functions of a place in the training, so that what is drawn there depends on nothing that happened before.

A run that is resumed then draws what the unbroken one would have drawn, whatever callbacks draw in between.
"""

from hashlib import blake2b

import torch


def seed_of(*place: int | str) -> int:
    """Return a seed in [0, 2^63) that any change of `place` changes, on every machine the same.

    Args:
        place: numbers and words, such as the run's seed, a purpose, the rank and the images seen.
    """
    digest = blake2b("/".join(map(str, place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def seed_generators(device: torch.device, *place: int | str) -> None:
    """Seed torch's generators of the CPU and of `device` by `seed_of(*place)`, without waiting for a GPU.

    Args:
        device: where a model draws.
        place: as for `seed_of`.
    """
    seed = seed_of(*place)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every GPU, and takes 90 times as long
    if device.type == "cuda":
        torch.cuda.default_generators[device.index or 0].manual_seed(seed)
