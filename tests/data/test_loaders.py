"""Several processes share the held-out rows so that what is measured is what one process measures."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import Trainer

from lit_gen.data import MNIST, CelebA, CelebACaptions, Horse2Zebra, ImageFolder, MNISTCaptions
from lit_gen.data.datasets import ArrayDataset
from lit_gen.errors import UserError
from lit_gen.models.base import GenerativeModule
from tests.data.test_base import Numbered, Numbers, pixels

FROM_ROOT = {MNIST: "mnist_root", MNISTCaptions: "mnist_root", Horse2Zebra: "horse2zebra_root"}


def batches(data, split: str, processes: int, process: int) -> list:
    """What one of several processes is given of a split."""
    data.trainer = SimpleNamespace(world_size=processes, global_rank=process, overfit_batches=0)
    return list(getattr(data, f"{split}_dataloader")())


@pytest.mark.parametrize(("processes", "workers"), [(2, 0), (3, 1)])
@pytest.mark.parametrize("data_class", [MNIST, CelebA, Horse2Zebra, ImageFolder, CelebACaptions, MNISTCaptions])
def test_all_data_are_shared(data_class, processes, workers, request):
    root = request.getfixturevalue(FROM_ROOT.get(data_class, "celeba_root"))
    settings = {"root": root, "batch_size": 3, "num_workers": workers}
    settings |= {"val_size": 47} if data_class in (MNIST, MNISTCaptions) else {}
    settings |= {} if data_class in (MNIST, MNISTCaptions) else {"image_size": 16}
    settings |= {"val_fraction": 0.5} if data_class in (Horse2Zebra, ImageFolder) else {}
    data = data_class(**settings)
    data.prepare_data()
    data.setup("fit")
    for split in ("val", "test"):
        alone = [torch.cat(field) for field in zip(*batches(data, split, 1, 0), strict=True)]
        assert len(alone[0]) == len(data.datasets[split]) > processes
        parts = [batches(data, split, processes, process) for process in range(processes)]
        in_turn = [batch for together in zip(*parts, strict=True) for batch in together]
        assert all(isinstance(batch, data.batch_type) for batch in in_turn)
        together = [torch.cat(field) for field in zip(*in_turn, strict=True)]
        assert all(torch.equal(*pair) for pair in zip(alone, together, strict=True))


def test_a_batch_larger_than_all_there_is(mnist_root):
    """However large: a training says what to do, and what is held out is one batch."""
    data = MNIST(root=mnist_root, val_size=47, batch_size=10**20)
    data.prepare_data()
    data.setup("fit")
    (batch,) = batches(data, "val", 1, 0)
    assert len(batch.image) == 47
    with pytest.raises(UserError, match="Set --data.batch_size lower"):
        data.train_dataloader()


def test_fewer_rows_than_processes():
    data = Numbers(batch_size=4)
    data.setup("fit")  # two rows
    with pytest.raises(UserError, match="^3 processes cannot share 2 val images") as caught:
        batches(data, "val", 3, 0)
    assert "\n" not in str(caught.value)
    data.datasets["val"] = ArrayDataset(Numbered, (pixels(12), np.arange(12)), np.arange(0))
    assert batches(data, "val", 3, 0) == []  # no validation at all


class Mean(GenerativeModule):
    """Logs the mean of the rows' numbers, and writes down which it was given."""

    def __init__(self, folder) -> None:
        super().__init__({"image_shape": [3, 4, 4], "num_classes": 0, "attributes": []})
        self.folder, self.layer = folder, torch.nn.BatchNorm1d(1)

    def generate(self, count, generator=None):
        raise NotImplementedError  # nobody asks for it here

    def training_step(self, batch, index):
        return self.layer(batch.number[:, None].float()).sum()

    def validation_step(self, batch, index, prefix="val"):
        self.layer(batch.number[:, None].float())  # its buffers come from the first process in each batch
        with (self.folder / f"{prefix}-{self.global_rank}").open("a") as file:
            print(*batch.number.tolist(), file=file)
        self.log(f"{prefix}/mean", batch.number.float().mean(), batch_size=float(len(batch.number)), sync_dist=True)

    def test_step(self, batch, index):
        self.validation_step(batch, index, "test")

    def predict_step(self, batch, index):
        with (self.folder / f"predict-{self.global_rank}").open("a") as file:
            print(*batch.number.tolist(), file=file)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class Ragged(Numbers):
    """Nine rows in batches of four at most: with two processes and Lightning's sampler, one row would come twice."""

    def setup(self, stage: str) -> None:
        arrays = pixels(9), np.arange(9) ** 2
        self.datasets = {split: ArrayDataset(Numbered, arrays) for split in ("train", "val", "test")}


def test_two_processes_measure_what_one_measures(tmp_path):
    trainer = Trainer(
        accelerator="cpu", devices=2, strategy="ddp_fork", max_epochs=1, num_sanity_val_steps=0, logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
        default_root_dir=str(tmp_path),
    )  # fmt: skip
    exact = sum(number**2 for number in range(9)) / 9
    for prefix, run in (("val", trainer.fit), ("test", trainer.test), ("predict", trainer.predict)):
        run(Mean(tmp_path), datamodule=Ragged(batch_size=4))
        lines = [(tmp_path / f"{prefix}-{rank}").read_text().splitlines() for rank in (0, 1)]
        seen = [int(number) for line in lines[0] + lines[1] for number in line.split()]
        assert sorted(seen) == [number**2 for number in range(9)]
        if prefix != "predict":
            assert len(lines[0]) == len(lines[1]) == 2
            assert trainer.callback_metrics[f"{prefix}/mean"].item() == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("split", ["train", "val", "test", "predict"])
def test_a_loader_before_the_setup_says_so(split, mnist_root):
    """That the files lack images was said, which are there."""
    with pytest.raises(UserError, match=r"MNIST has no images yet: call prepare_data\(\) and setup\(\) first\."):
        getattr(MNIST(mnist_root), f"{split}_dataloader")()
