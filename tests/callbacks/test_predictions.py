from pathlib import Path

import pytest

from lit_gen.callbacks.predictions import JOURNAL, Command, PredictionWriter
from lit_gen.errors import UserError
from lit_gen.models import GAN
from tests.models import tiny


def test_predictions_are_numbered_on(tmp_path):
    writer = PredictionWriter(tmp_path / "predictions")
    trainer = tiny.trainer(tmp_path, callbacks=[writer])
    trainer.predict(tiny.build(GAN), datamodule=tiny.NoiseData(2), return_predictions=False)
    names = sorted(path.name for path in (tmp_path / "predictions").iterdir())
    assert names == [f"0-{number:06d}.png" for number in range(16)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a file that is always full")
def test_a_full_disk_is_told_in_a_line_by_the_list_of_pictures_too(tmp_path):
    writer = PredictionWriter(tmp_path, Command("predict", {}, 0, "last.ckpt"))
    (tmp_path / JOURNAL.replace("*", "0")).symlink_to("/dev/full")
    with pytest.raises(UserError, match=f"cannot write to the folder {tmp_path}: No space left on device"):
        writer.note(0, "000000.png")
