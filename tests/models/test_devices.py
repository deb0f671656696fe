"""What a model keeps beside its weights follows it to another device; "meta" stands in for that."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor, nn

from lit_gen.models import CycleGAN
from tests.models import tiny


def tensors(thing: Any, place: str) -> Iterator[tuple[str, Tensor]]:
    """All that hang on a module, wherever: parameters and buffers, and plain attributes too."""
    if isinstance(thing, Tensor):
        yield place, thing
    elif isinstance(thing, nn.Module):
        for name, value in vars(thing).items():
            if name != "_trainer":
                yield from tensors(value, f"{place}.{name}")
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from tensors(value, f"{place}[{key!r}]")
    elif isinstance(thing, list | tuple):
        for index, value in enumerate(thing):
            yield from tensors(value, f"{place}[{index}]")


def trained(model_class, tmp_path, **settings):
    """A model in the middle of its training: what that leaves behind is there."""
    model = tiny.build(model_class, **settings)
    saver = ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    trainer = tiny.trainer(tmp_path, callbacks=[saver], enable_checkpointing=True)
    trainer.fit(model, datamodule=tiny.NoiseData(3, kind=tiny.kind_for(model_class)))
    return model


@pytest.mark.parametrize("loaded", [False, True], ids=["trained", "loaded"])
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_everything_follows_the_model(model_class, loaded, tmp_path):
    model = trained(model_class, tmp_path)
    if loaded:
        model = model_class.load_from_checkpoint(tmp_path / "last.ckpt", weights_only=True)
    assert len(list(tensors(model, "model"))) > 4
    model.to("meta")
    assert not [place for place, value in tensors(model, "model") if not value.is_meta]


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_checkpoint_of_another_device(model_class, tmp_path):
    """Loaded as from a GPU that is not there: all lies where the user says."""
    trained(model_class, tmp_path)
    model = model_class.load_from_checkpoint(tmp_path / "last.ckpt", map_location="cpu", weights_only=True)
    assert {value.device.type for _, value in tensors(model, "model")} == {"cpu"}


# CycleGAN's pool


def test_pool_goes_on_where_the_fakes_are(tmp_path):
    """As when a run is resumed on a GPU: the pool is loaded, fakes come, and it is saved again."""
    state = trained(CycleGAN, tmp_path, pool_size=4).state_dict()
    for order in ("move, load", "load, move", "load"):
        model = tiny.build(CycleGAN, pool_size=4)
        if order == "move, load":
            model.to("meta")
        model.pools.load_state_dict({k.removeprefix("pools."): v for k, v in state.items() if k.startswith("pools.")})
        if order == "load, move":
            model.to("meta")
        for pool in model.pools.values():
            if order != "load":
                assert all(image.is_meta for image in pool.get_extra_state())
            assert len(pool.get_extra_state()) == 4
            shown = pool(torch.zeros(6, 1, 16, 16, device="meta"))
            assert shown.is_meta
            saved = pool.get_extra_state()
            assert saved.is_meta and saved.shape == (4, 1, 16, 16) and saved.dtype is torch.float32
