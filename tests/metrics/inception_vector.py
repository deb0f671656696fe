"""Write the Inception features of known images, for a test: `python -m tests.metrics.inception_vector`.

Whoever has the weights (91 MB, downloaded on first use) writes the vector once and commits it. From then on a test
compares the installed torch-fidelity, torch and this project's way to the network with it, wherever the weights are.
"""

import json
from pathlib import Path

import torch
from torch import Tensor

from lit_gen.files.atomic import complete_file
from lit_gen.metrics.features import inception

TARGET = Path(__file__).with_name("inception_vector.json")


def known_images() -> dict[str, Tensor]:
    """Return one grey image (1, 1, 28, 28) and one of colours (1, 3, 128, 128), uint8, from integers alone."""
    found = {}
    for name, channels, side in (("grey", 1, 28), ("colour", 3, 128)):
        channel, row, column = torch.meshgrid(
            torch.arange(channels), torch.arange(side), torch.arange(side), indexing="ij"
        )
        found[name] = ((row * row + 3 * column * (channel + 1) + row * column) % 256).to(torch.uint8)[None]
    return found


def main() -> None:
    """Write the features, 2,048 numbers per image, with what computed them."""
    network = inception()
    vectors = {name: network(image)[0].tolist() for name, image in known_images().items()}
    with complete_file(TARGET) as partial:
        partial.write_text(json.dumps({"network": network.title, "torch": torch.__version__, "features": vectors}))
    print(f"written to {TARGET}")


if __name__ == "__main__":
    main()
