"""A tiny instance of every model, and a way to train one without a command line."""

import inspect
from collections.abc import Iterator
from typing import Any

import torch
from lightning import Trainer
from torch import Tensor
from torch.optim import SGD
from torch.utils.data import DataLoader, Dataset

import lit_gen.models
from lit_gen.data.batches import AttributedImages, CaptionedImages, DataSpec, LabelledImages, UnpairedImages
from lit_gen.data.contract import fields_read
from lit_gen.data.order import ResumableData, loader_options
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.base import GenerativeModule

TINY_ENCODER = network(MLPEncoder, hidden_sizes=[16])
# What makes each model small. A model that is missing here is built with its defaults.
SMALL: dict[str, dict[str, Any]] = {
    "AutoEncoder": {"latent_dim": 4, "encoder": TINY_ENCODER},
    "VAE": {"latent_dim": 4, "encoder": TINY_ENCODER, "num_eval_samples": 3},
    "AAE": {"latent_dim": 4, "encoder": TINY_ENCODER, "discriminator_sizes": [16]},
    "SemiSupervisedAAE": {"style_dim": 4, "encoder": TINY_ENCODER, "discriminator_sizes": [16]},
    "GAN": {"latent_dim": 8, "generator_sizes": [16], "discriminator_sizes": [16]},
    "DCGAN": {"latent_dim": 8, "max_channels": 16},
    "CycleGAN": {"residual_blocks": 1, "channels": 4, "discriminator_channels": 4, "discriminator_layers": 1},
    "InfoGAN": {
        "noise_dim": 4, "categorical_codes": [3], "generator_channels": [8, 4], "discriminator_channels": [4, 8],
        "hidden_features": 16, "recognition_features": 8,
    },
    "ProGAN": {
        "latent_dim": 8, "channel_base": 64, "max_channels": 8, "stable_kimg": 0.016, "fade_kimg": 0.016,
        "total_kimg": 1000, "minibatch_sizes": {4: 8, 8: 4, 16: 4},
    },
    "PuzzleGAN": {"channels": 4, "embedding_dim": 8, "latent_dim": 4},
    "StarGAN": {"channels": 4, "residual_blocks": 1, "discriminator_channels": 4, "n_critic": 2},
    "Text2Image": {
        "latent_dim": 8, "embedding_dim": 8, "text_dim": 4, "generator_channels": 4, "discriminator_channels": 4,
        "text_channels": (8, 8, 8), "image_encoder_channels": 4,
    },
}  # fmt: skip
ALL = [getattr(lit_gen.models, name) for name in lit_gen.models.__all__]
ATTRIBUTES = ["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young", "Smiling"]


def spec(channels: int = 1, size: int = 16) -> DataSpec:
    return DataSpec(image_shape=[channels, size, size], num_classes=10, attributes=ATTRIBUTES)


def kind_for(model: type[GenerativeModule]) -> type:
    """The batch type that the model trains on; labelled images where it needs images only."""
    kinds = (LabelledImages, AttributedImages, UnpairedImages, CaptionedImages)
    return next(kind for kind in kinds if set(fields_read(model)) <= set(kind._fields))


def build(model: type[GenerativeModule], channels: int = 1, size: int = 16, **settings: Any) -> GenerativeModule:
    torch.manual_seed(0)
    return model(spec(channels, size), **SMALL.get(model.__name__, {}) | settings)


def grids(model: GenerativeModule, data: Any, count: int = 64) -> dict[str, Tensor]:
    """The sample grids of the model's task, without what is written above them."""
    return {name: grid.picture for name, grid in model.task.sample_grids(model, data, count).items()}


def takes(model: type[GenerativeModule], name: str) -> bool:
    """Whether the model has this setting; one of a user's own may lack those that all of the project's have."""
    return name in inspect.signature(model).parameters


def descend(model: GenerativeModule, rate: float) -> None:
    """Has the model go straight down its gradients, so that its weights tell what these were."""
    parts = [model.discriminator, model.generator] if isinstance(model, AdversarialModule) else [model]
    optimizers = [SGD(part.parameters(), rate) for part in parts]
    model.configure_optimizers = lambda: optimizers if len(parts) > 1 else optimizers[0]


def images(count: int = 8, channels: int = 1, size: int = 16, seed: int = 0) -> Tensor:
    """Blurred noise in [-1, 1]: images without meaning but with structure."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, channels, 4, 4, generator=generator) * 2 - 1
    return torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")


def batch(count: int = 8, channels: int = 1, size: int = 16, seed: int = 0, kind: type = LabelledImages) -> Any:
    image = images(count, channels, size, seed)
    generator = torch.Generator().manual_seed(seed + 1000)
    attributes = torch.randint(2, (count, len(ATTRIBUTES)), generator=generator).float()
    if kind is LabelledImages:
        return LabelledImages(image, torch.arange(count) % 10)
    if kind is AttributedImages:
        return AttributedImages(image, attributes)
    if kind is UnpairedImages:
        return UnpairedImages(image, images(count, channels, size, seed + 500))
    caption = torch.randint(1, 30, (count, 48), generator=generator)
    stated = torch.randint(2, attributes.shape, generator=generator).float()
    return CaptionedImages(image, caption, attributes, stated)


class Batches(Dataset):
    """A list of batches; whoever asks for rows gets the whole batch of that number."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Any:
        return self.batches[index]

    def __getitems__(self, rows: list[int]) -> Any:
        (row,) = rows
        return self.batches[row]


class NoiseData(ResumableData):
    """`batches` batches of images without meaning, in a random order in training, without any file."""

    batch_type = LabelledImages

    def __init__(
        self, batches: int = 4, channels: int = 1, size: int = 16, batch_size: int = 8, kind: type = LabelledImages
    ) -> None:
        super().__init__()
        self.count, self.channels, self.size, self.batch_size = batches, channels, size, batch_size
        self.batch_type = kind
        self.spec = spec(channels, size)

    def _batches(self) -> Batches:
        sizes = self.batch_size, self.channels, self.size
        return Batches([batch(*sizes, seed, self.batch_type) for seed in range(self.count)])

    def train_dataloader(self) -> DataLoader:
        return self.training_loader(self._batches(), batch_size=1)

    def val_dataloader(self) -> DataLoader:
        return DataLoader(self._batches(), batch_size=None, **loader_options())

    test_dataloader = predict_dataloader = val_dataloader

    def preview_batch(self, count: int) -> Any:
        return batch(min(count, self.batch_size * self.count), self.channels, self.size, 0, self.batch_type)


def trainer(tmp_path: Any, **settings: Any) -> Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    return Trainer(
        **{"default_root_dir": str(tmp_path), "max_epochs": 1, "enable_checkpointing": False} | quiet | settings
    )


def parameters(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def moved(before: dict[str, Tensor], module: torch.nn.Module) -> Iterator[str]:
    """Names of the parameters that are no longer what they were."""
    return (name for name, value in module.named_parameters() if not torch.equal(before[name], value))


def assert_same(one: Any, other: Any, place: str = "checkpoint") -> None:
    """Asserts that two checkpoints hold the same, bit for bit."""
    assert type(one) is type(other), place
    if isinstance(one, Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f"{place}[{key!r}]")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), place
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{place}[{index}]")
    else:
        assert one == other, place
