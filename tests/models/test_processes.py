"""Two processes with half of each batch do what one process does with all of it."""

import itertools
import os
import warnings
from unittest import mock

import pytest
import torch
from lightning.pytorch.plugins.environments import TorchElasticEnvironment
from torch import Tensor, distributed
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader

import lit_gen.models
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.stargan import Translations
from lit_gen.training.strategy import AlternatingDDP
from tests.metrics.pictures import in_two_processes
from tests.models import tiny

# Without what compares or keeps images of a batch: those are each process's own.
PLAIN = {
    "AAE": {"input_dropout": 0.0},
    "CycleGAN": {"pool_size": 0},
    "GAN": {"input_dropout": 0.0, "hidden_dropout": 0.0, "ema_decay": 0.5},
    "ProGAN": {"minibatch_sizes": {}, "stddev_group": 2, "stable_kimg": 0.008, "fade_kimg": 0.016},
    "VAE": {"binarize": False},
}
WITHOUT_BATCH_NORM = ["AAE", "AutoEncoder", "CycleGAN", "GAN", "ProGAN", "StarGAN", "VAE"]
# Text2Image is not among them: each sentence is compared with all images of its process.
WITH_BATCH_NORM = ["DCGAN", "InfoGAN", "PuzzleGAN"]
BATCHES = 4


class SumOfAll(torch.autograd.Function):
    """The sum over all processes, and that of the gradients."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    backward = forward


class BatchNormOfAll(_BatchNorm):
    """What torch's SyncBatchNorm does, which is for GPUs only."""

    def forward(self, x: Tensor) -> Tensor:
        others = [0, *range(2, x.ndim)]
        count = distributed.get_world_size() * x.numel() / x.shape[1]
        mean = SumOfAll.apply(x.sum(others)) / count
        variance = SumOfAll.apply((x.transpose(1, -1) - mean).square().transpose(1, -1).sum(others)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        x = (x.transpose(1, -1) - mean) / (variance + self.eps).sqrt()
        return (x * self.weight + self.bias).transpose(1, -1)


def own_rows(draw, rank: int, world: int):
    """Draws for the rows of all processes, the same on each, and gives this process's."""
    numbers = itertools.count()

    def drawn(*arguments, generator=None, device=None):
        *first, shape = arguments if isinstance(arguments[-1], tuple) else (arguments,)
        whole = draw(*first, (shape[0] * world, *shape[1:]), generator=torch.Generator().manual_seed(next(numbers)))
        return whole[rank::world].to(device)

    return drawn


def settle(model) -> None:
    """Leaves nothing to chance but draws a row, and takes steps that are as the gradients are."""
    name = type(model).__name__
    if name == "VAE":
        model.sample_posterior = lambda mean, log_variance: (
            mean + (0.5 * log_variance).exp() * torch.randn(*mean.shape, device=mean.device)
        )[None]
    elif name == "StarGAN":
        model.make_fakes = lambda batch: Translations(
            model.generator(batch.image, 1 - model.labels(batch)), 1 - model.labels(batch)
        )
    elif name == "PuzzleGAN":
        model.composites = lambda real, fakes: {"flipped": torch.where(fakes.truth > 0, real.flip(-1), fakes.image)}
    tiny.descend(model, 0.02)


def in_double(field):
    """A field of a batch, in float64 if it has floats."""
    return field.double() if field.is_floating_point() else field


def place(rank: int, world: int) -> dict:
    """The Trainer's settings for process `rank` of `world`."""
    places = {"RANK": rank, "LOCAL_RANK": 0, "GROUP_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": 1}
    os.environ |= {key: str(value) for key, value in places.items()}
    return {"num_nodes": world, "plugins": [TorchElasticEnvironment()], "use_distributed_sampler": False}


def train(rank: int, world: int, name: str, gpu: bool = False) -> dict:
    """What process `rank` of `world` ends with: state, images seen, and the farthest that any weight has moved.

    All is in float64: in float32, instance norm of small images amplifies what is rounded, on some processors more than
    on others.
    """
    model = tiny.build(getattr(lit_gen.models, name), **PLAIN.get(name, {})).double()
    settle(model)
    begin = tiny.parameters(model)
    batches = [tiny.batch(8, seed=seed, kind=tiny.kind_for(type(model))) for seed in range(BATCHES)]
    batches = [type(batch)(*(in_double(field[rank::world]) for field in batch)) for batch in batches]
    settings = {"accelerator": "gpu", "devices": [rank], "sync_batchnorm": True} if gpu else {}
    if world > 1:
        settings |= place(rank, world) | {"strategy": "ddp" if model.automatic_optimization else AlternatingDDP()}
        for module in [] if gpu else model.modules():
            if isinstance(module, _BatchNorm):
                module.__class__ = BatchNormOfAll
    torch.backends.cudnn.allow_tf32 = False
    trainer = tiny.trainer("", limit_val_batches=0, **settings)
    draws = {draw: own_rows(getattr(torch, draw), rank, world) for draw in ("rand", "randn", "randint")}
    double = mock.patch.object(Tensor, "float", Tensor.double)
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with double, mock.patch.multiple(torch, **draws), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer.fit(model, train_dataloaders=DataLoader(tiny.Batches(batches), batch_size=None))
    finally:
        torch.set_default_dtype(default)
    moves = [(value.cpu() - begin[key]).abs().max().item() for key, value in model.named_parameters()]
    state = {key: value.cpu() for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    return {"state": state, "images": getattr(model, "images_seen", 0), "moved": max(moves)}


def compare(name: str, gpu: bool = False) -> None:
    alone, both = train(0, 1, name, gpu), in_two_processes(train, 2, name, gpu)
    for one in both:
        assert one["images"] == alone["images"]
        torch.testing.assert_close(one["state"], alone["state"], rtol=1e-9, atol=1e-10)
    assert alone["moved"] > 1e-3


@pytest.mark.parametrize("name", WITHOUT_BATCH_NORM + WITH_BATCH_NORM)
def test_two_processes_with_half_a_batch_are_one_with_all_of_it(name):
    compare(name)


@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two GPUs")
@pytest.mark.parametrize("name", WITHOUT_BATCH_NORM + WITH_BATCH_NORM)
def test_so_they_are_on_two_gpus(name):
    """With torch's SyncBatchNorm."""
    compare(name, gpu=True)


def gradients_sent(rank: int, world: int, accumulate: int) -> dict:
    """How many numbers each exchange of a training of four batches has, and the model's sizes."""
    sent = []
    all_reduce = distributed.all_reduce

    def counted(tensor, *arguments, **options):
        sent.append(tensor.numel())
        return all_reduce(tensor, *arguments, **options)

    setup = AdversarialModule.setup
    accumulating = lambda self, stage: (setup(self, stage), setattr(self, "accumulate_grad_batches", accumulate))  # noqa: E731
    with (
        mock.patch.object(distributed, "all_reduce", counted),
        mock.patch.object(AdversarialModule, "setup", accumulating),
    ):
        train(rank, world, "GAN")
    model = tiny.build(lit_gen.models.GAN, **PLAIN["GAN"])
    sizes = [sum(value.numel() for value in part.parameters()) for part in (model.discriminator, model.generator)]
    return {"sent": [count for count in sent if count > 1], "sizes": sizes}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_each_gradient_is_sent_once(accumulate):
    """D's after D's last backward pass and G's after G's, where DDP sends both networks' after each."""
    for one in in_two_processes(gradients_sent, 2, accumulate):
        assert one["sent"] == one["sizes"] * (BATCHES // accumulate)


def buffers(rank: int, world: int) -> dict:
    """What each process would save after a training in which its batch norm counts its own images."""
    model = tiny.build(lit_gen.models.DCGAN)
    trainer = tiny.trainer("", limit_val_batches=0, **place(rank, world), strategy=AlternatingDDP())
    batches = [tiny.batch(8, seed=rank)]
    trainer.fit(model, train_dataloaders=DataLoader(tiny.Batches(batches), batch_size=None))
    own = {name: value.clone() for name, value in model.named_buffers()}
    saved = trainer.strategy.lightning_module_state_dict()
    return {"own": own, "saved": {name: value for name, value in saved.items() if isinstance(value, Tensor)}}


def test_the_first_process_s_batch_norm_is_saved():
    """The weights are the same anyway."""
    first, second = in_two_processes(buffers, 2)
    tiny.assert_same(first["saved"], second["saved"])
    for name, value in first["own"].items():
        assert torch.equal(first["saved"][name], value)
    assert any(not torch.equal(value, second["own"][name]) for name, value in first["own"].items())


UNEVEN = [[4, 4, 4], [4, 2, 4]]
"""The sizes of the batches of each of two processes, of which two make one step."""


def uneven(rank: int, world: int) -> dict:
    """The weights after two steps on batches of other sizes in each process."""
    model = tiny.build(lit_gen.models.AutoEncoder)
    tiny.descend(model, 0.05)
    batches = [tiny.batch(size, seed=10 * rank + seed) for seed, size in enumerate(UNEVEN[rank])]
    settings = place(rank, world) | {"strategy": "ddp", "accumulate_grad_batches": 2}
    trainer = tiny.trainer("", limit_val_batches=0, **settings)
    trainer.fit(model, train_dataloaders=DataLoader(tiny.Batches(batches), batch_size=None))
    return tiny.parameters(model)


def test_processes_with_other_numbers_of_images_stay_alike():
    """And take the steps of one batch of all their images, an epoch's last one too, which has fewer batches."""
    one, other = in_two_processes(uneven, 2)
    tiny.assert_same(one, other)
    model = tiny.build(lit_gen.models.AutoEncoder)
    for numbers in ((0, 1), (2,)):
        some = [tiny.batch(UNEVEN[rank][seed], seed=10 * rank + seed) for rank in range(2) for seed in numbers]
        model.zero_grad()
        model.losses(type(some[0])(*map(torch.cat, zip(*some, strict=True))))["reconstruction"].backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= 0.05 * parameter.grad
    for name, value in model.named_parameters():
        torch.testing.assert_close(one[name], value.detach(), rtol=1e-4, atol=1e-6, msg=name)
