"""A small classifier of attributes or domains, trained on a dataset's own labels, for metrics of generated images.

Each metric is quoted with the classifier's accuracy on real images, which is the metric's ceiling.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from lit_gen.data.batches import BatchReader, UnpairedImages
from lit_gen.data.cache import HINT
from lit_gen.data.contract import DataModule
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.layers.residual import normed
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import as_model_input, from_first

VERSION = 1  # part of every key: raise it when the network or its training changes, so that old files are not read
LARGEST = 64  # largest side in pixels
LEARNT_IMAGES = 20_000  # largest number of training images; of two domains, as many of each
LEARNING_RATE = 4e-3  # the highest of a one-cycle schedule (Smith & Topin, arXiv:1708.07120)
SEED = 0
WIDTH = 24  # channels of the first convolution, which double with each


class Classifier(nn.Module):
    """A classifier of four convolutions with batch norm, pooling to 4x4, and one logit per answer.

    Images larger than 64 pixels are first reduced to 64. If `exclusive`, exactly one answer is right (a class);
    otherwise each may be right (attributes).
    """

    def __init__(self, image_channels: int, answers: int, exclusive: bool) -> None:
        super().__init__()
        self.exclusive = exclusive
        layers: list[nn.Module] = []
        before = image_channels
        for index in range(4):
            width = WIDTH * 2**index
            layers += normed(nn.Conv2d(before, width, 3, stride=2 if index else 1, padding=1), nn.ReLU())
            before = width
        self.network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3))
        self.answer = nn.Linear(before * 16, answers)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, answers) of images (B, C, H, W) in [-1, 1]."""
        if image.shape[-1] > LARGEST:
            image = functional.adaptive_avg_pool2d(image, LARGEST)
        # On a CPU, channels_last reduces the training time to two thirds.
        return self.answer(self.network(image.float().contiguous(memory_format=torch.channels_last)))

    def loss(self, image: Tensor, target: Tensor) -> Tensor:
        """Return the cross-entropy in nats, on images shifted by up to two pixels, as generated ones may be.

        Images are (B, C, H, W) in [-1, 1]; targets are class numbers (B,) if `exclusive`, else (B, answers) in {0, 1}.
        """
        top, left = torch.randint(5, (2,)).tolist()
        padded = functional.pad(image, (2, 2, 2, 2), mode="replicate")
        logits = self(padded[..., top : top + image.shape[-2], left : left + image.shape[-1]])
        if self.exclusive:
            return functional.cross_entropy(logits, target)
        return functional.binary_cross_entropy_with_logits(logits, target)

    @torch.no_grad()
    def decide(self, image: Tensor) -> Tensor:
        """Return class numbers (B,) if `exclusive`, else answers (B, answers) in {0, 1}, of any number of images."""
        self.eval()
        logits = torch.cat([self(piece) for piece in image.split(500)])
        return logits.argmax(1) if self.exclusive else (logits > 0).float()


@dataclass
class Question:
    """A question for a classifier, with the labelled images that it learns from."""

    names: Sequence[str]  # of the answers
    exclusive: bool  # whether exactly one answer is right
    dataset: BatchReader  # the labelled images, with fixed rows
    read: Callable[[Any], tuple[Tensor, Tensor]]  # from a batch of floats to images and targets of `Classifier.loss`
    epochs: int  # passes over the images
    batch_size: int = 64  # rows of `dataset` per step


def attribute_question(data: DataModule, names: Sequence[str], epochs: int = 4) -> Question:
    """Return the question which of the attributes an image shows."""
    return Question(names, False, data.attribute_examples(names), lambda batch: (batch.image, batch.attributes), epochs)


def domain_question(data: DataModule, epochs: int = 12) -> Question:
    """Return the question whether an image is of domain A (0) or of domain B (1)."""

    def read(batch: UnpairedImages) -> tuple[Tensor, Tensor]:
        images = torch.cat(batch)
        return images, torch.arange(2, device=images.device).repeat_interleave(len(batch.image_a))

    return Question(["domain A", "domain B"], True, data.domain_examples(), read, epochs, batch_size=32)


def classifier_for(question: Question, data: DataModule, device: torch.device) -> Classifier:
    """Return the classifier of a question, trained on first use and then kept in the data's cache.

    Rank 0 trains it for all processes. The training does not change torch's random state.
    """
    weights = from_first(partial(_kept_or_trained, question, data, device))
    classifier = _new_classifier(question, data)
    classifier.load_state_dict(weights)
    return classifier.to(device).eval()


def quoted(accuracy: float) -> str:
    """Return the name of a classifier beside a metric, with its accuracy on real test images."""
    return f"judge ({100 * accuracy:.1f} % on real)"


def _kept_or_trained(question: Question, data: DataModule, device: torch.device) -> dict[str, Tensor]:
    path = data.cache_folder / f"judge-{_key(question, data)}.pt"
    if path.is_file():
        try:
            weights = torch.load(path, map_location="cpu", weights_only=True)
            _new_classifier(question, data).load_state_dict(weights)
            return weights
        except Exception:  # torch raises RuntimeError, EOFError, UnpicklingError and others
            rank_zero_info(f"{path} is damaged; its classifier is trained anew")
    names = ", ".join(question.names) if len(question.names) <= 6 else f"{len(question.names)} attributes"
    rank_zero_info(f"training a classifier of {names}, once for all tests on these data")
    weights = {name: value.cpu() for name, value in train_classifier(question, data, device).state_dict().items()}
    try:
        with complete_file(path, HINT) as partial_file:
            torch.save(weights, partial_file)
    except (OSError, UserError) as error:
        rank_zero_info(f"the classifier cannot be kept for the next test: {error}")
    return weights


def _key(question: Question, data: DataModule) -> str:
    """Return a hash of everything that a classifier depends on: settings, images and their labels."""
    settings = VERSION, SEED, list(question.names), question.epochs, question.batch_size, data.spec["image_shape"]
    digest = hashlib.sha1(repr(settings).encode())
    for number in range(_learnt(question)):
        for field in question.dataset[number]:
            digest.update(field.numpy().tobytes())
    return digest.hexdigest()[:12]


def _learnt(question: Question) -> int:
    return min(len(question.dataset), LEARNT_IMAGES)


def _new_classifier(question: Question, data: DataModule) -> Classifier:
    with own_noise(SEED, torch.device("cpu")):
        return Classifier(data.spec["image_shape"][0], len(question.names), question.exclusive)


def train_classifier(question: Question, data: DataModule, device: torch.device | str = "cpu") -> Classifier:
    """Train a classifier, which takes about a minute on two cores for 10,000 images of 32 pixels."""
    device = torch.device(device)
    count = _learnt(question)
    batches = max(1, count // question.batch_size)  # the last, smaller batch is left out: batch norm needs more images
    # Lightning's test runs in inference mode, whose tensors can never have a graph.
    with own_noise(SEED, device), torch.inference_mode(False):
        classifier = _new_classifier(question, data).to(device)
        optimizer = torch.optim.AdamW(classifier.parameters(), LEARNING_RATE, weight_decay=1e-2)
        steps = question.epochs * batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        with torch.enable_grad(), tqdm(total=steps, desc="classifier", unit="batch", mininterval=0.5) as bar:
            for _ in range(question.epochs):
                for rows in torch.randperm(count).split(question.batch_size)[:batches]:
                    batch = as_model_input(data, question.dataset, rows.tolist(), device)
                    loss = classifier.loss(*question.read(batch))
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                    schedule.step()
                    bar.update()
    return classifier.eval()
