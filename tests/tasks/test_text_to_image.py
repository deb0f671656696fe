"""Text to image: predictions, grids and held-out values of a Text2Image."""

import pytest
import torch

from lit_gen.data.alphabet import encode
from lit_gen.data.batches import CaptionedImages
from lit_gen.data.mismatches import contradictions
from lit_gen.models import Text2Image
from tests.models import tiny
from tests.models.test_text2image import batch


def test_prediction_needs_captions_only():
    model = tiny.build(Text2Image).eval()
    data = CaptionedImages(None, batch(3).caption, None, None)
    assert model.predict_step(data, 0).shape == (3, 1, 16, 16)


@pytest.mark.parametrize("channels, rows", [(1, 8), (3, 2), (3, 1)])
def test_grids(channels, rows):
    model = tiny.build(Text2Image, channels)
    captions = torch.stack([encode(words, 60) for words in ["a smiling woman", "a man"] * 4])[:rows]
    data = batch(rows, channels)._replace(caption=captions)
    grids = tiny.grids(model, data, 16)
    again = tiny.grids(model, data, 16)
    assert set(grids) == {"captions", "interpolation"}
    for name, grid in grids.items():
        assert grid.shape[0] == channels and torch.equal(grid, again[name])
    with torch.no_grad():
        first = model.paint(
            model.sample_latent(16 // rows, torch.Generator().manual_seed(0))[:1], model.embed(captions[:1])
        )
    places = grids["captions"].unfold(1, 16, 1).unfold(2, 16, 1).permute(1, 2, 0, 3, 4)[:40, :4]
    assert (places - first[0]).abs().amax((2, 3, 4)).min() < 1e-5, "the first sentence's first picture is at the left"


def test_validation_logs_all_pairs(tmp_path, monkeypatch):
    """The last batch, of one image, has no pair: it counted as one in which no sentence finds its image."""
    model = tiny.build(Text2Image)
    data, sizes = tiny.NoiseData(kind=CaptionedImages), (8, 8, 1)
    batches = [batch(size, seed=number) for number, size in enumerate(sizes)]
    monkeypatch.setattr(data, "_batches", lambda: tiny.Batches(batches))
    (metrics,) = tiny.trainer(tmp_path).validate(model, datamodule=data, verbose=False)
    assert set(metrics) == {
        f"val/{name}" for name in ("d_logit_right", "d_logit_wrong", "d_logit_fake", "d_embedding", "retrieval")
    }
    assert 0 <= metrics["val/retrieval"] <= 1
    hits = []
    model.eval()
    for size, one in zip(sizes, batches, strict=True):
        pairs, scores = contradictions(one) > 0, model.scores(one)
        hits += [scores[i, j] < scores[i, i] for i in range(size) for j in range(size) if pairs[i, j]]
    assert metrics["val/retrieval"] == pytest.approx(sum(hits).item() / len(hits), abs=1e-5)


def test_validation_without_a_wrong_image(tmp_path, monkeypatch):
    data = tiny.NoiseData(kind=CaptionedImages)
    monkeypatch.setattr(data, "_batches", lambda: tiny.Batches([batch(1)]))
    (metrics,) = tiny.trainer(tmp_path).validate(tiny.build(Text2Image), datamodule=data, verbose=False)
    assert metrics["val/retrieval"] == metrics["val/d_logit_wrong"] == 0
