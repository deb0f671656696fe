import json
import os
import pickle
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning import LightningModule

from lit_gen.data import CelebA, CelebACaptions, captioned, celeba
from lit_gen.data.alphabet import decode
from lit_gen.data.batches import CaptionedImages
from lit_gen.errors import UserError
from lit_gen.synthetic.faces.names import ATTRIBUTES
from tests.data.test_base import quiet_trainer
from tests.synthetic.reader import complaints, meaning

SIZES = {"image_size": 16, "batch_size": 8}
PROMPTS = ["A smiling man with a hat", "an old lady, Bonjour!", "7"]


def ready(root: Path, **settings) -> CelebACaptions:
    data = CelebACaptions(root=root, download=False, **SIZES | settings)
    data.prepare_data()
    data.setup("fit")
    return data


def rows_of(data: CelebACaptions, split: str) -> CaptionedImages:
    dataset = data.datasets[split]
    return dataset.__getitems__(range(len(dataset)))


def said_in(batch: CaptionedImages, names=ATTRIBUTES) -> list[dict[str, bool]]:
    """What each row's sentence says, read from the sentence."""
    said = [meaning(decode(numbers)) for numbers in batch.caption]
    for row, attributes, stated in zip(said, batch.attributes.bool(), batch.stated.bool(), strict=True):
        expected = {name: bool(value) for name, value, of in zip(names, attributes, stated, strict=True) if of}
        assert row == expected
    return said


# ------------------------------------------------------------------------------------------------------ the sentences


def test_types_at_each_stage(celeba_root):
    data = ready(celeba_root)
    batch = next(iter(data.train_dataloader()))
    assert isinstance(batch, CaptionedImages)
    assert (batch.image.dtype, batch.image.shape) == (torch.uint8, (8, 3, 16, 16))
    moved = data.on_after_batch_transfer(batch, 0)
    assert (moved.image.dtype, moved.image.shape) == (torch.float32, (8, 3, 16, 16))
    assert -1 <= moved.image.min() < 0 < moved.image.max() <= 1
    assert (moved.caption.dtype, moved.caption.shape) == (torch.int64, (8, 201))
    for field in (moved.attributes, moved.stated):
        assert (field.dtype, field.shape) == (torch.float32, (8, 40))
        assert set(field.unique().tolist()) == {0, 1}
    assert data.spec == {"image_shape": [3, 16, 16], "num_classes": 0, "attributes": list(ATTRIBUTES)}
    assert isinstance(data.datasets["train"].arrays[0], np.memmap)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_pictures_and_attributes_are_those_without_captions(celeba_root, split):
    plain = CelebA(root=celeba_root, download=False, **SIZES)
    plain.prepare_data()
    plain.setup("fit")
    expected, found = rows_of(plain, split), rows_of(ready(celeba_root), split)
    assert torch.equal(found.image, expected.image) and torch.equal(found.attributes, expected.attributes)


def test_sentences_agree_with_the_pictures_attributes(celeba_root):
    data = ready(celeba_root)
    said = said_in(rows_of(data, "train")) + said_in(rows_of(data, "val")) + said_in(rows_of(data, "test"))
    assert len(said) == 120 and min(map(len, said)) >= 1
    for batch in data.train_dataloader():
        said_in(batch)
        assert not any(complaints(decode(numbers).capitalize()) for numbers in batch.caption)


def test_sentences_agree_with_the_pictures_when_some_are_skipped(celeba_root, tmp_path):
    shutil.copytree(celeba_root / "celeba", tmp_path / "celeba", copy_function=os.link)
    for row in (0, 50, 100):
        (tmp_path / "celeba" / "img_align_celeba" / f"{row + 1:06d}.jpg").unlink()  # a link to the common tree's
    data, whole = ready(tmp_path, skip_broken=True, held_out=COMBINATIONS), ready(celeba_root, held_out=COMBINATIONS)

    def pictures(module, *splits, without=()):
        batches = {
            row: module.datasets[split].__getitems__([place])
            for split in splits
            for place, row in enumerate(module.datasets[split].rows.tolist())
            if row not in without
        }
        in_order = (batches[row] for row in sorted(batches))
        return CaptionedImages(*(torch.cat(field) for field in zip(*in_order, strict=True)))

    for splits in (("train",), ("val",), ("test",), ("held_out", "for_judges")):  # which of the two depends on the rest
        expected, found = pictures(whole, *splits, without=(0, 50, 100)), pictures(data, *splits)
        assert torch.equal(found.image, expected.image) and torch.equal(found.attributes, expected.attributes)
        said_in(found)


def test_training_varies_the_sentence_and_validation_does_not(celeba_root):
    torch.manual_seed(0)
    data = ready(celeba_root, captions_per_image=3)
    for split in ("val", "test"):
        before = torch.get_rng_state()
        assert torch.equal(rows_of(data, split).caption, rows_of(data, split).caption)
        assert torch.equal(torch.get_rng_state(), before)
    seen = [set() for _ in range(96)]
    for _ in range(30):
        for row, numbers in enumerate(rows_of(data, "train").caption):
            seen[row].add(tuple(numbers.tolist()))
    assert max(map(len, seen)) == 3
    assert np.mean([len(sentences) for sentences in seen]) > 2.9


def test_the_seed_decides_on_the_sentence(celeba_root):
    def drawn() -> torch.Tensor:
        torch.manual_seed(7)
        return rows_of(ready(celeba_root), "train").caption

    assert torch.equal(drawn(), drawn())


def test_sentence_k_stays_the_same_when_there_are_more(celeba_root):
    few, many = (ready(celeba_root, captions_per_image=count).datasets["train"].captions for count in (2, 50))
    rows, which = np.arange(96), np.arange(96) % 2
    for one, other in zip(few.fetch(rows, which), many.fetch(rows, which), strict=True):
        np.testing.assert_array_equal(one, other)


def test_sentences_that_are_not_kept_are_the_same(celeba_root, monkeypatch):
    captions = ready(celeba_root).datasets["train"].captions
    rows, which = np.arange(96), np.arange(96) % 10
    kept = captions.fetch(rows, which)
    for once_more in (captions.fetch(rows, which), pickle.loads(pickle.dumps(captions)).fetch(rows, which)):
        for one, other in zip(kept, once_more, strict=True):
            np.testing.assert_array_equal(one, other)
    assert len(pickle.dumps(captions)) < 20_000
    monkeypatch.setattr(captioned, "MOST_KEPT", 1000)
    for one, other in zip(kept, captions.fetch(rows, which), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    monkeypatch.setattr(captions, "describe", None)  # what is kept is not written anew
    with pytest.raises(TypeError):
        captions.fetch(rows, which)
    monkeypatch.setattr(captioned, "MOST_KEPT", 10**9)
    captions.fetch(rows, which)


def test_a_loading_process_gives_the_same_sentences(celeba_root):
    [batch] = ready(celeba_root, num_workers=1, batch_size=12).val_dataloader()
    expected = rows_of(ready(celeba_root), "val")
    assert all(torch.equal(one, other) for one, other in zip(batch, expected, strict=True))


def test_sentences_speak_of_chosen_attributes_only(celeba_root):
    chosen = ["Young", "Male", "Eyeglasses", "Blurry"]
    data = ready(celeba_root, attributes=chosen)
    assert data.spec["attributes"] == chosen
    batch = rows_of(data, "train")
    assert batch.stated.shape == (96, 4)
    said = Counter(name for row in said_in(batch, chosen) for name in row)
    assert set(said) == {"Young", "Male", "Eyeglasses"}


def test_shorter_captions_are_whole_sentences(celeba_root):
    data = ready(celeba_root, caption_length=80)
    for _ in range(3):
        batch = rows_of(data, "train")
        assert batch.caption.shape == (96, 80)
        said_in(batch)


def test_rendered_faces_are_shared_with_celeba(tmp_path, celeba_root, monkeypatch):
    monkeypatch.setattr(
        celeba, "write_celeba", lambda to, _: shutil.copytree(celeba_root / "celeba", to, dirs_exist_ok=True)
    )
    settings = {"root": tmp_path, "synthetic": True, "synthetic_count": 100} | SIZES
    CelebA(**settings).prepare_data()
    monkeypatch.setattr(celeba, "write_celeba", None)  # a second rendering would fail
    before = sorted(tmp_path.rglob("*"))
    data = CelebACaptions(**settings)
    data.prepare_data()
    data.setup("fit")
    assert sorted(tmp_path.rglob("*")) == before
    assert len(rows_of(data, "train").caption) == 96


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"caption_length": 79}, "caption_length must be at least 80 characters, not 79"),
        ({"captions_per_image": 0}, "captions_per_image must be at least 1, not 0"),
        ({"images_per_prompt": 0}, "images_per_prompt must be at least 1, not 0"),
        ({"prompts": []}, "prompts is an empty list"),
        ({"prompts": ["a man", "  "]}, "a sentence is empty"),
        ({"prompts": ""}, "a sentence is empty"),
        ({"prompts": "日本"}, "no character that can be read"),
        ({"held_out": [["Male", "Blonde_Hair"]]}, "'Blonde_Hair', which is none .* Did you mean Blond_Hair?"),
        ({"held_out": [["Male"]], "attributes": ["Young"]}, "'Male', which is none of the attributes"),
        ({"held_out": [["Male", "not Male"]]}, "List each attribute once"),
        ({"held_out": [[]]}, "at least one"),
        ({"held_out": [["Attractive"]]}, "no words for Attractive"),
        ({"held_out": [["Bald", "Bangs"]]}, "cannot say Bald and Bangs"),
    ],
)
def test_settings_that_cannot_be(settings, complaint):
    with pytest.raises(UserError, match=complaint) as caught:
        CelebACaptions(**settings)
    assert "\n" not in str(caught.value)


# -------------------------------------------------------------------------------------------- combinations held out

COMBINATIONS = [["not Male", "Smiling", "Wavy_Hair"], ["Male", "not Young"]]


def is_held_out(row: torch.Tensor) -> list[bool]:
    male, smiling, wavy, young = (
        bool(row[ATTRIBUTES.index(name)]) for name in ("Male", "Smiling", "Wavy_Hair", "Young")
    )
    return [not male and smiling and wavy, male and not young]


def test_combinations_held_out_are_in_no_training_or_validation_picture(celeba_root):
    plain, data = ready(celeba_root), ready(celeba_root, held_out=COMBINATIONS)
    counts = {split: [any(is_held_out(row)) for row in rows_of(plain, split).attributes] for split in plain.datasets}
    assert 0 < sum(counts["train"]) < 96 and sum(counts["val"]) and sum(counts["test"])
    for split in ("train", "val"):
        batch = rows_of(data, split)
        assert not any(any(is_held_out(row)) for row in batch.attributes)
        assert len(batch.image) == len(counts[split]) - sum(counts[split])
    assert torch.equal(rows_of(data, "test").image, rows_of(plain, "test").image)
    held_out, for_judges, test = (
        set(data.datasets[split].rows.tolist()) for split in ("held_out", "for_judges", "test")
    )
    assert len(held_out | for_judges) == len(held_out) + len(for_judges) == sum(map(sum, counts.values()))
    assert all(any(is_held_out(row)) for row in rows_of(data, "for_judges").attributes)
    assert not for_judges & test and len(for_judges) == -(-sum(counts["train"] + counts["val"]) // 2)
    assert "held_out" not in plain.datasets and "for_judges" not in plain.datasets


def test_captions_of_the_combinations_held_out_speak_of_all_of_them(celeba_root):
    data = ready(celeba_root, held_out=COMBINATIONS)
    batch = rows_of(data, "held_out")
    by_combination = Counter()
    for attributes, said in zip(batch.attributes, said_in(batch), strict=True):
        first, second = is_held_out(attributes)
        assert first or second
        assert {"Male", "Smiling", "Wavy_Hair"} <= said.keys() if first else {"Male", "Young"} <= said.keys()
        by_combination[first] += 1
    assert min(by_combination[True], by_combination[False]) > 5
    # No caption of a training picture says all of a combination.
    for _ in range(5):
        for said in said_in(rows_of(data, "train")):
            assert not {"Male": False, "Smiling": True, "Wavy_Hair": True}.items() <= said.items()
            assert not {"Male": True, "Young": False}.items() <= said.items()


# --------------------------------------------------------------------------------------------------- a user's prompts


class Listener(LightningModule):
    """Keeps what predict is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = []

    def predict_step(self, batch, batch_idx):
        self.seen.append(batch)
        return batch.caption


def test_prompts_need_no_dataset(tmp_path):
    data = CelebACaptions(root=tmp_path / "none", prompts=PROMPTS, images_per_prompt=3, **SIZES)
    listener = Listener()
    quiet_trainer().predict(listener, data)
    assert os.listdir(tmp_path) == []
    assert [len(batch.caption) for batch in listener.seen] == [8, 1]
    batch = CaptionedImages(*(torch.cat(field) for field in zip(*listener.seen, strict=True)))
    expected = [prompt.lower() for prompt in PROMPTS for _ in range(3)]
    assert [decode(numbers) for numbers in batch.caption] == expected
    assert (batch.image.shape, batch.image.dtype) == ((9, 3, 16, 16), torch.float32)
    assert (batch.attributes.shape, batch.stated.shape) == ((9, 40), (9, 40))
    assert not batch.attributes.any() and not batch.stated.any()


def test_one_prompt_and_a_prompt_too_long():
    data = CelebACaptions(prompts="a" * 500, images_per_prompt=1, caption_length=90)
    data.setup("predict")
    [batch] = data.predict_dataloader()
    assert decode(batch.caption[0]) == "a" * 90


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_prompts_are_for_predict(tmp_path, stage):
    data = CelebACaptions(root=tmp_path / "none", prompts=PROMPTS)
    data.prepare_data()
    with pytest.raises(UserError, match=f"prompts are for predict only. Leave them out of {stage}") as caught:
        data.setup(stage)
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == []


def test_without_prompts_predict_draws_the_test_captions(celeba_root):
    data = ready(celeba_root)
    found = torch.cat([batch.caption for batch in data.predict_dataloader()])
    assert torch.equal(found, rows_of(data, "test").caption)


def test_prompts_and_combinations_on_the_command_line():
    from lightning import LightningDataModule
    from lightning.pytorch.cli import LightningArgumentParser

    parser = LightningArgumentParser()
    parser.add_subclass_arguments(LightningDataModule, "data")
    for words, expected in (
        ("--data.prompts=a smiling man, with a beard", "a smiling man, with a beard"),
        (f"--data.prompts={json.dumps(PROMPTS)}", PROMPTS),
    ):
        assert parser.parse_args(["--data=CelebACaptions", words]).data.init_args.prompts == expected
    found = parser.parse_args(["--data=CelebACaptions", "--data.held_out=[[Male, Bald], [not Male, Young]]"])
    assert found.data.init_args.held_out == [["Male", "Bald"], ["not Male", "Young"]]


def test_held_out_combinations_are_missing_among_all_training_images(celeba_root):
    """So that no metric of these data is called fid50k_full."""
    assert ready(celeba_root, held_out=[["Male", "Young"]]).all_training is None
    data = ready(celeba_root)
    assert data.all_training is data.datasets["train"]
