import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Checkpoint
from PIL import Image

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.sample_grids import SampleGrids, save_picture
from lit_gen.models import GAN, AutoEncoder
from lit_gen.tasks.grids import Grid
from tests.models import tiny


def test_pixels_are_written_as_they_are(tmp_path):
    grey = torch.tensor([[[-1.0, 0.0, 1.0], [2.0, -2.0, 0.5]]])
    save_picture(grey, tmp_path / "new" / "grey.png")
    with Image.open(tmp_path / "new" / "grey.png") as picture:
        assert picture.mode == "L"
        assert np.asarray(picture).tolist() == [[0, 128, 255], [255, 0, 191]]
    save_picture(torch.stack([torch.full((2, 2), value) for value in (1.0, -1.0, 0.0)]), tmp_path / "colour.png")
    with Image.open(tmp_path / "colour.png") as picture:
        assert picture.getpixel((0, 0)) == (255, 0, 128)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["colour.png", "new"]


@pytest.mark.parametrize("held_out", [True, False])
def test_titles_say_whether_images_were_trained_on(held_out, tmp_path, monkeypatch):
    titles = []
    monkeypatch.setattr(Grid, "drawn", lambda grid, title: titles.append(title) or torch.zeros(3, 4, 4))

    class Data(tiny.NoiseData):
        previews_training_images = not held_out

        def preview_batch(self, count):
            return tiny.batch(count)

    grids = SampleGrids(tmp_path, count=4)
    tiny.trainer(tmp_path, callbacks=[grids]).fit(tiny.build(AutoEncoder), datamodule=Data(2, batch_size=2))
    (reconstructions,) = {title for title in titles if "reconstructions" in title}
    assert reconstructions.endswith(
        f"images and their reconstructions ({'held-out' if held_out else 'training'} images)"
    )


def train(tmp_path, epochs=2, callbacks=(), **settings):
    class Data(tiny.NoiseData):
        def preview_batch(self, count):
            return tiny.batch(count)

    torch.manual_seed(0)
    model = tiny.build(GAN)
    grids = [SampleGrids(tmp_path / "samples", **settings)] if settings else []
    torch.manual_seed(1)
    settings = {"max_epochs": epochs, "callbacks": [*grids, *callbacks], "enable_checkpointing": bool(callbacks)}
    tiny.trainer(tmp_path, **settings).fit(model, datamodule=Data(5, batch_size=2))
    return model


def written(tmp_path):
    """After how many batches, in order."""
    return [int(path.stem.removeprefix("samples-")) for path in sorted((tmp_path / "samples").iterdir())]


def test_grids_come_every_so_many_batches_and_at_the_ends_of_epochs(tmp_path):
    train(tmp_path, every_n_batches=3, count=4)
    assert written(tmp_path) == [3, 5, 6, 9, 10]


def test_short_epochs_have_grids_at_growing_distances(tmp_path):
    train(tmp_path, epochs=60, every_n_batches=0, count=1)
    epochs = [batches // 5 for batches in written(tmp_path)]
    assert epochs[:8] == [1, 2, 3, 4, 5, 6, 7, 8] and epochs[-1] == 60
    distances = [later - before for before, later in zip(epochs, epochs[1:-1], strict=False)]  # but for the end's
    assert all(distance <= 1 + 0.1 * epoch for epoch, distance in zip(epochs, distances, strict=False))
    assert max(distances) >= 4 and len(epochs) <= 32


def test_long_trainings_keep_the_distance_in_batches(tmp_path):
    train(tmp_path, epochs=60, every_n_batches=10, count=1)
    assert set(range(10, 301, 10)) <= set(written(tmp_path))


def test_grids_do_not_depend_on_where_a_training_was_broken_off(tmp_path):
    """Which epochs have them follows from the images seen, not from what a process has drawn before."""

    def run(name, epochs, checkpoint=None):
        folder = tmp_path / name
        callbacks = [SampleGrids(folder / "samples", every_n_batches=0, count=1), RunCheckpoints(folder)]
        trainer = tiny.trainer(tmp_path, max_epochs=epochs, callbacks=callbacks, enable_checkpointing=True)
        trainer.fit(tiny.build(GAN), datamodule=tiny.NoiseData(3, batch_size=2), ckpt_path=checkpoint)
        return set(written(folder))

    whole, ends = run("whole", 40), set()
    for end in (13, 16, 28, 40):
        run("broken", end, tmp_path / "broken" / "last.ckpt" if ends else None)
        ends.add(3 * end)
    assert set(written(tmp_path / "broken")) == whole | ends
    assert ends - whole == {48, 84}


class EndsLate(Checkpoint):
    """Says that the training is to end, when the epoch's grids are done already."""

    def on_train_epoch_end(self, trainer, model):
        trainer.should_stop = trainer.current_epoch == 24


def test_the_end_has_grids_whatever_ends_the_training(tmp_path):
    model = train(tmp_path, epochs=100, callbacks=[EndsLate()], every_n_batches=0, count=1)
    assert model.images_seen == 250 and written(tmp_path)[-1] == 125
    assert written(tmp_path)[-2] < 120


def test_grids_do_not_change_the_training(tmp_path):
    with_grids, without = train(tmp_path, every_n_batches=1, count=4), train(tmp_path)
    for name, value in with_grids.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, without.state_dict()[name]), name
