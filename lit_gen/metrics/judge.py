"""A small classifier, trained on a dataset's own labels, that judges made pictures; always quoted with its accuracy."""

import torch
from lightning import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset


class Judge(LightningModule):
    """Convolutions with batch norm, a mean over what is left of the picture, and one logit an answer.

    Args:
        image_shape: C, H, W; 16 pixels or more.
        answers: number of classes, or of yes-or-no questions.
        exclusive: exactly one answer is right (a class), in place of each by itself (attributes).
        channels: width of the first convolution; it doubles with each of four.
        learning_rate: the highest of a cycle over the training (Smith & Topin, arXiv:1708.07120).
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        answers: int,
        exclusive: bool,
        channels: int = 24,
        learning_rate: float = 4e-3,
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.exclusive, self.learning_rate = exclusive, learning_rate
        layers: list[nn.Module] = []
        before = image_shape[0]
        for index in range(4):
            width = channels * 2**index
            layers += [
                nn.Conv2d(before, width, 3, stride=2 if index else 1, padding=1),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            before = width
        self.network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Dropout(0.3))
        self.answer = nn.Linear(before * 16, answers)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, answers) for images (B, C, H, W) in [-1, 1]."""
        return self.answer(self.network(image))

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        """Cross-entropy in nats, on pictures moved by up to two pixels: made ones are not as exactly placed."""
        image, target = batch
        top, left = torch.randint(5, (2,)).tolist()
        padded = functional.pad(image, (2, 2, 2, 2), mode="replicate")
        logits = self(padded[..., top : top + image.shape[-2], left : left + image.shape[-1]])
        if self.exclusive:
            return functional.cross_entropy(logits, target)
        return functional.binary_cross_entropy_with_logits(logits, target)

    def configure_optimizers(self) -> dict:
        optimizer = torch.optim.AdamW(self.parameters(), self.learning_rate, weight_decay=1e-2)
        steps = self.trainer.estimated_stepping_batches
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, self.learning_rate, total_steps=steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    @torch.no_grad()
    def decide(self, image: Tensor) -> Tensor:
        """(B,) class numbers if `exclusive`, else (B, answers) in {0, 1}; for any number of images, in pieces."""
        self.eval()
        logits = torch.cat([self(piece) for piece in image.split(500)])
        return logits.argmax(1) if self.exclusive else (logits > 0).float()


def train_judge(image: Tensor, target: Tensor, epochs: int = 4) -> Judge:
    """A judge that has learnt `target`; on two cores a minute or so for 10,000 images of 32 pixels.

    Args:
        image: (N, C, H, W) in [-1, 1].
        target: (N,) int64 class numbers, or (N, A) in {0, 1}, float.
        epochs: passes over the images.
    """
    exclusive = target.ndim == 1
    answers = int(target.max()) + 1 if exclusive else target.shape[1]
    judge = Judge(tuple(image.shape[1:]), answers, exclusive)
    loader = DataLoader(TensorDataset(image, target), batch_size=64, shuffle=True, drop_last=len(image) > 64)
    trainer = Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer.fit(judge, loader)
    return judge.eval()
