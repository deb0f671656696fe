import numpy as np
import torch
from PIL import Image

from lit_gen.callbacks.sample_grids import SampleGrids, save_picture
from lit_gen.models import GAN
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


def train(tmp_path, **settings):
    class Data(tiny.NoiseData):
        def preview_batch(self, count):
            return tiny.batch(count)

    torch.manual_seed(0)
    model = tiny.build(GAN)
    grids = [SampleGrids(tmp_path / "samples", **settings)] if settings else []
    torch.manual_seed(1)
    tiny.trainer(tmp_path, max_epochs=2, callbacks=grids).fit(model, datamodule=Data(5))
    return model


def test_grids_come_every_so_many_batches_and_at_the_ends_of_epochs(tmp_path):
    train(tmp_path, every_n_batches=3, count=4)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == [f"samples-{batches:07d}.png" for batches in (3, 5, 6, 9, 10)]


def test_grids_do_not_change_the_training(tmp_path):
    with_grids, without = train(tmp_path, every_n_batches=1, count=4), train(tmp_path)
    for name, value in with_grids.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, without.state_dict()[name]), name
