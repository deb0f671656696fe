"""Tiny datasets in the true formats, for all tests. Use them as they are: copy a tree before changing it."""

import logging
import os
from functools import partial
from pathlib import Path

import pytest
import torch

from lit_gen.errors import UserError
from lit_gen.files.parallel import map_indices
from lit_gen.metrics import features
from lit_gen.synthetic import digits
from lit_gen.synthetic.animals.write import write_horse2zebra
from lit_gen.synthetic.faces.write import write_celeba

# Lightning decides at its import whether its log goes to the root logger, where caplog sees it.
logging.getLogger("lightning.pytorch").propagate = True

os.environ["WANDB_MODE"] = "offline"  # here and not in a fixture, so that it holds for whatever is imported later
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_inception(monkeypatch) -> None:
    """Its weights are large: no test downloads them."""

    def refuse(remote, *_):
        raise UserError(f"cannot download {remote.urls[0]} (this is a test).")

    monkeypatch.setattr(features, "fetch", refuse)


@pytest.fixture(scope="session")
def mnist_root(tmp_path_factory) -> Path:
    """A root folder with MNIST/raw: 400 digits for training, 100 for tests. Give MNIST val_size=100."""
    root = tmp_path_factory.mktemp("mnist")
    (root / "MNIST" / "raw").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:  # so few are rendered sooner than processes start
        patch.setattr(digits, "map_indices", partial(map_indices, workers=1))
        digits.write_mnist(root / "MNIST" / "raw", 400, 100)
    return root


@pytest.fixture(scope="session")
def celeba_root(tmp_path_factory) -> Path:
    """A root folder with celeba/: 120 faces, of which 96 are for training, 12 for validation, 12 for tests."""
    root = tmp_path_factory.mktemp("celeba")
    (root / "celeba").mkdir()
    write_celeba(root / "celeba", 120)
    return root


@pytest.fixture(scope="session")
def horse2zebra_root(tmp_path_factory) -> Path:
    """A root folder with horse2zebra/: 12 pictures a domain for training, 4 for tests."""
    root = tmp_path_factory.mktemp("horse2zebra")
    (root / "horse2zebra").mkdir()
    write_horse2zebra(root / "horse2zebra", 12, 4)
    return root


@pytest.fixture
def roots(mnist_root, celeba_root, horse2zebra_root) -> dict[str, Path]:
    """The root folder of each dataset, by the name of its data module."""
    captions = {"MNISTCaptions": mnist_root, "CelebACaptions": celeba_root}
    return {"MNIST": mnist_root, "CelebA": celeba_root, "Horse2Zebra": horse2zebra_root} | captions


@pytest.fixture(scope="session")
def rendered(tmp_path_factory) -> Path:
    """A root folder for rendered data, which are then rendered once, by whichever process of the tests comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "rendered"
    folder.mkdir(exist_ok=True)
    return folder
