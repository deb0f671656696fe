"""How far a training is: schedules, steps and the place in the epoch, also where a run goes on with other batches."""

import math
from types import SimpleNamespace

import pytest
import torch
import yaml
from lightning import Callback
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ModelCheckpoint
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.data.batches import LabelledImages
from lit_gen.data.order import ResumableData, loader_options
from lit_gen.errors import UserError
from lit_gen.models import AAE, DCGAN, GAN, VAE, AutoEncoder, CycleGAN, ProGAN, StarGAN
from lit_gen.models.adversarial import AdversarialModule
from tests.models import tiny

AUTOENCODERS = [AutoEncoder, VAE, AAE]
DECAY = 0.01


class Numbered(Dataset):
    """Images whose labels are their numbers, with whatever else a model reads."""

    def __init__(self, count: int, kind: type) -> None:
        self.all = tiny.batch(count, kind=kind)
        if kind is LabelledImages:
            self.all = self.all._replace(label=torch.arange(count))

    def __len__(self) -> int:
        return len(self.all[0])

    def __getitems__(self, rows: list[int]):
        return type(self.all)(*(field[rows] for field in self.all))


class ImagesData(ResumableData):
    """So many images, in batches of this size."""

    def __init__(self, count: int, batch_size: int, kind: type = LabelledImages) -> None:
        super().__init__()
        self.count, self.batch_size, self.batch_type, self.spec = count, batch_size, kind, tiny.spec()

    def train_dataloader(self) -> DataLoader:
        return self.training_loader(Numbered(self.count, self.batch_type), self.batch_size)

    def val_dataloader(self) -> DataLoader:
        batches = tiny.Batches([tiny.batch(4, kind=self.batch_type)])
        return DataLoader(batches, batch_size=None, **loader_options())


class Diary(Callback):
    """The images of each batch, the learning rates' factor at each step, and where validations and epochs ended."""

    def __init__(self, stop: int | None = None) -> None:
        self.stop = stop
        self.batches, self.factors, self.per_batch, self.validated, self.epochs = [], [], [], [], []

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        if trainer.fit_loop.total_batch_idx == self.stop:
            raise ConnectionError
        field = batch[1] if batch[1].ndim == 1 else batch[0].flatten(1).sum(1)
        self.batches.append((trainer.current_epoch, field.tolist()))

    def on_train_batch_end(self, trainer, *_):
        self.per_batch.append(self.factor(trainer))

    def on_before_optimizer_step(self, trainer, model, optimizer):
        if optimizer is trainer.optimizers[0] or optimizer is getattr(trainer.optimizers[0], "optimizer", None):
            self.factors.append(self.factor(trainer))

    @staticmethod
    def factor(trainer):
        group = trainer.optimizers[0].param_groups[0]
        return group["lr"] / group["initial_lr"]

    def on_validation_end(self, trainer, model):
        if not trainer.sanity_checking:
            self.validated.append((trainer.current_epoch, trainer.fit_loop.batch_idx + 1))

    def on_train_epoch_end(self, trainer, model):
        self.epochs.append(trainer.current_epoch)

    def rows(self, epoch: int) -> list:
        return sum((rows for number, rows in self.batches if number == epoch), [])


def train(folder, model, data, stop=None, checkpoint=None, **settings):
    """Trains, and dies when so many batches are done, for which there is a checkpoint."""
    diary = Diary(stop)
    callbacks = [*settings.pop("callbacks", []), diary, RunCheckpoints(folder, every_n_batches=stop or 0)]
    if isinstance(model, AdversarialModule):
        model.accumulate_grad_batches = settings.pop("accumulate_grad_batches", 1)
    settings = {"enable_checkpointing": True, "num_sanity_val_steps": 0} | settings
    trainer = tiny.trainer(folder, callbacks=callbacks, **settings)
    torch.manual_seed(0 if checkpoint is None else 99)
    if stop is None:
        trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    else:
        with pytest.raises(ConnectionError):
            trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    return diary, torch.load(folder / "last.ckpt", weights_only=True)


def decaying(model_class=AutoEncoder, **settings):
    return tiny.build(model_class, learning_rate_decay=DECAY, **settings)


def progress_of(factors):
    """What the schedule stood at, from its factors."""
    return [math.log(factor) / math.log(DECAY) for factor in factors]


# Unbroken runs


@pytest.mark.parametrize("accumulate", [1, 2, 3])
@pytest.mark.parametrize("model_class", AUTOENCODERS)
def test_a_schedule_does_not_depend_on_how_a_step_is_divided(model_class, accumulate, tmp_path):
    """Four steps an epoch of 12 images each, in one batch or in several: the same rates at the same steps."""
    data = ImagesData(48, 12 // accumulate)
    diary, end = train(
        tmp_path, decaying(model_class), data, max_epochs=3, accumulate_grad_batches=accumulate, limit_val_batches=0
    )
    assert progress_of(diary.factors) == pytest.approx([step / 12 for step in range(12)], abs=1e-6)
    steps = [diary.per_batch[begin : begin + accumulate] for begin in range(0, len(diary.per_batch), accumulate)]
    assert all(len(set(rates)) == 1 for rates in steps), "the rate stands still within a step"
    counts = end["state_dict"]["_extra_state"]
    assert (counts["images_seen"], counts["images_in_epoch"]) == (144, 48)


def test_a_last_step_of_fewer_batches(tmp_path):
    """Five batches an epoch make steps of two, two and one."""
    diary, _ = train(tmp_path, decaying(), ImagesData(40, 8), max_epochs=2, accumulate_grad_batches=2)
    assert progress_of(diary.factors) == pytest.approx([0, 0.2, 0.4, 0.5, 0.7, 0.9], abs=1e-6)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({"max_epochs": -1, "max_steps": 6}, [step / 6 for step in range(6)]),
        ({"max_epochs": 4, "max_steps": 6}, [step / 6 for step in range(6)]),
        ({"max_epochs": 2, "max_steps": 20}, [step / 8 for step in range(8)]),
        ({"max_epochs": 2, "limit_train_batches": 2}, [step / 4 for step in range(4)]),
        ({"max_epochs": 2, "limit_train_batches": 0.5}, [step / 4 for step in range(4)]),
        ({"max_epochs": 4, "max_steps": 3, "accumulate_grad_batches": 2}, [step / 3 for step in range(3)]),
    ],
)
def test_what_ends_sooner_counts(limits, expected, tmp_path):
    """Four batches an epoch."""
    diary, _ = train(tmp_path, decaying(), ImagesData(32, 8), **limits)
    assert progress_of(diary.factors) == pytest.approx(expected, abs=1e-6)


def test_a_gan_that_accumulates_has_the_rates_of_one_with_larger_batches(tmp_path):
    """StarGAN's fall in the second half: four epochs of two steps, each of two batches."""
    kind, rates = tiny.kind_for(StarGAN), []
    for batch_size, accumulate in ((16, 1), (8, 2)):
        model = tiny.build(StarGAN, n_critic=1)
        data = ImagesData(32, batch_size, kind)
        diary, _ = train(tmp_path, model, data, max_epochs=4, accumulate_grad_batches=accumulate, limit_val_batches=0)
        rates.append(diary.factors)
    assert rates[0] == rates[1] == pytest.approx([1] * 5 + [0.75, 0.5, 0.25])


@pytest.mark.parametrize(("model_class", "accumulate"), [(GAN, 1), (GAN, 3), (StarGAN, 3), (ProGAN, 1), (ProGAN, 3)])
def test_max_steps_counts_the_loaded_batches_of_gans(model_class, accumulate, tmp_path):
    """ProGAN makes two and then four steps of each of these batches."""
    data = ImagesData(80, 16, tiny.kind_for(model_class))
    diary, end = train(
        tmp_path, tiny.build(model_class), data, max_steps=7, max_epochs=-1, accumulate_grad_batches=accumulate
    )
    assert len(diary.batches) == 7 == end["global_step"]
    assert end["state_dict"]["_extra_state"]["images_seen"] == 7 * 16


def test_max_steps_counts_the_optimizer_steps_of_the_others(tmp_path):
    diary, end = train(
        tmp_path, tiny.build(VAE), ImagesData(80, 8), max_steps=4, max_epochs=-1, accumulate_grad_batches=2
    )
    assert len(diary.batches) == 8 and end["global_step"] == 4


def test_a_schedule_without_an_end(tmp_path):
    with pytest.raises(UserError, match="set --trainer.max_epochs or --trainer.max_steps"):
        tiny.trainer(tmp_path, max_epochs=-1).fit(decaying(), datamodule=ImagesData(16, 8))


# Runs that go on with other batches


@pytest.mark.parametrize(
    ("before", "after", "stop"),
    [(8, 80, 40), (8, 12, 33), (8, 30, 58), (8, 7, 35), (80, 8, 4), (30, 8, 11), (7, 16, 50)],
)
def test_the_rest_of_an_epoch_follows_in_batches_of_another_size(before, after, stop, tmp_path):
    """Three epochs of 240 images; broken off in the second."""
    first, _ = train(tmp_path, decaying(), ImagesData(240, before), stop, max_epochs=3)
    second, end = train(tmp_path, decaying(), ImagesData(240, after), None, tmp_path / "last.ckpt", max_epochs=3)
    rows = first.rows(1) + second.rows(1)
    assert len(rows) == len(set(rows)) > 240 - after, "no image twice, and none lost but for the last batch"
    assert len(second.rows(2)) == len(set(second.rows(2))) == 240 // after * after
    assert all(len(rows) == after for _, rows in second.batches)
    assert second.epochs == [1, 2] and [epoch for epoch, _ in second.validated] == [1, 2]
    counts = end["state_dict"]["_extra_state"]
    assert counts["images_seen"] == sum(len(rows) for _, rows in first.batches + second.batches)

    progress = progress_of(first.factors + second.factors)
    assert progress == sorted(progress) and progress[-1] < 1
    step = max(before, after) / 240 / 3
    assert max(b - a for a, b in zip(progress, progress[1:], strict=False)) < 2 * step, "nothing jumps"
    assert progress[-1] == pytest.approx(1 - after / (240 // after * after) / 3, abs=1e-6), "and it comes to its end"


def test_a_gans_rates_go_on_too(tmp_path):
    """StarGAN's: constant, then a line to 0 at the end of the fourth epoch of 48 images."""
    kind = tiny.kind_for(StarGAN)
    first, _ = train(tmp_path, tiny.build(StarGAN), ImagesData(48, 8, kind), 15, max_epochs=4)
    second, _ = train(
        tmp_path, tiny.build(StarGAN), ImagesData(48, 24, kind), None, tmp_path / "last.ckpt", max_epochs=4
    )
    expected = [min(1, 2 * (1 - batch / 24)) for batch in range(15)] + [2 * (1 - batch / 8) for batch in (5, 6, 7)]
    assert first.factors + second.factors == pytest.approx(expected)


@pytest.mark.parametrize(("limit", "an_epoch"), [(6, 6), (12, 12), (1.0, 20)])
def test_another_limit_of_batches(limit, an_epoch, tmp_path):
    """Broken off in the second of four epochs, when 4 of its 10 batches are done: the next two epochs are as long."""
    first, _ = train(tmp_path, decaying(), ImagesData(160, 8), 14, max_epochs=4, limit_train_batches=10)
    second, _ = train(
        tmp_path, decaying(), ImagesData(160, 8), None, tmp_path / "last.ckpt", max_epochs=4, limit_train_batches=limit
    )
    assert len(second.rows(1)) == (an_epoch - 4) * 8 and not set(first.rows(1)) & set(second.rows(1))
    assert len(second.rows(2)) == len(second.rows(3)) == an_epoch * 8
    expected = [(1 + batch / an_epoch) / 4 for batch in range(4, 3 * an_epoch)]
    assert progress_of(second.factors) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("batch_size", "limit", "interval", "validations"),
    [(80, 1.0, 1.0, [1]), (8, 5, 1.0, [5]), (8, 7, 3, [3, 6])],
)
@pytest.mark.parametrize("epochs", [2, 3])
def test_an_epoch_of_which_no_batch_is_left(batch_size, limit, interval, validations, epochs, tmp_path):
    """Its end follows, with its validation and checkpoint: of the second epoch's 100 images, 72 are done."""
    train(tmp_path, tiny.build(AutoEncoder), ImagesData(100, 8), 12 + 9, max_epochs=epochs)
    settings = {"max_epochs": epochs, "limit_train_batches": limit, "val_check_interval": interval}

    def go_on():
        data, checkpoint = ImagesData(100, batch_size), tmp_path / "last.ckpt"
        return train(tmp_path, tiny.build(AutoEncoder), data, None, checkpoint, **settings)

    diary, end = go_on()
    an_epoch = 1 if batch_size == 80 else limit
    assert diary.epochs == list(range(1, epochs)) and not diary.rows(1)
    assert len(diary.rows(2)) == (epochs - 2) * an_epoch * batch_size
    at_its_end = [(1, an_epoch)] if an_epoch in validations else []
    assert diary.validated == at_its_end + [(2, batch) for batch in validations] * (epochs - 2)
    assert end["loops"]["fit_loop"]["epoch_progress"]["current"]["processed"] == epochs
    assert not go_on()[0].batches, "it has ended"


def test_a_checkpoint_of_the_last_batch_before_its_validation(tmp_path):
    """As Lightning's own callback writes it; Lightning would leave that validation out."""
    own = ModelCheckpoint(tmp_path / "own", every_n_train_steps=4, save_top_k=-1, filename="{step}")
    _, whole = train(tmp_path, tiny.build(VAE), ImagesData(32, 8), callbacks=[own], max_epochs=2)
    diary, end = train(
        tmp_path / "again", tiny.build(VAE), ImagesData(32, 8), None, tmp_path / "own" / "step=4.ckpt", max_epochs=2
    )
    assert diary.epochs == [0, 1] and [epoch for epoch, _ in diary.validated] == [0, 1]
    assert len(diary.rows(1)) == 32
    for part in ("state_dict", "optimizer_states", "loops"):
        tiny.assert_same(whole[part], end[part], part)


def test_validations_by_batches_go_on(tmp_path):
    """Every second batch; 24 of 96 images are done in batches of 8, nine of 8 or 18 of 4 follow."""
    for batch_size, expected in ((8, [4, 6, 8, 10, 12]), (4, [8, 10, 12, 14, 16, 18, 20, 22, 24])):
        train(tmp_path, tiny.build(GAN), ImagesData(96, 8), 3, val_check_interval=2)
        diary, _ = train(
            tmp_path, tiny.build(GAN), ImagesData(96, batch_size), None, tmp_path / "last.ckpt", val_check_interval=2
        )
        assert [batch for _, batch in diary.validated] == expected


def test_more_epochs_stretch_a_schedule(tmp_path):
    train(tmp_path, decaying(), ImagesData(32, 8), max_epochs=2)
    diary, _ = train(tmp_path, decaying(), ImagesData(32, 16), None, tmp_path / "last.ckpt", max_epochs=4)
    assert progress_of(diary.factors) == pytest.approx([0.5, 0.625, 0.75, 0.875], abs=1e-6)


def test_validation_cannot_be_rarer_than_an_epoch(tmp_path):
    """As a run of larger batches has it."""
    with pytest.raises(UserError, match="val_check_interval is 9, but an epoch has 4 batches.*check_val_every_n_epoch"):
        tiny.trainer(tmp_path, val_check_interval=9).fit(tiny.build(VAE), datamodule=ImagesData(32, 8))


# A checkpoint between the batches of a step


@pytest.mark.parametrize("after", [4, 5, 6])
@pytest.mark.parametrize("model_class", AUTOENCODERS)
def test_gradients_that_wait_are_not_lost(model_class, after, tmp_path):
    """Steps are of batches 1 to 3, 4 and 5, and so on in each epoch of five; bit for bit as the unbroken run."""
    settings = {"max_epochs": 2, "accumulate_grad_batches": 3}
    _, whole = train(tmp_path / "whole", decaying(model_class), ImagesData(40, 8), **settings)
    _, broken = train(tmp_path, decaying(model_class), ImagesData(40, 8), after, **settings)
    assert ("begun_step" in broken) == (after != 5)
    _, end = train(tmp_path, decaying(model_class), ImagesData(40, 8), None, tmp_path / "last.ckpt", **settings)
    tiny.assert_same(whole, end)


@pytest.mark.parametrize("after", [3, 4, 6, 8])
def test_a_step_of_a_number_of_batches_that_the_epoch_says_goes_on(after, tmp_path):
    """Two batches make a step in the first epoch of five, and three in the second."""

    def scheduled():
        return {"max_epochs": 2, "callbacks": [GradientAccumulationScheduler({0: 2, 1: 3})]}

    _, whole = train(tmp_path / "whole", decaying(), ImagesData(40, 8), **scheduled())
    _, broken = train(tmp_path, decaying(), ImagesData(40, 8), after, **scheduled())
    assert ("begun_step" in broken) == (after in (3, 6))
    _, end = train(tmp_path, decaying(), ImagesData(40, 8), None, tmp_path / "last.ckpt", **scheduled())
    tiny.assert_same(whole, end)


@pytest.mark.parametrize("change", [{"batch_size": 4}, {"accumulate_grad_batches": 2}])
def test_a_step_that_cannot_go_on_begins_anew(change, tmp_path):
    """After batch 5 of 12, the second of a step of three."""
    settings = {"accumulate_grad_batches": 3}
    first, _ = train(tmp_path, decaying(), ImagesData(96, 8), 5, **settings)
    data = ImagesData(96, change.pop("batch_size", 8))
    second, end = train(tmp_path, decaying(), data, None, tmp_path / "last.ckpt", **settings | change)
    kept, begun = first.rows(0)[:24], first.rows(0)[24:]
    assert sorted(kept + second.rows(0)) == list(range(96)) and second.rows(0)[:16] == begun
    assert end["state_dict"]["_extra_state"]["images_seen"] == 96
    assert progress_of(second.factors)[0] == pytest.approx(24 / 96, abs=1e-6)


# Checkpoints of before images were counted


def strip(checkpoint, model_class):
    """What e45cbfd would have written: a GAN's count of images seen, and nothing else of it."""
    state, data = checkpoint["state_dict"], checkpoint["ImagesData"]
    checkpoint["ImagesData"] = {"order_seed": data["order_seed"]}
    if issubclass(model_class, AdversarialModule):
        state["_extra_state"].pop("images_in_epoch")
    else:
        state.pop("_extra_state")
    return checkpoint


def old_run(folder, model_class, batch_size, stop, config=True):
    """The diary and the checkpoint of a run of two epochs of 48 images that was broken off."""
    data = ImagesData(48, batch_size, tiny.kind_for(model_class))
    diary, checkpoint = train(folder / "checkpoints", built(model_class), data, stop, max_epochs=2)
    path = folder / "checkpoints" / "last.ckpt"
    torch.save(strip(checkpoint, model_class), path)
    if config:
        settings = {"data": {"class_path": "ImagesData", "init_args": {"batch_size": batch_size}}}
        (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    return diary, path


def built(model_class):
    return tiny.build(model_class) if issubclass(model_class, AdversarialModule) else decaying(model_class)


@pytest.mark.parametrize(
    ("model_class", "stop"),
    [(AutoEncoder, 6), *((model, 9) for model in (*AUTOENCODERS, GAN, StarGAN, CycleGAN, ProGAN))],
)
def test_an_old_checkpoint_is_read_by_the_batches_of_its_run(model_class, stop, tmp_path):
    """In the middle of the second epoch, where 24 images are left, or at its beginning; batches of 8, then of 16."""
    first, path = old_run(tmp_path, model_class, 8, stop)
    data = ImagesData(48, 16, tiny.kind_for(model_class))
    second, end = train(tmp_path / "new", built(model_class), data, None, path, max_epochs=2)
    rows = first.rows(1) + second.rows(1)
    assert len(rows) == len(set(rows)) == (48 if stop == 6 else 40)
    assert end["state_dict"]["_extra_state"]["images_seen"] == 48 + len(rows)
    if not issubclass(model_class, AdversarialModule):
        assert progress_of(second.factors)[0] == pytest.approx(stop * 8 / 96, abs=1e-6)


def test_an_old_checkpoint_without_its_settings(tmp_path):
    """Its batches are taken to have had the present size."""
    first, path = old_run(tmp_path, AutoEncoder, 8, 9, config=False)
    second, end = train(tmp_path / "new", decaying(), ImagesData(48, 8), None, path, max_epochs=2)
    assert sorted(first.rows(1) + second.rows(1)) == list(range(48))
    assert end["state_dict"]["_extra_state"]["images_seen"] == 96
    assert progress_of(first.factors + second.factors) == pytest.approx([step / 12 for step in range(12)], abs=1e-6)


@pytest.mark.parametrize("model_class", [VAE, GAN])
def test_an_old_checkpoint_fits_strictly_wherever_it_is_loaded(model_class, tmp_path):
    _, path = old_run(tmp_path, model_class, 8, 9)
    old = torch.load(path, weights_only=True)["state_dict"]
    keys = tiny.build(model_class).load_state_dict(old, strict=True)
    assert not keys.missing_keys and not keys.unexpected_keys
    loaded = model_class.load_from_checkpoint(path, weights_only=True, strict=True)
    assert all(
        torch.equal(loaded.state_dict()[name], value) for name, value in old.items() if isinstance(value, Tensor)
    )


@pytest.mark.parametrize(("saved", "loaded"), [(AutoEncoder, GAN), (GAN, ProGAN), (ProGAN, AutoEncoder)])
def test_the_counts_of_another_model(saved, loaded):
    """The message is that of the weights."""
    with pytest.raises(UserError, match=f"the checkpoint does not fit this {loaded.__name__}"):
        tiny.build(loaded).load_state_dict(tiny.build(saved).state_dict())


@pytest.mark.parametrize("steps", [6, 7])
def test_the_steps_of_an_old_progan_are_replaced_by_its_batches(steps, tmp_path):
    """It had counted those on the pieces of its batches: 40 of them, when four batches were loaded."""
    _, path = old_run(tmp_path, ProGAN, 16, 4)
    checkpoint = torch.load(path, weights_only=True)
    counted = checkpoint["loops"]["fit_loop"]["epoch_loop.manual_optimization.optim_step_progress"]
    for part in counted.values():
        part |= {"ready": 40, "completed": 40}
    torch.save(checkpoint | {"global_step": 40}, path)
    data = ImagesData(48, 16, tiny.kind_for(ProGAN))
    diary, end = train(tmp_path / "new", tiny.build(ProGAN), data, None, path, max_epochs=-1, max_steps=steps)
    assert len(diary.batches) == steps - 4 and end["global_step"] == steps


# Two processes


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_another_number_of_processes(before, after, tmp_path):
    """The order of all rows together is the same, so that its rest can be shared by any number of processes."""

    class Loop(SimpleNamespace):
        restarting = True

    def data_of(rank, world, state, ready):
        counts = {"ready": ready, "started": ready, "processed": ready, "completed": ready}
        progress = SimpleNamespace(current=SimpleNamespace(**counts), total=SimpleNamespace(**counts))
        loop = Loop(
            epoch_loop=SimpleNamespace(batch_progress=progress),
            epoch_progress=SimpleNamespace(current=SimpleNamespace(ready=3, processed=2)),
        )
        data = ImagesData(100, 4)
        data.trainer = SimpleNamespace(
            world_size=world, global_rank=rank, fit_loop=loop, limit_train_batches=1.0, lightning_module=None,
            val_check_interval=1.0, check_val_every_n_epoch=1, limit_val_batches=1.0,
        )  # fmt: skip
        data.load_state_dict(state)
        return data, [row for _, rows in data.train_dataloader().sampler for row in rows]

    seed = {"order_seed": 5}
    states, seen = [], []
    for rank in range(before):
        data, rows = data_of(rank, before, seed, ready=0)
        seen += rows[: 5 * 4]  # five batches
        data.trainer.fit_loop.epoch_loop.batch_progress.current.ready += 5
        states.append(data.state_dict())
    assert all(state == states[0] for state in states)
    rest = [data_of(rank, after, states[0], ready=5)[1] for rank in range(after)]
    assert len({len(rows) for rows in rest}) == 1
    rows = seen + sum(rest, [])
    assert len(rows) == len(set(rows)) > 100 - 4 * after


def test_batches_that_wait_are_loaded_again_by_another_number_of_processes(tmp_path):
    model = tiny.build(DCGAN)
    model._trainer = SimpleNamespace(
        world_size=2, global_rank=0, state=SimpleNamespace(fn="validate"), datamodule=None, ckpt_path=None
    )
    one = [field.tolist() for field in tiny.batch(4)]
    waiting = [[[torch.tensor(field) for field in one]] * 2]  # of one process, two batches of four
    model.on_load_checkpoint({"state_dict": {"_extra_state": {"images_in_epoch": 0}}, "waiting": waiting})
    assert model.begin_step_anew(same_batches=False) == 8 and not model._waiting
