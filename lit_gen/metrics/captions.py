"""Whether pictures made of sentences show what these say."""

from typing import Any

import torch
from lightning import LightningDataModule
from torch import Tensor

from lit_gen.data.batches import CaptionedImages
from lit_gen.metrics.classifiers import attribute_question, classifier_for, quoted
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.processes import first_rows, place, share, turn
from lit_gen.metrics.samples import own_noise

PIECE = 100  # sentences drawn at once


class StatedAttributes(Evaluator):
    """What a classifier sees of the attributes that test captions state in the pictures made of them.

    For the test split, and for combinations of attributes that were never trained on (`held_out`) where the data have
    some: `<split>_stated` is the share of all stated attributes that are as stated, `<split>_all_stated` that of the
    pictures in which all are, `<split>_judge_stated` the former for the captions' own pictures. `judge_accuracy` is how
    often the classifier is right about any attribute of the test pictures.

    Args:
        samples: how many captions of a split are drawn at most.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        for state in ("answers", "right_answers"):
            self.add_state(state, torch.tensor(0), "sum")
        for split in ("test", "held_out"):
            # Pictures, those that show all that is stated, stated attributes, those shown, those seen in real pictures.
            self.add_state(split, torch.zeros(5, dtype=torch.int64), "sum")

    def prepare(self, model: Any, data: LightningDataModule) -> None:
        self.classifier = classifier_for(attribute_question(data, data.spec["attributes"]), data, model.device)
        self.remaining = share(self.samples)
        held_out = data.datasets.get("held_out", ())
        number, processes = place()
        rows = range(number, min(self.samples, len(held_out)), processes)
        for start in range(0, len(rows), PIECE):
            batch = held_out.__getitems__(list(rows[start : start + PIECE]))
            batch = type(batch)(*(field.to(model.device) for field in batch))
            with own_noise(turn(start), model.device):
                self.held_out += self.look(model, data.to_floats(batch, flip=False))

    def update(self, model: Any, batch: CaptionedImages) -> None:
        batch = first_rows(batch, self.remaining)
        self.remaining -= len(batch.image)
        if len(batch.image):
            with own_noise(turn(self.update_count), model.device):
                self.test += self.look(model, batch)
            self.answers += batch.attributes.numel()
            self.right_answers += (self.classifier.decide(batch.image) == batch.attributes).sum()

    def look(self, model: Any, batch: CaptionedImages) -> Tensor:
        """What a split's state counts, for these captions: (5,) int64."""
        stated = batch.stated > 0
        shown, real = (
            self.classifier.decide(images) == batch.attributes for images in (model.draw(batch.caption), batch.image)
        )
        counts = len(stated), (shown | ~stated).all(1).sum(), stated.sum(), shown[stated].sum(), real[stated].sum()
        return torch.stack([torch.as_tensor(count, device=stated.device) for count in counts])

    def compute(self) -> dict[str, Figure]:
        figures = {"judge_accuracy": Figure(float(self.right_answers / self.answers), int(self.test[0]))}
        for split in ("test", "held_out"):
            pictures, all_stated, stated, shown, real = getattr(self, split).tolist()
            if stated:
                network = quoted(real / stated)
                figures[f"{split}_stated"] = Figure(shown / stated, pictures, network)
                figures[f"{split}_all_stated"] = Figure(all_stated / pictures, pictures, network)
                figures[f"{split}_judge_stated"] = Figure(real / stated, pictures)
        return figures


class CaptionMatching(Evaluator):
    """How well pictures and the captions that they were made of find each other by the model's own two encoders.

    `own_matching` is the share of pairs of a made picture and a caption that contradicts the picture's own (one says
    smiling, the other not) which score below the picture with its own caption; `own_matching_real` that share for the
    captions' own pictures. Pairs are taken within a batch. No other classifier has a part in it: a generator can be
    good at pleasing encoders that were trained beside it.

    Args:
        samples: how many captions are drawn at most.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        for state in ("pictures", "pairs", "made", "real"):
            self.add_state(state, torch.tensor(0), "sum")

    def prepare(self, model: Any, data: LightningDataModule) -> None:
        self.remaining = share(self.samples)

    def update(self, model: Any, batch: CaptionedImages) -> None:
        batch = first_rows(batch, self.remaining)
        self.remaining -= len(batch.image)
        if not len(batch.image):
            return
        pairs = contradictions(batch)
        self.pictures += len(pairs)
        self.pairs += pairs.sum()
        with own_noise(turn(self.update_count), model.device):
            made = model.draw(batch.caption)
        for state, images in (("made", made), ("real", batch.image)):
            scores = model.scores(batch._replace(image=images))  # (sentences, images)
            setattr(self, state, getattr(self, state) + (scores < scores.diagonal())[pairs].sum())

    def compute(self) -> dict[str, Figure]:
        if not self.pairs:
            return {}
        return {
            name: Figure(float(count / self.pairs), int(self.pictures), "the model's own encoders")
            for name, count in (("own_matching", self.made), ("own_matching_real", self.real))
        }


def contradictions(batch: CaptionedImages) -> Tensor:
    """(B, B) bool: whether two sentences state the opposite of each other in some attribute."""
    stated = batch.stated > 0
    differ = batch.attributes[:, None] != batch.attributes[None]  # (B, B, A)
    return (differ & stated[:, None] & stated[None]).any(2)
