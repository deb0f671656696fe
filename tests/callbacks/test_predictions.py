from lit_gen.callbacks.predictions import PredictionWriter
from lit_gen.models import GAN
from tests.models import tiny


def test_predictions_are_numbered_on(tmp_path):
    writer = PredictionWriter(tmp_path / "predictions")
    trainer = tiny.trainer(tmp_path, callbacks=[writer])
    trainer.predict(tiny.build(GAN), datamodule=tiny.NoiseData(2), return_predictions=False)
    names = sorted(path.name for path in (tmp_path / "predictions").iterdir())
    assert names == [f"0-{number:06d}.png" for number in range(16)]
