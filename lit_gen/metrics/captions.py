"""Metrics of images generated from captions: whether they show the stated attributes, and match their captions."""

from typing import Any

import torch
from torch import Tensor

from lit_gen.data.batches import CaptionedImages
from lit_gen.data.contract import DataModule
from lit_gen.metrics.classifiers import attribute_question, classifier_for, quoted
from lit_gen.metrics.evaluator import Evaluator, Figure
from lit_gen.metrics.inputs import own_noise
from lit_gen.metrics.processes import Share, as_model_input, own_pieces, turn

PIECE = 100  # captions per batch


class StatedAttributes(Evaluator):
    """Metrics of the stated attributes in images generated from captions, by a classifier.

    They are for two splits: the test captions (`test`), and the held-out combinations of attributes (`held_out`), if
    the data have any.

    - `<split>_stated` (↑): fraction of the stated attributes that the generated images show as stated.
    - `<split>_all_stated` (↑): fraction of the generated images that show all stated attributes as stated.
    - `<split>_judge_stated`: `<split>_stated` of the captions' real images, its ceiling.
    - `judge_accuracy`: the classifier's accuracy over all attributes of real test images.

    Args:
        samples: largest number of captions per split.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        for state in ("answers", "right_answers"):
            self.add_state(state, torch.tensor(0), "sum")
        for split in ("test", "held_out"):
            # Numbers of images, of those that show all stated attributes, of stated attributes, of those shown in
            # generated images, and of those shown in real images.
            self.add_state(split, torch.zeros(5, dtype=torch.int64), "sum")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.classifier = classifier_for(attribute_question(data, data.spec["attributes"]), data, model.device)
        self.share = Share(self.samples)
        held_out: Any = data.datasets.get("held_out", ())
        for start, rows in own_pieces(min(self.samples, len(held_out)), PIECE):
            batch = as_model_input(data, held_out, rows, model.device)
            with own_noise(turn(start), model.device):
                self.held_out += self.look(model, batch)

    def update(self, model: Any, batch: CaptionedImages) -> None:
        batch = self.share.of(batch)
        if len(batch.image):
            with own_noise(turn(self.update_count), model.device):
                self.test += self.look(model, batch)
            self.answers += batch.attributes.numel()
            self.right_answers += (self.classifier.decide(batch.image) == batch.attributes).sum()

    def look(self, model: Any, batch: CaptionedImages) -> Tensor:
        """Return the five counts of a split's state for these captions, (5,) int64."""
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
    """Metrics of how well generated images match their captions, by the model's own two encoders.

    - `own_matching` (↑): of all pairs, within a batch, of a generated image and a caption that contradicts the image's
      own caption (one says smiling, the other not), the fraction that score below the image with its own caption.
    - `own_matching_real` (↑): the same for real images.

    No independent network takes part, and a generator may learn to please encoders that are trained beside it.

    Args:
        samples: largest number of captions.
    """

    def __init__(self, samples: int) -> None:
        super().__init__()
        self.samples = samples
        for state in ("pictures", "pairs", "made", "real"):
            self.add_state(state, torch.tensor(0), "sum")

    def prepare(self, model: Any, data: DataModule) -> None:
        self.share = Share(self.samples)

    def update(self, model: Any, batch: CaptionedImages) -> None:
        batch = self.share.of(batch)
        if not len(batch.image):
            return
        pairs = opposed_pairs(batch)
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


def opposed_pairs(batch: CaptionedImages) -> Tensor:
    """Return whether two captions state the opposite of each other in some attribute, as (B, B) bool.

    Without attributes, it is whether they differ.
    """
    if not batch.attributes.shape[1]:
        return (batch.caption[:, None] != batch.caption[None]).any(2)
    stated = batch.stated > 0
    differ = batch.attributes[:, None] != batch.attributes[None]  # (B, B, A)
    return (differ & stated[:, None] & stated[None]).any(2)
