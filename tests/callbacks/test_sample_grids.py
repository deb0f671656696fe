import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.callbacks.pictures import PredictionWriter, SampleSheets, save_picture
from lit_gen.models import GAN
from lit_gen.models.base import tile
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


def test_tile_puts_images_in_rows():
    images = torch.arange(5.0).view(5, 1, 1, 1).expand(5, 1, 2, 3) / 10
    sheet = tile(images, columns=3, gap=1)
    assert sheet.shape == (1, 2 * 3 + 1, 3 * 4 + 1)
    assert sheet[0, 1:3, 1:4].unique().tolist() == [0.0]
    assert sheet[0, 4:6, 5:8].unique().tolist() == pytest.approx([0.4])
    assert sheet[0, 0].unique().tolist() == [1.0] and sheet[0, 4:6, 9:12].unique().tolist() == [1.0]


def train(tmp_path, **settings):
    class Data(tiny.NoiseData):
        def preview_batch(self, count):
            return tiny.batch(count)

    torch.manual_seed(0)
    model = tiny.build(GAN)
    sheets = [SampleSheets(tmp_path / "samples", **settings)] if settings else []
    torch.manual_seed(1)
    tiny.trainer(tmp_path, max_epochs=2, callbacks=sheets).fit(model, datamodule=Data(5))
    return model


def test_sheets_come_every_so_many_batches_and_at_the_ends_of_epochs(tmp_path):
    train(tmp_path, every_n_batches=3, count=4)
    names = sorted(path.name for path in (tmp_path / "samples").iterdir())
    assert names == [f"samples-{batches:07d}.png" for batches in (3, 5, 6, 9, 10)]


def test_sheets_do_not_change_the_training(tmp_path):
    with_sheets, without = train(tmp_path, every_n_batches=1, count=4), train(tmp_path)
    for name, value in with_sheets.state_dict().items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, without.state_dict()[name]), name


def test_predictions_are_numbered_on(tmp_path):
    writer = PredictionWriter(tmp_path / "predictions")
    trainer = tiny.trainer(tmp_path, callbacks=[writer])
    trainer.predict(tiny.build(GAN), datamodule=tiny.NoiseData(2), return_predictions=False)
    names = sorted(path.name for path in (tmp_path / "predictions").iterdir())
    assert names == [f"0-{number:06d}.png" for number in range(16)]
