"""Key local patches of images: found, cut out and enlarged, for a whole batch at once on its device.

Lee et al. (arXiv:1703.10730) take the best three EdgeBoxes proposals after non-maximum suppression. Here, candidate
boxes lie on a grid and are ranked by their edges, in the spirit of EdgeBoxes (Zitnick & Dollar, ECCV 2014). An edge
inside a box raises its score; an edge that crosses its border lowers it. So eyes and mouths come before the outline of
the hair, which leaves any box on two sides.
"""

import math
from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.ops import box_convert, box_iou

SMALLEST_SIDE, LARGEST_SIDE = 0.25, 0.40
MAX_IOU = 0.5


class KeyPatches(NamedTuple):
    """The key patches of a batch of images."""

    patches: Tensor  # (B, N, C, H, W), each enlarged to the size of the images
    mask: Tensor  # (B, 1, H, W) in {0, 1}, the union of the boxes
    boxes: Tensor  # (B, N, 4) x, y, width and height in whole pixels, int64, the best first


@torch.no_grad()
def key_patches(images: Tensor, count: int = 3) -> KeyPatches:
    """Return N = `count` key patches of each image (B, C, H, W) in [-1, 1], whatever the rest of the batch.

    H and W are at least 16, and N small enough for the boxes to fit beside each other.
    """
    height, width = images.shape[-2:]
    boxes = key_boxes(images, count)
    return KeyPatches(cut(images, boxes), union(boxes, height, width), boxes)


def key_boxes(images: Tensor, count: int = 3) -> Tensor:
    """Return the boxes with the best scores, any two with an intersection over union below one half.

    They are (B, N, 4) int64: x, y, width, height, the best first, for images (B, C, H, W) in [-1, 1].
    """
    candidates = candidate_boxes(*images.shape[-2:], images.device)
    corners = box_convert(candidates.float(), "xywh", "xyxy")
    scores = box_scores(edge_energy(images), candidates)
    best = []
    for _ in range(count):
        best.append(scores.argmax(1))
        scores = scores.masked_fill(box_iou(corners[best[-1]], corners) >= MAX_IOU, -torch.inf)
    return candidates[torch.stack(best, 1)]


@lru_cache(maxsize=8)
def candidate_boxes(height: int, width: int, device: torch.device) -> Tensor:
    """Return boxes (M, 4), int64, of three widths and heights, 25 to 40 % of the image, on a grid of 1/32 of the image.

    No box touches the border of the image, beyond which edges that leave the box cannot be seen.
    """

    def intervals(length: int) -> Tensor:
        """Return starts and sides (I, 2), int64, computed on the device: a list would have to be copied there."""
        smallest, largest = math.ceil(SMALLEST_SIDE * length), math.floor(LARGEST_SIDE * length)
        step = max(1, length // 32)
        starts = {
            side: torch.arange(1, length - side, step, device=device)
            for side in sorted({smallest, (smallest + largest) // 2, largest})
        }
        return torch.cat([torch.stack([start, torch.full_like(start, side)], 1) for side, start in starts.items()])

    rows, columns = intervals(height), intervals(width)
    rows, columns = rows.repeat_interleave(len(columns), 0), columns.repeat(len(rows), 1)
    return torch.stack([columns[:, 0], rows[:, 0], columns[:, 1], rows[:, 1]], 1)


def edge_energy(images: Tensor) -> Tensor:
    """Return the differences between neighbouring pixels of images (B, C, H, W) in [-1, 1], summed over C: (B, H, W).

    They are int64, in grey levels of 8 bits. Integers add up to the same sum in any order, so that boxes depend neither
    on the batch nor on the device.
    """
    steps = functional.pad((images.float() * 127.5).round(), (1, 1, 1, 1), mode="replicate")
    across = (steps[..., 1:-1, 2:] - steps[..., 1:-1, :-2]).abs()
    down = (steps[..., 2:, 1:-1] - steps[..., :-2, 1:-1]).abs()
    return (across + down).sum(1).long()


def box_scores(energy: Tensor, boxes: Tensor) -> Tensor:
    """Return the mean energy of each box's inner part, less that of the strongest of the four strips along its sides.

    Energy (B, H, W), int64, and boxes (M, 4), x, y, width and height in pixels, give scores (B, M).
    """
    width = energy.shape[-1]
    strip = max(1, width // 16)
    # (H + 1, W + 1, B): sums above and to the left. The batch comes last, because whole rows are fast to gather.
    integral = functional.pad(energy.cumsum(1).cumsum(2).int(), (1, 0, 1, 0)).permute(1, 2, 0).flatten(0, 1)
    x, y, w, h = boxes.unbind(1)
    lines_x, lines_y = ([start, start + strip, start + side - strip, start + side] for start, side in ((x, w), (y, h)))
    sums = [[integral[row * (width + 1) + column] for column in lines_x] for row in lines_y]  # (M, B) each

    def mean(top: int, bottom: int, left: int, right: int) -> Tensor:
        total = sums[bottom][right] - sums[top][right] - sums[bottom][left] + sums[top][left]
        return total / ((lines_y[bottom] - lines_y[top]) * (lines_x[right] - lines_x[left]))[:, None]

    strips = [mean(0, 1, 0, 3), mean(2, 3, 0, 3), mean(0, 3, 0, 1), mean(0, 3, 2, 3)]
    return (mean(1, 2, 1, 2) - torch.stack(strips).amax(0)).T


def cut(images: Tensor, boxes: Tensor) -> Tensor:
    """Cut out each box of each image and enlarge it to the size of the image, bilinear, with pixels of the box only.

    Images (B, C, H, W) and boxes (B, N, 4), x, y, width and height in whole pixels, give patches (B, N, C, H, W).
    """
    height, width = images.shape[-2:]
    x, y, w, h = boxes.to(images.dtype).unbind(-1)

    def positions(start: Tensor, side: Tensor, length: int) -> Tensor:
        """Return the place of each pixel of a patch in the image, (B, N, length): -1 the first pixel, 1 the last."""
        pixel = (torch.arange(length, device=images.device) + 0.5) * (side[..., None] / length) - 0.5
        pixel = start[..., None] + torch.minimum(pixel.clamp(min=0), side[..., None] - 1)
        return 2 * pixel / (length - 1) - 1

    columns = positions(x, w, width)[:, :, None, :].expand(-1, -1, height, -1)
    rows = positions(y, h, height)[:, :, :, None].expand(-1, -1, -1, width)
    grid = torch.stack([columns, rows], -1).flatten(1, 2)  # (B, N * H, W, 2): patches one below the other
    patches = functional.grid_sample(images, grid, mode="bilinear", align_corners=True)
    return patches.unflatten(2, (-1, height)).transpose(1, 2)


def union(boxes: Tensor, height: int, width: int) -> Tensor:
    """Return a mask (B, 1, height, width) of boxes (B, N, 4): 1 inside any box of the image, else 0."""
    x, y, w, h = boxes[..., None].unbind(2)  # (B, N, 1)
    columns, rows = (torch.arange(length, device=boxes.device) for length in (width, height))
    in_columns, in_rows = (columns >= x) & (columns < x + w), (rows >= y) & (rows < y + h)
    inside = in_rows[..., :, None] & in_columns[..., None, :]  # (B, N, H, W)
    return inside.any(1, keepdim=True).float()


def in_fixed_order(patches: Tensor) -> Tensor:
    """Sort the patches (B, N, ...) of each image by their pixels, so that the order depends on their content alone.

    All later results (sums of floats, batch norm, gradients) are then the same in every bit, in whatever order the
    patches came. Of two, the one with the lower value at their first difference comes first.
    """
    count = patches.shape[1]
    flat = patches.detach().flatten(2)
    places = torch.zeros(flat.shape[:2], dtype=torch.long, device=flat.device)
    for one, other in combinations(range(count), 2):
        first = (flat[:, one] != flat[:, other]).byte().argmax(1, keepdim=True)  # (B, 1)
        later = (flat[:, one].gather(1, first) > flat[:, other].gather(1, first)).squeeze(1)
        places[:, one] += later
        places[:, other] += ~later  # equal patches keep their order, to no effect
    return patches[torch.arange(patches.shape[0], device=patches.device)[:, None], places.argsort()]
