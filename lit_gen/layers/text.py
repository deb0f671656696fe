"""Encoders of sentences and images to comparable vectors, and their loss.

Reed, Akata, Schiele, Lee, "Learning Deep Representations of Fine-grained Visual Descriptions", CVPR 2016,
arXiv:1605.05395.

Departures from the paper:
    - Adam, not RMSprop, PyTorch's initial weights in place of U(-0.08, 0.08), and a small convolutional image encoder
      in place of GoogLeNet's features.
    - There are no classes: an image does not fit a sentence when it contradicts an attribute that the sentence states,
      or, in data without attributes, when its own sentence is another.
      All pairs of a batch that do not fit enter the objective, not one pair for each other class.
    - A wrong image is one of those that contradict the fewest attributes: the others are told apart without reading all
      that the sentence says. A sentence that all images of the batch fit has no wrong image.
    - The mean over the GRU's states leaves out steps that begin in the padding; there, all sentences are equally long.
    - A step begins at every ninth character up to the sentence's end: 201 characters make 23 steps, and 18 there.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from lit_gen.data.alphabet import ALPHABET
from lit_gen.layers.residual import normed

KERNEL, POOL = 4, 3
STRIDE = POOL**2  # characters from one step of the GRU to the next
REACH = KERNEL + (POOL - 1) + POOL * (KERNEL - 1 + POOL - 1) + STRIDE * (KERNEL - 1)  # characters read by a step
MARGIN = 1.0  # by which the score of a matching pair is to exceed others: the 0-1 loss


class TextEncoder(nn.Module):
    """The char-CNN-RNN (arXiv:1605.05395, section 4): an encoder of character numbers (B, L) to (B, E).

    One-hot characters go through three temporal convolutions with ReLU, the first two with max pooling by 3, then
    through a GRU whose states are averaged over time, and a linear layer. The average is over steps that begin within
    the sentence, so that the vector does not depend on the length of the padding.

    Args:
        channels: widths of the three convolutions; the last is also the GRU's.
        embedding_dim: length E of a vector.
    """

    def __init__(self, channels: tuple[int, int, int], embedding_dim: int) -> None:
        super().__init__()
        first, second, last = channels
        self.convolutions = nn.Sequential(
            nn.Conv1d(len(ALPHABET), first, KERNEL),
            nn.ReLU(),
            nn.MaxPool1d(POOL),
            nn.Conv1d(first, second, KERNEL),
            nn.ReLU(),
            nn.MaxPool1d(POOL),
            nn.Conv1d(second, last, KERNEL),
            nn.ReLU(),
        )
        self.recurrent = nn.GRU(last, last, batch_first=True)
        self.project = nn.Linear(last, embedding_dim)

    def forward(self, caption: Tensor) -> Tensor:
        characters = functional.pad(one_hot(caption), (0, REACH - 1))  # so that a step begins at every 9th character
        states, _ = self.recurrent(self.convolutions(characters).transpose(1, 2))  # (B, T, D)
        positions = torch.arange(1, caption.shape[1] + 1, device=caption.device)
        length = ((caption > 0) * positions).amax(1).clamp(min=1)
        beginnings = torch.arange(states.shape[1], device=caption.device) * STRIDE
        counts = (beginnings < length[:, None]).unsqueeze(2).to(states.dtype)  # (B, T, 1)
        return self.project((states * counts).sum(1) / counts.sum(1))


def one_hot(caption: Tensor) -> Tensor:
    """Return character numbers (B, L) as float (B, 70, L); number 0, padding or unknown, becomes a column of zeros."""
    numbers = torch.arange(1, len(ALPHABET) + 1, device=caption.device)
    return (caption[:, None, :] == numbers[:, None]).float()


class ImageEncoder(nn.Sequential):
    """An encoder of images (B, C, S, S), by 4x4 convolutions of stride 2, to vectors (B, E) comparable with sentences'.

    Args:
        channels: widths at 4x4, 8x8, ... up to half of S.
        image_channels: number of channels C of an image.
        embedding_dim: length E of a vector.
    """

    def __init__(self, channels: list[int], image_channels: int, embedding_dim: int) -> None:
        before, layers = image_channels, []
        for width in reversed(channels):
            layers += normed(nn.Conv2d(before, width, 4, 2, 1, bias=False), nn.ReLU())
            before = width
        super().__init__(*layers, nn.Flatten(), nn.Linear(before * 16, embedding_dim))


def embedding_scores(images: Tensor, texts: Tensor) -> Tensor:
    """Return the inner products (B, B) of text vector i (row) and image vector j (column), both (B, E), in float32."""
    with torch.autocast(images.device.type, enabled=False):
        return texts.float() @ images.float().T


def joint_embedding_loss(scores: Tensor, mismatch: Tensor) -> Tensor:
    """Return the structured joint embedding loss, symmetric in images and texts (arXiv:1605.05395, section 3).

    It is the sum of two hinge losses, for the right image of a sentence and the right sentence of an image, averaged
    over the pairs that `mismatch` (B, B), bool, marks. The diagonal of the scores (B, B) holds the matching pairs.
    """
    own = scores.diagonal()
    by_text = functional.relu(MARGIN + scores - own[:, None])
    by_image = functional.relu(MARGIN + scores - own[None, :])
    return mean_where(by_text + by_image, mismatch)


def mean_where(values: Tensor, chosen: Tensor) -> Tensor:
    """Return the mean of the `values` that are `chosen`, in float32; 0 if none is."""
    return (values.float() * chosen).sum() / chosen.sum().clamp(min=1)
