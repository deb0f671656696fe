"""What the project asks a data module for, and the check that its batches have what a model reads."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from lit_gen.data.batches import (
    UNLABELLED,
    AttributedImages,
    BatchReader,
    CaptionedImages,
    DataSpec,
    Images,
    LabelledImages,
    UnpairedImages,
)
from lit_gen.data.decoding import ImageArray
from lit_gen.data.pixel_values import as_floats
from lit_gen.errors import UserError
from lit_gen.lightning_compat import trainer_of


class DataModule(Protocol):
    """What a data module may offer to models, tasks, metrics and callbacks, beside what Lightning asks of it.

    A data module of your own needs `spec` only where its batches are plain tensors (`named_batch` says which), and
    `batch_type` where they are named tuples; each other name adds what its docstring says. What a docstring names no
    class for, every `lit_gen.data.base.ImageData` has. A model asks for the others by `hasattr`.
    """

    batch_type: type[Any]
    """The named tuple that its batches are, with the image first, or the first of several."""
    spec: DataSpec
    """What a model needs to know before it is built."""
    may_be_shared: bool
    """Whether W&B may get sample grids that show images of the data; by default not."""
    has_attributes: bool
    """Whether a classifier can learn the attributes: `test` then tells by it what generated images show."""
    cache_folder: Path
    """Where classifiers are kept."""
    datasets: Mapping[str, BatchReader]
    """The rows of each split: if one is called `held_out`, `test` measures images of its captions too."""
    all_training: BatchReader | None
    """All training images of the dataset, for published metrics; by default the training split.

    None says that the training split lacks some of them: no metric is then called `fid50k_full`.
    `MNIST` and `CelebACaptions`.
    """

    predicted_files: Sequence[Path]
    """The files of the images that `predict` reads, by whose names below `root` it calls what it writes.

    `ImageFolder` and `ImageTable`.
    """

    previews_training_images: bool
    """Whether `preview_batch` has training images, for want of others; by default not. Titles of grids say so."""

    def preview_batch(self, count: int) -> Any:
        """Return the first `count` held-out rows: for sample grids, `val/sliced_wasserstein` and Parzen windows."""

    def training_batches(self, count: int, size: int, generator: torch.Generator) -> Iterator[Any]:
        """Yield `count` training rows drawn at random, `size` at a time: for the distance of their codes to a prior."""

    def labelled_images(self) -> Any:
        """Return all training images whose labels are known, as the loader gives them: for SemiSupervisedAAE.

        None says that batches do as they are. `MNIST` and `ImageTable`.
        """

    def mean_image(self) -> Tensor:
        """Return the mean (C, H, W) of all training images in [-1, 1]: for `output_bias_from_data`."""

    def attribute_examples(self, names: Sequence[str]) -> BatchReader:
        """Return images and the attributes of these names, for a classifier to learn from."""

    def to_floats(self, batch: Any, flip: bool) -> Any:
        """Return a batch of those examples with images in [-1, 1], mirrored at random if `flip`."""

    def domain_examples(self) -> BatchReader:
        """Return pairs of images of two domains, for a classifier to learn from, which translations are to fool.

        Data of two domains: `Horse2Zebra`, `UnpairedFolders`, `ImageTable`.
        """

    def test_images(self, domain: str) -> Mapping[str, ImageArray]:
        """Return the test images of domain A or B, each once; of rendered ones also their `truth` and `mask`.

        Data of two domains, as above.
        """

    def counterfactuals(
        self, split: str, places: Sequence[int], wanted: Sequence[Sequence[Mapping[str, bool]]]
    ) -> list[list[np.ndarray | None]] | None:
        """Return the true images of rows with other attributes, for errors against them; None if they are not known.

        `CelebA`, and what is derived from it.
        """

    def opposite_captions(self, split: str, places: Sequence[int], name: str) -> np.ndarray | None:
        """Return two sentences for each row, (B, 2, L): one states that the attribute is false, one that it is true.

        `CelebACaptions`.
        """

    def factors(self, split: str, places: Sequence[int]) -> Mapping[str, np.ndarray] | None:
        """Return what the scenes of rows were drawn from, each (N,), for MIG and DCI; None if it is not known.

        `MNIST` and `CelebA`, and what is derived from them.
        """


def fields_read(model: Any, predicting: bool = False) -> tuple[str, ...]:
    """Return the names of the fields of a batch that a model (class or object) and its task read."""
    task = model.task
    if predicting and task.needs_to_predict is not None:
        return task.needs_to_predict
    return model.needs or task.needs


def spec_of(images: Tensor, labels: Tensor | None = None) -> DataSpec:
    """Return what a model needs to know of plain images (N, C, H, W) before it is built.

    Labels are class indices (N,), or attributes (N, A), 0 or 1, which are then called attribute_0 and so on.

    Raises:
        UserError: images or labels are of another shape, or no tensors.
    """
    shape = tuple(getattr(images, "shape", ()))
    if len(shape) != 4:
        hint = "Give grey images as images[:, None]." if len(shape) == 3 else "Give torch.stack of a list of images."
        raise UserError(f"spec_of takes a tensor of images (N, C, H, W), not {shape or type(images).__name__}. {hint}")
    if labels is not None and len(getattr(labels, "shape", ())) not in (1, 2):
        given = tuple(getattr(labels, "shape", ())) or type(labels).__name__
        raise UserError(
            f"spec_of takes a tensor of class indices (N,) or attributes (N, A), not {given}. "
            "Give torch.tensor(labels)."
        )
    one_each = labels is not None and labels.ndim == 1
    return DataSpec(
        image_shape=list(images.shape[1:]),
        num_classes=int(labels.max()) + 1 if labels is not None and one_each else 0,
        attributes=[] if labels is None or one_each else [f"attribute_{column}" for column in range(labels.shape[1])],
    )


def spec_in(data: Any) -> DataSpec:
    """Return the `spec` of a data module.

    Raises:
        UserError: it has none, or one in which something is missing.
    """
    spec, name = getattr(data, "spec", None), type(data).__name__
    if not isinstance(spec, Mapping):
        raise UserError(
            f"{name} has no spec, by which a model is built: set self.spec = dict(image_shape=[C, H, W], "
            "num_classes=0, attributes=[]), as lit_gen.spec_of(images, labels) gives it."
        )
    if missing := [part for part in ("image_shape", "num_classes", "attributes") if part not in spec]:
        raise UserError(f"the spec of {name} has no {', '.join(missing)}.")
    return spec  # type: ignore[return-value]  # with what else is said of some data


def named_batch(tensors: Sequence[Any], model: Any) -> Any:
    """Return plain tensors as the named tuple that they stand for: images, and what follows them.

    That is nothing, class indices (B,) of integers, attributes (B, A) of 0 or 1, images of another domain, or captions
    as `CaptionedImages` has them. Images (B, C, H, W) are uint8 or floats in [-1, 1].

    Raises:
        UserError: they are something else, or the images are of another shape than the model's.
    """
    image, *others = tensors
    if not all(isinstance(tensor, Tensor) for tensor in tensors) or image.ndim != 4:
        shapes = ", ".join(
            str(list(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in tensors
        )
        raise UserError(f"a batch must begin with a tensor of images (B, C, H, W), and be of tensors, not {shapes}.")
    if tuple(image.shape[1:]) != tuple(model.image_shape):
        raise UserError(
            f"the model was built for images of shape {tuple(model.image_shape)}, and a batch has "
            f"{tuple(image.shape[1:])}. Give the model the spec of these data: lit_gen.spec_of(images, labels)."
        )
    images = [in_range(part, model) if part.ndim == 4 else part for part in tensors]
    if not others:
        batch: Any = Images(*images)
    elif len(others) == 3:
        batch = CaptionedImages(*images)
    elif len(others) > 1 or others[0].ndim not in (1, 2, 4):
        shapes = ", ".join(str(list(part.shape)) for part in tensors)
        raise UserError(f"a batch is images, or images and labels (B,), attributes (B, A) or images; not {shapes}.")
    else:
        if others[0].ndim == 1 and not others[0].is_floating_point():
            images[1] = others[0].long()  # class indices of any size
        batch = {1: LabelledImages, 2: AttributedImages, 4: UnpairedImages}[others[0].ndim](*images)
    needs = fields_read(model)
    if not set(needs) <= set(batch._fields):
        raise UserError(
            f"{type(model).__name__} needs batches with {', '.join(needs)}, and tensors of these shapes are "
            f"{', '.join(batch._fields)}. Give named tuples of lit_gen.data.batches."
        )
    return batch


def in_range(image: Tensor, model: Any) -> Tensor:
    """Return images, uint8 or floats in [-1, 1] of any precision, as the latter, in the precision of the model."""
    return (image if image.is_floating_point() else as_floats(image)).to(model.dtype)


def images_for(model: Any, images: Any, step: int = 0) -> Tensor:
    """Return the images that a model is called with, (B, C, H, W) of uint8 or floats in [-1, 1], as the latter.

    A warning says when floats on the CPU seem to be of another range. Those on a GPU are not looked at: the look would
    have to wait for it.

    Args:
        model: which says the shape.
        images: for it.
        step: what height and width must be multiples of, from twice as much on; 0 for those of the model only.

    Raises:
        UserError: they are of another shape or type.
    """
    if torch.compiler.is_compiling():  # an export, for which the sizes are symbols
        return images
    name, (channels, height, width) = type(model).__name__, model.image_shape
    if not isinstance(images, Tensor):
        how = "Make one by torch.from_numpy, or of a PIL image by torchvision's pil_to_tensor"
        raise UserError(f"{name} takes a tensor of images, not {type(images).__name__}. {how}.")
    given, size = tuple(images.shape), f"{height}, {width})"
    fits = given[1:] == (channels, height, width)
    if step:
        size = f"H, W), H and W multiples of {step} from {2 * step} on"
        fits = given[1:2] == (channels,) and all(side % step == 0 and side >= 2 * step for side in given[2:])
    if not fits or len(given) != 4:
        hint = "Give one image as image[None]." if len(given) == 3 else "Resize or convert them."
        raise UserError(f"{name} takes images (B, {channels}, {size}, not {given}. {hint}")
    if not (images.is_floating_point() or images.dtype == torch.uint8):
        raise UserError(f"images are uint8, or floats from -1 to 1, not {images.dtype}. Give images.to(torch.uint8).")
    warn_of_range(model, images)
    return in_range(images, model)


def warn_of_range(model: Any, image: Tensor) -> None:
    """Warn as `check_range` raises, of images on the CPU; not under a Trainer, whose data are checked."""
    if torch.compiler.is_compiling() or trainer_of(model) is not None:  # an export has no values
        return
    readable = image.is_floating_point() and image.device.type == "cpu" and image.numel() > 0
    if readable and (wrong := _wrong_range(image.detach())):
        warnings.warn(wrong, stacklevel=1)  # once, where a verb looks at them twice


def check_range(image: Tensor) -> None:
    """Raise a `UserError` if floats are not in [-1, 1], or none of them is below 0: they are from 0 to 1 then."""
    if wrong := _wrong_range(image):
        raise UserError(wrong)


def _wrong_range(image: Tensor) -> str | None:
    lowest, highest = float(image.min()), float(image.max())
    if not (-1.001 <= lowest and highest <= 1.001) or (lowest >= 0 and highest > 0):  # not a number is neither
        return (
            f"images of floats go from -1 (black) to 1 (white), and these from {lowest:.3g} to {highest:.3g}. "
            "Give uint8, or for values from 0 to 1: images * 2 - 1."
        )
    return None


def check_classes(label: Tensor, classes: int) -> None:
    """Raise a `UserError` if labels (B,) are no class indices: whole numbers below `classes`, or `UNLABELLED`."""
    if label.is_floating_point():
        raise UserError(f"labels are class indices, whole numbers, not {label.dtype}. Give labels.long().")
    lowest, highest = int(label.min()), int(label.max())
    if lowest < UNLABELLED or highest >= classes:
        raise UserError(
            f"labels go from 0 to {classes - 1} for the {classes} classes of the spec, and these from {lowest} to "
            f"{highest}. Give the spec of these data, as lit_gen.spec_of(images, labels) does."
        )


def check_attributes(attributes: Tensor, names: Sequence[str]) -> None:
    """Raise a `UserError` if attributes (B, A) are others than 0 and 1, or not as many columns as names."""
    if attributes.shape[1] != len(names):
        raise UserError(
            f"the spec names {len(names)} attributes ({shorten(', '.join(names), 80) or 'none'}), and these have "
            f"{attributes.shape[1]} columns. Give the spec of these data, as lit_gen.spec_of(images, attributes) does."
        )
    if not ((attributes == 0) | (attributes == 1)).all():
        raise UserError(
            f"attributes are 0 or 1, and these go from {float(attributes.min()):.3g} to "
            f"{float(attributes.max()):.3g}. For -1 and 1: (attributes + 1) / 2."
        )


def check_pair(model: type, data: Any, predicting: bool = False) -> None:
    """Raise a `UserError` naming data that do fit when `data` (class or object) lack a field that `model` reads.

    Likewise when some of its images have no label, and the model is not made for that.
    """
    given = batch_types(data)
    if not given or not hasattr(model, "task"):
        return
    needs = fields_read(model, predicting)
    if any(set(needs) <= set(kind._fields) for kind in given):
        count = 0 if isinstance(data, type) else getattr(data, "rows_without_label", 0)
        if count and "label" in needs and not getattr(model, "takes_unlabelled", False):
            raise UserError(
                f"{model.__name__} reads the label of each image, and {count} rows of the table have none. Fill them "
                "in, or remove these rows. SemiSupervisedAAE does without; a class with takes_unlabelled = True gets "
                "-1 there."
            )
        return
    from lit_gen import data as package

    name_of_data = (data if isinstance(data, type) else type(data)).__name__
    read = ""
    if len(given) == 1:
        read = f"; {name_of_data} gives {given[0].__name__}({', '.join(given[0]._fields)})"
    if hasattr(data, "what_is_missing") and not isinstance(data, type):
        missing = [field for field in needs if field not in given[0]._fields]
        raise UserError(
            f"{model.__name__} needs batches with fields {', '.join(needs)}{read}. {data.what_is_missing(missing)}"
        )
    fitting = [
        name
        for name, candidate in vars(package).items()
        if isinstance(candidate, type) and any(set(needs) <= set(kind._fields) for kind in batch_types(candidate))
    ]
    raise UserError(
        f"{model.__name__} needs batches with fields {', '.join(needs)}{read}. "
        f"Data that fit: {', '.join(sorted(fitting)) or 'none'}."
    )


def batch_types(data: Any) -> tuple[type[Any], ...]:
    """Return the types that the batches of data (class or object) may have; several of a class whose files tell."""
    if isinstance(data, type) and hasattr(data, "batch_types"):
        return data.batch_types
    found = getattr(data, "batch_type", None)
    return () if found is None else (found,)
