"""Figures against the true images of rendered faces, of models whose changes are known."""

import numpy as np
import pytest
import torch

from lit_gen.data import CelebA, CelebACaptions
from lit_gen.data.alphabet import decode
from lit_gen.metrics.true_images import TrueEdits, TrueEffects
from lit_gen.synthetic import VERSION
from tests.metrics.pictures import in_two_processes

NAMES = ["Black_Hair", "Brown_Hair", "Smiling", "Eyeglasses"]


def rendered_data(kind, root):
    """The faces of the fixture, as the rendered data that they are."""
    folder = root / "rendered" / f"celeba-120-v{VERSION}"
    if not folder.is_dir():
        folder.mkdir(parents=True)
        (folder / "celeba").symlink_to(root / "celeba")
    data = kind(root=root, image_size=32, synthetic=True, synthetic_count=120, attributes=NAMES)
    data.prepare_data()
    data.setup("test")
    draw, known = data.counterfactuals, {}

    def remembered(split, places, wanted):
        """To save time, each true image is drawn once."""
        rows = []
        for place, of_row in zip(places, wanted, strict=True):
            rows.append([])
            for values in of_row:
                key = split, place, str(values)
                if key not in known:
                    ((known[key],),) = draw(split, [place], [[values]])
                rows[-1].append(known[key])
        return rows

    data.counterfactuals = remembered
    return data


@pytest.fixture(scope="module")
def data(celeba_root):
    return rendered_data(CelebA, celeba_root)


class Editor:
    """A model that looks up which true image is asked of it."""

    device = torch.device("cpu")

    def __init__(self, data, edit):
        self.data, self.edit = data, edit
        dataset = data.datasets["test"]
        batch = data.to_floats(dataset.__getitems__(list(range(len(dataset)))), flip=False)
        self.known = batch.image

    def labels(self, batch):
        return batch.attributes

    def translate(self, image, target):
        return torch.stack([self.edit(self, one, values) for one, values in zip(image, target, strict=True)])

    def truth(self, image, target):
        place = (self.known - image).abs().amax((1, 2, 3)).argmin().item()
        wanted = dict(zip(NAMES, map(bool, target.tolist()), strict=True))
        ((array,),) = self.data.counterfactuals("test", [place], [[wanted]])
        return torch.from_numpy(array.copy()).permute(2, 0, 1) / 127.5 - 1


def edits(data, edit, samples=1_000):
    evaluator = TrueEdits(NAMES, samples)
    evaluator.prepare(Editor(data, edit), data)
    evaluator.update(None, None)  # the batches make no difference
    return evaluator.compute()


def test_the_true_images_have_no_error(data):
    figures = edits(data, Editor.truth)
    for name in NAMES:
        assert figures[f"inside_error_{name}"].value == figures[f"outside_error_{name}"].value == 0
        assert figures[f"inside_error_ratio_{name}"].value == 0 and figures[f"identity_kept_{name}"].value == 1
        assert figures[f"inside_identity_error_{name}"].value > 0
        assert 5 <= figures[f"inside_error_{name}"].samples <= 12
    assert figures["inside_error"].value == 0 and figures["identity_kept"].value == 1


def test_a_model_that_changes_nothing(data):
    """Its error is that of the identity, worked out here without the evaluator."""
    figures = edits(data, lambda model, image, target: image)
    for name in NAMES:
        assert figures[f"inside_error_{name}"] == figures[f"inside_identity_error_{name}"]
        assert figures[f"inside_error_ratio_{name}"].value == 1 and figures[f"outside_error_{name}"].value == 0
    dataset, errors = data.datasets["test"], []
    for place in range(len(dataset)):
        image = np.asarray(dataset.arrays[0][dataset.rows[place]])
        smiles = dataset.arrays[1][dataset.rows[place], NAMES.index("Smiling")] > 0.5
        ((truth,),) = data.counterfactuals("test", [place], [[{"Smiling": not smiles}]])
        differs = (truth != image).any(-1)
        errors.append((np.abs(truth[differs].astype(float) - image[differs]) / 127.5).mean(-1))
    expected = np.concatenate(errors).mean()
    assert figures["inside_error_Smiling"].value == pytest.approx(expected, rel=1e-5)


def test_a_model_that_forgets_the_face(data):
    """It gives the true image of the first face, whatever it is shown."""
    figures = edits(data, first_face)
    for name in NAMES:
        assert figures[f"identity_kept_{name}"].value <= 0.2
        assert figures[f"outside_error_{name}"].value > 0.1


def test_what_is_outside_counts_outside_only(data):
    def brighter(model, image, target):
        truth = model.truth(image, target)
        return torch.where((truth != image).any(0), truth, truth + 0.5)

    figures = edits(data, brighter)
    assert figures["inside_error"].value == 0 and figures["outside_error"].value == pytest.approx(0.5, rel=1e-5)


def first_face(model, image, target):
    return model.known[0]


def edits_of_a_process(rank, root, samples):
    return edits(rendered_data(CelebA, root), first_face, samples)


@pytest.mark.parametrize("samples", [1_000, 1])
def test_two_processes_agree_with_one(samples, data, celeba_root):
    """Of one image, the second process has none."""
    alone = edits(data, first_face, samples)
    for together in in_two_processes(edits_of_a_process, celeba_root, samples):
        assert together.keys() == alone.keys() and len(alone) > 1
        for name, figure in together.items():
            assert figure.samples == alone[name].samples
            assert figure.value == pytest.approx(alone[name].value, rel=1e-6)


def test_real_faces_have_no_truth(celeba_root):
    real = CelebA(celeba_root, 32, attributes=NAMES, download=False)
    real.prepare_data()
    real.setup("test")
    assert real.counterfactuals("test", [0], [[{}]]) is None
    assert edits(real, lambda model, image, target: image) == {}


def test_a_file_that_the_renderer_did_not_write_has_no_truth(data, monkeypatch):
    images, attributes, partition = data.arrays
    monkeypatch.setitem(data.__dict__, "arrays", (images, 1 - attributes, partition))
    assert CelebA.counterfactuals(data, "test", [0], [[{}]]) == [[None]]


def test_the_same_attributes_are_the_same_picture(data):
    """The true image is made as the file was: in every bit."""
    dataset = data.datasets["test"]
    for place, row in enumerate(dataset.rows[:4]):
        ((same,),) = data.counterfactuals("test", [place], [[{}]])
        np.testing.assert_array_equal(same, dataset.arrays[0][row])


class Painter:
    """A model that draws the true image of the face that stands at the sentence's place, or something else."""

    device = torch.device("cpu")

    def __init__(self, data, draw):
        self.data, self.draw_one, self.asked = data, draw, []

    def draw(self, captions, generator):
        sentences = [decode(one) for one in captions]
        self.asked.append((sentences, generator.initial_seed()))
        return torch.stack([self.draw_one(self, place, one) for place, one in enumerate(sentences)])


@pytest.fixture(scope="module")
def captioned(celeba_root):
    return rendered_data(CelebACaptions, celeba_root)


def effects(data, draw, names):
    painter, evaluator = Painter(data, draw), TrueEffects(names, (3, 32, 32), 1_000)
    evaluator.prepare(painter, data)
    evaluator.update(None, None)
    return evaluator.compute(), painter.asked


def truth_of(data, rows, name, place, value):
    ((array,),) = data.counterfactuals("test", [rows[place]], [[{name: value}]])
    return torch.from_numpy(array.copy()).permute(2, 0, 1) / 127.5 - 1


def test_effects_of_sentences(captioned):
    count = len(captioned.datasets["test"])
    both = captioned.counterfactuals(
        "test", list(range(count)), [[{"Eyeglasses": False}, {"Eyeglasses": True}]] * count
    )
    rows = [row for row, pair in enumerate(both) if all(image is not None for image in pair)]

    def glasses(sentence):
        return not any(word in sentence.lower() for word in ("without", "no ", "not ", "n't "))

    def true(model, place, sentence):
        return truth_of(captioned, rows, "Eyeglasses", place, glasses(sentence))

    figures, asked = effects(captioned, true, ["Eyeglasses"])
    assert figures["effect_error_ratio_Eyeglasses"] == (pytest.approx(0, abs=1e-5), len(rows), "")
    assert figures["effect_outside_Eyeglasses"].value == pytest.approx(0, abs=1e-6)
    (without, seed), (with_them, same_seed) = asked
    assert seed == same_seed and not any(map(glasses, without)) and all(map(glasses, with_them))
    deaf, _ = effects(captioned, lambda model, place, sentence: torch.zeros(3, 32, 32), ["Eyeglasses"])
    assert deaf["effect_error_ratio"].value == 1 and deaf["effect_outside"].value == 0


def test_sentences_state_the_opposite(captioned):
    found = captioned.opposite_captions("test", [0, 1, 2], "Smiling")
    assert found.shape == (3, 2, captioned.caption_length)
    for without, with_it in found:
        assert decode(torch.from_numpy(without)) != decode(torch.from_numpy(with_it))
