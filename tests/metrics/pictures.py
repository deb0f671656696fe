"""Labelled pictures that are easy to judge, fakes of judges, and evaluators in two processes at once."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, multiprocessing, nn

from lit_gen.data.base import ImageData
from lit_gen.data.batches import AttributedImages, DataSpec
from lit_gen.data.datasets import ArrayDataset

NAMES = ["Left", "Red"]


def tint(image: Tensor, attributes: Tensor) -> Tensor:
    """Images (B, 3, H, W) with a bright left half (question 0) and a red tint (question 1) where the answer is yes."""
    image = image.clone()
    image[..., : image.shape[-1] // 2] += attributes[:, 0, None, None, None] * 0.4
    image[:, 0] += attributes[:, 1, None, None] * 0.4
    return image.clamp(-1, 1)


def noise(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images without answers (B, 3, 16, 16), and answers (B, 2) by chance."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(count, 3, 16, 16, generator=generator) - 0.8
    return image, torch.randint(2, (count, 2), generator=generator).float()


class Tinted(ImageData):
    """Noise that is tinted, 512 for training and 60 for tests; its cache is in `root`."""

    batch_type = AttributedImages

    def __init__(self, root: Path, shuffled_labels: bool = False) -> None:
        super().__init__(root, image_size=16, batch_size=25)
        self.shuffled_labels = shuffled_labels

    @property
    def spec(self) -> DataSpec:
        return DataSpec(image_shape=[3, 16, 16], num_classes=0, attributes=NAMES)

    def prepare_data(self) -> None:
        pass

    def setup(self, stage: str) -> None:
        for seed, (split, count) in enumerate({"train": 512, "test": 60}.items()):
            image, answers = noise(count, seed)
            pixels = ((tint(image, answers) + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
            labels = answers[torch.randperm(count)] if self.shuffled_labels else answers
            self.datasets[split] = ArrayDataset(AttributedImages, (pixels, labels.numpy()))

    def batches(self, split: str = "test", size: int = 25) -> list[AttributedImages]:
        """The split in pieces, the last one smaller."""
        rows = np.arange(len(self.datasets[split]))
        pieces = [self.datasets[split].__getitems__(rows[at : at + size]) for at in range(0, len(rows), size)]
        return [self.to_floats(piece, flip=False) for piece in pieces]


class PixelJudge(nn.Module):
    """Reads the answers from the first pixels of the first row; `mark` writes them there."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self.answers = answers

    def decide(self, image: Tensor) -> Tensor:
        return (image[:, 0, 0, : self.answers] > 0).float()


def mark(image: Tensor, answers: Tensor) -> Tensor:
    image = image.clone()
    image[:, 0, 0, : answers.shape[1]] = answers * 2 - 1
    return image


def in_two_processes(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What `function(rank, *arguments)` gives in each of two processes that know of each other."""
    with tempfile.TemporaryDirectory() as folder:
        # One server imports torch for all; it is the one of `lit_gen.files.parallel`, where that has been used.
        multiprocessing.set_forkserver_preload(["lit_gen.data", "lit_gen.models"])
        multiprocessing.start_processes(_run, (function, Path(folder), arguments), nprocs=2, start_method="forkserver")
        return [torch.load(Path(folder) / f"{rank}.pt", weights_only=False) for rank in range(2)]


def _run(rank: int, function: Callable[..., Any], folder: Path, arguments: tuple) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save(function(rank, *arguments), folder / f"{rank}.pt")
    # The group ends with the process: destroying it while the other is ending hangs one time in three with torch 2.6.
