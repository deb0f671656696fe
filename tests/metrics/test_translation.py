"""CycleGAN's figures, of models whose translations are known."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from lit_gen.data import Horse2Zebra
from lit_gen.metrics import processes, translation
from lit_gen.metrics.translation import DIRECTIONS, DomainTranslations

SIZE = 32


@pytest.fixture
def data(horse2zebra_root, tmp_path):
    """Four test pictures of A and three of B."""
    shutil.copytree(horse2zebra_root / "horse2zebra", tmp_path / "horse2zebra")
    for part in ("testB", "truthB", "maskB"):
        sorted((tmp_path / "horse2zebra" / part).iterdir())[-1].unlink()
    data = Horse2Zebra(tmp_path, image_size=SIZE, load_size=SIZE)
    data.prepare_data()
    data.setup("test")
    return data


def pictures(data, part):
    """(N, 3, H, W) in [-1, 1], read without the data module."""
    files = sorted((data.folder / part).iterdir())
    side = Image.open(files[0]).size[0]
    assert side % SIZE == 0  # so that decoding is the mean over blocks
    arrays = [np.asarray(Image.open(file).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BOX)) for file in files]
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2) / 127.5 - 1


class Memory:
    """A judge that knows some pictures of B, and takes all others for A."""

    def __init__(self, known):
        self.known = known

    def decide(self, image):
        return torch.stack([(self.known - one).abs().amax((1, 2, 3)).min() < 1e-5 for one in image]).long()


class Model:
    device = torch.device("cpu")

    def __init__(self, translate):
        self.translate = translate

    def __call__(self, images, direction):
        return self.translate(images, direction)


def evaluate(translate, data, known, monkeypatch, samples=1_000):
    monkeypatch.setattr(translation, "classifier_for", lambda *words: Memory(known))
    evaluator = DomainTranslations(samples)
    evaluator.prepare(Model(translate), data)
    evaluator.update(None, None)  # the batches make no difference
    return evaluator


def nothing(images, direction):
    return images


def test_a_model_that_changes_nothing(data, monkeypatch):
    """The judge knows two of three zebras, and takes a horse for one."""
    known = torch.cat([pictures(data, "testB")[:2], pictures(data, "testA")[3:]])
    figures = evaluate(nothing, data, known, monkeypatch).compute()
    assert figures["a_to_b_taken_for_target"] == (1 / 4, 4, "judge (71.4 % on real)")
    assert figures["b_to_a_taken_for_target"] == (pytest.approx(1 / 3), 3, "judge (71.4 % on real)")
    assert figures["judge_accuracy"] == (pytest.approx(5 / 7), 7, "")
    for direction in DIRECTIONS:
        assert figures[f"{direction}_change_outside"].value == 0
        assert figures[f"{direction}_error_ratio"].value == 1
        assert figures[f"{direction}_error"].value == figures[f"{direction}_identity_error"].value > 0.005


def test_true_counterparts(data, monkeypatch):
    known = torch.cat([pictures(data, "truthA"), pictures(data, "testB")])

    def truth(images, direction):
        name = DIRECTIONS[direction][0]
        originals, truths = pictures(data, f"test{name}"), pictures(data, f"truth{name}")
        return torch.stack([truths[(originals - one).abs().sum((1, 2, 3)).argmin()] for one in images])

    figures = evaluate(truth, data, known, monkeypatch).compute()
    for direction in DIRECTIONS:
        assert figures[f"{direction}_error"].value < 1e-5
        assert figures[f"{direction}_taken_for_target"].value == 1
        assert figures[f"{direction}_change_outside"].value < 0.02  # JPEG
    identity = (pictures(data, "testB") - pictures(data, "truthB")).unfold(2, 4, 4).unfold(3, 4, 4).mean((4, 5))
    assert figures["b_to_a_identity_error"].value == pytest.approx(identity.abs().mean().item(), rel=1e-4)


def test_change_outside_by_hand(data, monkeypatch):
    """0.3 is added to what is left of the middle, of one channel, so that the mean over the channels is 0.1."""

    def translate(images, direction):
        changed = images.clone()
        changed[:, 0, :, : SIZE // 2] += 0.3
        return changed

    figures = evaluate(translate, data, torch.zeros(1, 3, SIZE, SIZE), monkeypatch).compute()
    outside = (pictures(data, "maskA") == -1).all(1)  # (N, H, W)
    share = outside[..., : SIZE // 2].sum() / outside.sum()
    assert figures["a_to_b_change_outside"].value == pytest.approx(0.1 * share.item(), rel=1e-4)


def test_without_counterparts(data, monkeypatch):
    for name in "AB":
        shutil.rmtree(data.folder / f"truth{name}")
    figures = evaluate(nothing, data, torch.zeros(1, 3, SIZE, SIZE), monkeypatch).compute()
    assert set(figures) == {"judge_accuracy", "a_to_b_taken_for_target", "b_to_a_taken_for_target"}


def test_a_limit_to_the_number_of_pictures(data, monkeypatch):
    figures = evaluate(nothing, data, torch.zeros(1, 3, SIZE, SIZE), monkeypatch, samples=2).compute()
    assert [figures[f"{direction}_taken_for_target"].samples for direction in DIRECTIONS] == [2, 2]


def test_two_processes_share_the_pictures(data, monkeypatch):
    """Their states, which are sums, add up to those of one."""
    known = pictures(data, "testB")
    alone = evaluate(nothing, data, known, monkeypatch).metric_state
    parts = []
    for rank in range(2):
        monkeypatch.setattr(processes, "place", lambda rank=rank: (rank, 2))
        parts.append(evaluate(nothing, data, known, monkeypatch).metric_state)
    assert [part["pictures"].tolist() for part in parts] == [[2, 2], [2, 1]]
    for name, value in alone.items():
        torch.testing.assert_close(parts[0][name] + parts[1][name], value)
