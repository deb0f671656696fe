import numpy as np
import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.data import Horse2Zebra
from lit_gen.data.horse2zebra import UnpairedDataset
from lit_gen.data.order import EvaluationOrder, SeededFetches, TrainingOrder, loader_options
from lit_gen.models import GAN, AutoEncoder, CycleGAN
from tests.models import tiny


def order_from(epoch: int, first_batch: int, first_row: int | None = None, /, **settings: int) -> TrainingOrder:
    """An order that begins with a batch of an epoch."""
    order = TrainingOrder(**settings)
    order.epoch, order.first_batch = epoch, first_batch
    order.first_row = first_batch * order.rows_a_batch if first_row is None else first_row
    return order


def rows(order: TrainingOrder) -> list[list[int]]:
    return [batch for _, batch in order]


def test_each_epoch_has_an_order_of_its_own_that_comes_again():
    order, again = TrainingOrder(100, 8, seed=3), TrainingOrder(100, 8, seed=3)
    orders = []
    for epoch in range(3):
        order.set_epoch(epoch)
        again.set_epoch(epoch)
        torch.rand(epoch)  # what is drawn elsewhere makes no difference
        assert list(order) == list(again)
        orders.append(sum(rows(order), []))
        assert len(orders[-1]) == len(set(orders[-1])) == 12 * 8 and set(orders[-1]) <= set(range(100))
    assert orders[0] != orders[1] != orders[2] != sorted(orders[2])
    assert list(TrainingOrder(100, 8, seed=4)) != list(TrainingOrder(100, 8, seed=3))


def test_an_epoch_begins_in_its_middle_once():
    whole = order_from(5, 0, count=20, batch_size=4, seed=0)
    part = order_from(5, 3, count=20, batch_size=4, seed=0)
    assert len(part) == len(whole) == 5
    part.set_epoch(5)  # Lightning says so again when the epoch begins
    assert list(part) == list(whole)[3:]
    part.set_epoch(6)
    whole.set_epoch(6)
    assert list(part) == list(whole)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 9, 40])
@pytest.mark.parametrize("done", [0, 1, 16, 97, 100])
def test_an_epoch_goes_on_at_any_row(done, batch_size, processes):
    """With what is left of the one order of all rows, in batches of any size on any number of processes."""
    whole = order_from(2, 0, count=100, batch_size=4, seed=1)
    expected = sum(rows(order_from(2, 0, count=100, batch_size=1, seed=1)), [])
    assert sum(rows(whole), []) == expected
    parts = [
        list(order_from(2, 0, done, count=100, batch_size=batch_size, seed=1, processes=processes, process=process))
        for process in range(processes)
    ]
    together = [sorted(sum((part[batch][1] for part in parts), [])) for batch in range(len(parts[0]))]
    step = batch_size * processes
    assert together == [sorted(expected[begin : begin + step]) for begin in range(done, 101 - step, step)]
    seeds = [seed for part in parts for seed, _ in part]
    others = [seed for seed, _ in whole][: done // 4]  # of the batches before
    assert len({*seeds, *others}) == len(seeds) + len(others), "nothing is drawn twice"


@pytest.mark.parametrize("first_batch", [0, 1])
def test_processes_share_an_epoch(first_batch):
    settings = {"count": 23, "batch_size": 3, "seed": 0, "processes": 2}
    parts = [list(order_from(1, first_batch, **settings, process=process)) for process in (0, 1)]
    assert [len(part) for part in parts] == [3 - first_batch] * 2
    shared = [row for part in parts for _, batch in part for row in batch]
    assert len(shared) == len(set(shared)) == 2 * 3 * (3 - first_batch)
    assert len({seed for part in parts for seed, _ in part}) == 2 * (3 - first_batch)  # each draws for itself


@pytest.mark.parametrize("processes", [1, 2, 3, 8])
@pytest.mark.parametrize("batch_size", [1, 2, 5, 64])
def test_evaluation_batches_hold_each_row_once_and_are_equally_many(batch_size, processes):
    for count in [0, *range(processes, 60), 1000]:
        parts = [list(EvaluationOrder(count, batch_size, processes, process)) for process in range(processes)]
        in_turn = [batch for together in zip(*parts, strict=True) for _, batch in together]  # equally many on each
        assert sum(in_turn, []) == list(range(count))
        sizes = {len(batch) for batch in in_turn}
        assert 0 not in sizes and (not sizes or max(sizes) - min(sizes) <= 1)
        assert max(sizes, default=0) <= max(batch_size, 2)
        assert all(len(EvaluationOrder(count, batch_size, processes, 0)) == len(part) for part in parts)


def fetched(workers: int, first_batch: int = 0) -> list[torch.Tensor]:
    images = np.tile(np.arange(50, dtype=np.uint8)[:, None, None, None], (1, 4, 4, 3))
    dataset = SeededFetches(UnpairedDataset(images, images, fixed=False))
    order = order_from(0, first_batch, count=50, batch_size=8, seed=0)
    loader = DataLoader(dataset, batch_size=None, sampler=order, num_workers=workers, **loader_options())
    return [torch.cat([image[:, 0, 0, 0] for image in batch]) for batch in loader]


def test_what_is_drawn_to_fetch_a_batch_depends_on_the_batch_alone():
    """The partners in unpaired data are drawn by whichever process fetches them."""
    torch.manual_seed(0)
    alone, before = fetched(0), torch.get_rng_state()
    assert any(not torch.equal(batch[:8], batch[8:]) for batch in alone) and len(alone) == 6
    for other, first in ((fetched(2), 0), (fetched(0, 4), 4), (fetched(2, 4), 4)):
        assert all(torch.equal(*pair) for pair in zip(other, alone[first:], strict=True))
    assert torch.equal(torch.get_rng_state(), before)


class Death(Callback):
    def __init__(self, after: int) -> None:
        self.after = after

    def on_train_batch_start(self, trainer, *_):
        if trainer.fit_loop.total_batch_idx == self.after:
            raise ConnectionError


def train(root, folder, workers, checkpoint=None, **settings):
    torch.manual_seed(0 if checkpoint is None else 7)
    data = Horse2Zebra(root=root, download=False, image_size=16, load_size=20, batch_size=3, num_workers=workers)
    data.prepare_data()
    model = CycleGAN(data.spec, **tiny.SMALL["CycleGAN"])
    callbacks = [*settings.pop("callbacks", []), RunCheckpoints(folder, every_n_batches=1)]
    trainer = tiny.trainer(folder, callbacks=callbacks, enable_checkpointing=True, **{"max_epochs": 3} | settings)
    trainer.fit(model, datamodule=data, ckpt_path=checkpoint)
    found = torch.load(folder / "last.ckpt", weights_only=True)
    found["datamodule_hyper_parameters"].pop("num_workers")
    return found


@pytest.mark.parametrize(
    ("after", "settings"),
    [(4, {}), (5, {}), (3, {"max_epochs": -1, "max_steps": 9}), (5, {"val_check_interval": 2})],
)
def test_unpaired_data_go_on_in_mid_epoch(after, settings, horse2zebra_root, tmp_path):
    """Random partners, crops and flips, with another number of workers; dead after so many batches, three an epoch."""
    whole = train(horse2zebra_root, tmp_path / "whole", 0, **settings)
    with pytest.raises(ConnectionError):
        train(horse2zebra_root, tmp_path / "broken", 2, callbacks=[Death(after)], **settings)
    resumed = train(horse2zebra_root, tmp_path / "resumed", 2, tmp_path / "broken" / "last.ckpt", **settings)
    assert whole["epoch"] == 2
    tiny.assert_same(whole, resumed)


class Validations(Callback):
    def __init__(self) -> None:
        self.seen = []

    def on_validation_end(self, trainer, model):
        self.seen.append((trainer.fit_loop.total_batch_idx, trainer.callback_metrics["val/d_logit_fake"].item()))


@pytest.mark.parametrize("after", [2, 5, 7])
@pytest.mark.parametrize("interval", [2, 1.0])
def test_validation_makes_no_difference_and_is_not_left_out(after, interval, tmp_path):
    """A GAN draws noise for it. Five batches an epoch."""

    def run(name, *callbacks, checkpoint=None, **settings):
        torch.manual_seed(0)
        saver, settings = (
            RunCheckpoints(tmp_path / name, every_n_batches=2),
            {"val_check_interval": interval} | settings,
        )
        callbacks, settings = [*callbacks, saver], {"max_epochs": 2, "num_sanity_val_steps": 0} | settings
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True, **settings)
        trainer.fit(tiny.build(GAN), datamodule=tiny.NoiseData(5), ckpt_path=checkpoint)
        return torch.load(tmp_path / name / "last.ckpt", weights_only=True)

    all_of_them, some, others = Validations(), Validations(), Validations()
    whole = run("whole", all_of_them)
    with pytest.raises(ConnectionError):
        run("broken", some, Death(after))
    tiny.assert_same(whole, run("resumed", others, checkpoint=tmp_path / "broken" / "last.ckpt"))
    assert len(all_of_them.seen) == (4 if interval == 2 else 2)
    # Lightning may repeat the last one; it must come out the same.
    assert sorted({*some.seen, *others.seen}) == all_of_them.seen
    tiny.assert_same(whole["state_dict"], run("without", limit_val_batches=0)["state_dict"])


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_run_that_ends_by_max_steps_can_be_made_longer(steps, horse2zebra_root, tmp_path):
    settings = {"max_epochs": -1, "limit_val_batches": 0}

    def run(folder, steps, checkpoint=None):
        return train(horse2zebra_root, tmp_path / folder, 0, checkpoint, max_steps=steps, **settings)

    class Constant(CycleGAN):
        def learning_rate_factor(self):  # the schedule would end with the shorter run
            return 1.0

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.data.test_order.CycleGAN", Constant)
        whole = run("whole", 7)
        run("part", steps)
        tiny.assert_same(whole, run("rest", 7, tmp_path / "part" / "last.ckpt"))


def test_overfitting_takes_the_first_rows(horse2zebra_root, tmp_path):
    class Watch(Callback):
        rows = []

        def on_train_start(self, trainer, model):
            self.rows.extend(trainer.train_dataloader.sampler)

    assert train(horse2zebra_root, tmp_path, 0, callbacks=[Watch()], overfit_batches=1)["epoch"] == 2
    assert Watch.rows == list(range(11))


class Stop(Callback):
    """Asks for the end of the training after so many batches."""

    def __init__(self, after):
        self.after = after

    def on_train_batch_end(self, trainer, *_):
        trainer.should_stop = trainer.fit_loop.total_batch_idx + 1 == self.after


def by_max_steps(after):
    return {"max_epochs": -1, "max_steps": after}


def by_should_stop(after):
    return {"max_epochs": 3, "callbacks": [Stop(after)]}


@pytest.mark.parametrize("saving", [{}, {"save_last": True}, {"save_on_train_epoch_end": True}])
@pytest.mark.parametrize("ended", [by_max_steps, by_should_stop])
@pytest.mark.parametrize("after", [1, 5, 7, 10])
def test_an_epoch_cut_short_goes_on_from_lightnings_own_checkpoints(after, ended, saving, tmp_path):
    """Lightning counts it as done. Five batches an epoch."""

    def run(name, checkpoint=None, **settings):
        torch.manual_seed(0 if checkpoint is None else 99)
        own = ModelCheckpoint(tmp_path / name, **saving)
        callbacks = [*settings.pop("callbacks", ()), own]
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, enable_checkpointing=True, **settings)
        trainer.fit(tiny.build(AutoEncoder), datamodule=tiny.NoiseData(5), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / f"{name}.ckpt")
        return torch.load(tmp_path / f"{name}.ckpt", weights_only=True)

    whole = run("whole", max_epochs=3)
    run("short", **ended(after))
    for path in (tmp_path / "short.ckpt", *(tmp_path / "short").iterdir()):
        end = run("rest", path, max_epochs=3)
        assert end["state_dict"]["_extra_state"]["images_seen"] == 3 * 5 * 8
        tiny.assert_same(whole["state_dict"], end["state_dict"])
        tiny.assert_same(whole["optimizer_states"], end["optimizer_states"])


def test_data_do_not_carry_one_training_into_the_next(tmp_path):
    """A loop over seeds may build the data once; a test before it brings a checkpoint's seed."""

    def run(data, seed):
        model = tiny.build(AutoEncoder)
        torch.manual_seed(seed)
        trainer = tiny.trainer(tmp_path, limit_val_batches=0)
        trainer.fit(model, datamodule=data)
        trainer.save_checkpoint(tmp_path / f"{seed}.ckpt")
        return data.order_seed, model.state_dict()

    alone = run(tiny.NoiseData(5), 5)
    data = tiny.NoiseData(5)
    assert run(data, 1)[0] != alone[0]
    tiny.assert_same(alone, run(data, 5))
    data = tiny.NoiseData(5)
    tiny.trainer(tmp_path).test(tiny.build(AutoEncoder), data, tmp_path / "1.ckpt", verbose=False)
    tiny.assert_same(alone, run(data, 5))
