"""CycleGAN's history of fakes."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class ImagePool(nn.Module):
    """A history of fakes for the critic (Zhu et al. 2017, section 4; Shrivastava et al., arXiv:1612.07828).

    Until it is full, each image is stored and returned. From then on each, with probability 1/2, takes the place of a
    random stored one, which is returned in its stead. The images are no buffer: DDP would overwrite those of every
    process with the first one's. They are in the state dict and follow the module to its device all the same; where
    several processes resume, all go on from the first one's. A pool of `size` 0 returns every image as it is.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size, self.count = size, 0
        self.stored = torch.empty(0)  # (size + 1, C, H, W) once there is an image; the last is what no one reads

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "ImagePool":
        """Follow the module to its device, as buffers do: `to`, `cuda` and `cpu` call this."""
        self.stored = self.stored.to(fn(self.stored).device)
        return super()._apply(fn, recurse)

    def get_extra_state(self) -> Tensor:
        return self.stored[: self.count].clone()

    def set_extra_state(self, state: Tensor) -> None:
        images = state[: self.size]
        self.count = len(images)
        self.stored = images.new_zeros(self.size + 1, *images.shape[1:], device=self.stored.device)
        self.stored[: self.count] = images

    def forward(self, images: Tensor) -> Tensor:
        """Return as many images as are given, (B, C, H, W), new or from the history, without a graph."""
        images = images.detach()
        if self.size == 0:
            return images
        if not self.count:
            self.stored = images.new_zeros(self.size + 1, *images.shape[1:], dtype=torch.float32)
        self.stored = self.stored.to(images.device)
        exchange = torch.rand(len(images), device=images.device) < 0.5
        places = torch.randint(self.size, (len(images),), device=images.device)
        # No value of a tensor decides what the host does: it would wait for the GPU, and a CUDA graph would keep to it.
        places = torch.where(exchange, places, self.size)
        shown = []
        for row, image in enumerate(images):
            if self.count < self.size:
                self.stored[self.count] = image
                self.count += 1
                shown.append(image)
            else:
                place = places[row : row + 1]
                old = self.stored.index_select(0, place)[0].to(image.dtype)
                shown.append(torch.where(exchange[row], old, image))
                self.stored.index_copy_(0, place, image[None].float())
        return torch.stack(shown)
