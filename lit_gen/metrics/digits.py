"""A digit classifier whose features FID, KID, precision and recall are computed on; its weights come with the project.

They classify 99.73 % of MNIST's 10,000 test digits correctly. The command `python -m lit_gen.metrics.digits --root data
--precision bf16-mixed` trained them, in 12 epochs of the 60,000 training images, and would overwrite them. Metrics are
named after a hash of the weights (`digits-1a2b3c4d`), because values of different weights are not comparable.
"""

import argparse
import hashlib
import math
import sys
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.batches import LabelledImages
from lit_gen.data.mnist import MNIST
from lit_gen.errors import UserError
from lit_gen.files.atomic import complete_file
from lit_gen.layers.residual import normed
from lit_gen.metrics.processes import as_model_input

LEARNING_RATE = 4e-3  # the highest of a one-cycle schedule (Smith & Topin, arXiv:1708.07120)
WEIGHTS = Path(__file__).with_name("digits.safetensors")
SIDE = 28
NUM_FEATURES = 128


class DigitClassifier(LightningModule):
    """A classifier of convolutions with batch norm, features averaged over the image, and one logit per digit.

    It has 170,194 parameters.
    """

    def __init__(self) -> None:
        super().__init__()
        widths = [
            (1, 24, 3, 1),
            (24, 48, 3, 2),
            (48, 48, 3, 1),
            (48, 96, 3, 2),
            (96, 96, 3, 1),
            (96, NUM_FEATURES, 1, 1),
        ]
        layers: list[nn.Module] = []
        for before, width, kernel, stride in widths:
            layers += normed(nn.Conv2d(before, width, kernel, stride, padding=kernel // 2, bias=False), nn.ReLU())
        self.network = nn.Sequential(*layers)
        self.answer = nn.Linear(NUM_FEATURES, 10)

    def features(self, image: Tensor) -> Tensor:
        """Return features (B, 128) of the middle 28 pixels of images (B, 1, S, S) in [-1, 1], S from 28 to 32."""
        spare = (image.shape[-1] - SIDE) // 2
        return self.network(image[..., spare : spare + SIDE, spare : spare + SIDE]).mean((2, 3))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 10) of images (B, 1, S, S) in [-1, 1]."""
        return self.answer(self.features(image))

    def training_step(self, batch: LabelledImages, batch_idx: int) -> Tensor:
        """Return the cross-entropy in nats, on images that are slightly shifted, rotated and scaled."""
        return functional.cross_entropy(self(jitter(batch.image)), batch.label)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(self.parameters(), LEARNING_RATE, weight_decay=1e-2)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def jitter(image: Tensor, pixels: float = 2, degrees: float = 10, scale: float = 0.1) -> Tensor:
    """Shift, rotate and scale each image (B, C, S, S) at random, up to these limits; new pixels are black (-1)."""

    def draw(limit: float) -> Tensor:
        return (torch.rand(len(image), device=image.device) * 2 - 1) * limit

    angle, zoom, move = draw(math.radians(degrees)), 1 + draw(scale), 2 * pixels / image.shape[-1]
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    rows = [cosine, -sine, draw(move), sine, cosine, draw(move)]
    grid = functional.affine_grid(torch.stack(rows, 1).view(-1, 2, 3), list(image.shape), align_corners=False)
    return functional.grid_sample(image + 1, grid, align_corners=False) - 1


@torch.no_grad()
def accuracy(classifier: DigitClassifier, data: MNIST) -> float:
    """Return the fraction of the test digits that the classifier names correctly."""
    classifier.eval()
    dataset = data.datasets["test"]
    right = 0
    for start in range(0, len(dataset), 500):
        rows = range(start, min(start + 500, len(dataset)))
        batch = as_model_input(data, dataset, rows, classifier.device)
        right += int((classifier(batch.image).argmax(1) == batch.label).sum())
    return right / len(dataset)


def load_digits(path: Path = WEIGHTS) -> tuple[DigitClassifier, str]:
    """Return the trained classifier in evaluation mode, and its name in metrics: `digits-` and the file's hash.

    Raises:
        UserError: the file is missing, or does not hold this network's weights.
    """
    hint = f"Get {path.name} from the project again, or train it: python -m lit_gen.metrics.digits --root <folder>."
    try:
        content = path.read_bytes()
        classifier = DigitClassifier()
        classifier.load_state_dict(safetensors.torch.load(content))
    except OSError as error:
        raise UserError(f"cannot read the digit classifier {path} ({error.strerror}). {hint}") from error
    except (safetensors.SafetensorError, RuntimeError) as error:
        raise UserError(f"{path} does not hold the digit classifier. {hint}") from error
    return classifier.eval().requires_grad_(False), f"digits-{hashlib.sha256(content).hexdigest()[:8]}"


def main() -> None:
    """Train the digit classifier and write its weights to a file, as the command line says."""
    parser = argparse.ArgumentParser(description="Train the digit classifier on MNIST's training images.")
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder that holds the datasets")
    parser.add_argument("--target", type=Path, default=WEIGHTS, help="the file to write")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--precision", default="32-true", help="bf16-mixed is faster on processors with bfloat16")
    options = parser.parse_args()
    seed_everything(0, verbose=False)
    data = MNIST(options.root, val_size=0)
    classifier = DigitClassifier().to(memory_format=torch.channels_last)  # faster
    trainer = Trainer(
        max_epochs=options.epochs,
        precision=options.precision,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=sys.stderr.isatty(),
    )
    trainer.fit(classifier, datamodule=data)
    data.setup("test")
    with complete_file(options.target) as partial:
        safetensors.torch.save_file({k: v.contiguous() for k, v in classifier.state_dict().items()}, partial)
    print(f"{accuracy(classifier, data):.2%} of the test digits are classified correctly; written to {options.target}")


if __name__ == "__main__":
    main()
