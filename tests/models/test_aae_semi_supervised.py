"""Semi-supervised AAE: whose gradient each term is, what each network sees, and which labels are known."""

import math

import pytest
import torch
from lightning import Callback, seed_everything
from torch.nn import functional

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.data import MNIST
from lit_gen.data.batches import LabelledImages
from lit_gen.errors import UserError
from lit_gen.layers.coders import MLPEncoder, network
from lit_gen.metrics.evaluator import Figure
from lit_gen.models import SemiSupervisedAAE
from tests.models import tiny

OWNER = {
    "reconstruction": {"encoder", "decoder"},
    "encoder_label": {"encoder"},
    "encoder_style": {"encoder"},
    "classification": {"encoder"},
    "d_real_label": {"label_discriminator"},
    "d_fake_label": {"label_discriminator"},
    "d_real_style": {"style_discriminator"},
    "d_fake_style": {"style_discriminator"},
}


def build(**settings):
    return tiny.build(SemiSupervisedAAE, **settings)


def seen_by(part):
    """What a network is called with from now on."""
    seen = []
    part.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().clone()))
    return seen


@pytest.mark.parametrize("term", OWNER)
def test_each_term_moves_its_own_networks_only(term):
    model = build()
    terms = model.losses(tiny.batch())
    assert terms.keys() == OWNER.keys()
    terms[term].backward()
    moved = {name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    assert moved == OWNER[term]


@torch.no_grad()
def test_a_code_of_an_image_is_what_its_reconstruction_is_decoded_from():
    """`predict --interpolate` goes from code to code: class probabilities, then the style."""
    model, images = build().eval(), tiny.images(3)
    code = model.code(images)
    torch.testing.assert_close(code[:, : model.num_classes].sum(1), torch.ones(3))
    assert torch.equal(model(code), model.reconstruct(images))


def test_the_networks_of_section_5():
    """784-1000-1000 with heads of 10 classes and 10 numbers; their mirror; discriminators 10-1000-1000-1."""
    model = SemiSupervisedAAE(tiny.spec(size=28))
    sizes = {}
    for name in ("encoder", "decoder", "label_discriminator", "style_discriminator"):
        layers = [part for part in getattr(model, name).modules() if isinstance(part, torch.nn.Linear)]
        sizes[name] = [layers[0].in_features, *(layer.out_features for layer in layers)]
    assert sizes["encoder"] == [784, 1000, 1000, 20] and sizes["decoder"] == [20, 1000, 1000, 784]
    assert sizes["label_discriminator"] == sizes["style_discriminator"] == [10, 1000, 1000, 1]


def test_the_decoder_sees_probabilities_and_the_error_is_halved():
    model = build(input_noise=0.0)
    seen, batch = seen_by(model.decoder), tiny.batch()
    terms = model.losses(batch)
    outputs = model.encoder((batch.image + 1) / 2)
    torch.testing.assert_close(seen[0], torch.cat([outputs[:, :10].softmax(1), outputs[:, 10:]], 1).detach())
    assert seen[0][:, :10].max() < 0.9, "an argmax would be 1"
    pixels = torch.sigmoid(model.decoder(seen[0]))
    expected = (
        sum(float((one - x).square().sum()) / 2 for one, x in zip(pixels, (batch.image + 1) / 2, strict=True)) / 8
    )
    assert float(terms["reconstruction"]) == pytest.approx(expected, rel=1e-5)


def test_what_the_discriminators_see():
    """Against softmax and style of the images: one-hot vectors and normal numbers."""
    model, batch = build(input_noise=0.0), tiny.batch(500)
    labels, styles = seen_by(model.label_discriminator), seen_by(model.style_discriminator)
    model.losses(batch)
    code = model.encode(batch.image).detach()
    for (fooled, real, fake), part in ((labels, code[:, :10]), (styles, code[:, 10:])):
        assert torch.equal(fooled, fake)
        torch.testing.assert_close(fake, part)
        assert not torch.equal(real, fake)
    assert labels[1].sum(1).tolist() == [1] * 500 and set(labels[1].unique().tolist()) == {0.0, 1.0}
    assert labels[1].sum(0).min() > 25  # 50 of each class expected
    assert styles[1].mean().item() == pytest.approx(0, abs=0.1) and styles[1].std().item() == pytest.approx(1, abs=0.1)


def test_noise_on_the_encoder_s_input_in_training_only():
    model = build()
    seen, image = seen_by(model.encoder), tiny.batch(200).image
    model.classify(image)
    model.eval()
    model.classify(image)
    noise = seen[0] - (image + 1) / 2
    assert noise.std().item() == pytest.approx(0.3, abs=0.005) and noise.mean().item() == pytest.approx(0, abs=0.01)
    torch.testing.assert_close(seen[1], (image + 1) / 2)


def test_labels_that_are_hidden_have_no_part_in_the_cross_entropy():
    model = build(input_noise=0.0, classification_weight=2.0)
    batch = tiny.batch(4)._replace(label=torch.tensor([3, -1, 7, -1]))
    logs = model.classify(batch.image).log_softmax(1)
    expected = -2 * (logs[0, 3] + logs[2, 7]) / 2
    assert float(model.losses(batch)["classification"]) == pytest.approx(float(expected), rel=1e-5)
    nothing = model.losses(batch._replace(label=torch.full((4,), -1)))["classification"]
    assert float(nothing) == 0


def data(root, **settings):
    return MNIST(root=root, val_size=100, batch_size=50, download=False, **settings)


class Watch(Callback):
    """The labels of each batch, and the minibatches of labelled images by their images."""

    def __init__(self, model, monkeypatch):
        self.labels, self.drawn = [], []
        draw = model.labelled_minibatch

        def watched(batch):
            given = draw(batch)
            if model.training:
                pixels, labels = given.image.flatten(1).tolist(), given.label.tolist()
                self.drawn.append([(tuple(x), label) for x, label in zip(pixels, labels, strict=True)])
            return given

        monkeypatch.setattr(model, "labelled_minibatch", watched)

    def on_train_batch_start(self, trainer, model, batch, index):
        self.labels += batch.label.tolist()


def test_each_step_draws_from_the_images_whose_labels_are_known(mnist_root, tmp_path, monkeypatch):
    seed_everything(0, verbose=False)
    model, module = build(size=28), data(mnist_root, labelled=40)
    watch = Watch(model, monkeypatch)
    tiny.trainer(tmp_path, callbacks=[watch], max_epochs=3, limit_val_batches=0).fit(model, datamodule=module)
    assert watch.labels.count(-1) == 3 * 260
    assert sorted(label for label in watch.labels if label >= 0) == [c for c in range(10) for _ in range(12)]
    stored = module.labelled_images()
    pixels = (stored.image.flatten(1) / 127.5 - 1).tolist()
    known = {(tuple(x), label) for x, label in zip(pixels, stored.label.tolist(), strict=True)}
    assert len(known) == 40 and [sum(c == label for _, c in known) for label in range(10)] == [4] * 10
    assert {example for drawn in watch.drawn for example in drawn} == known
    assert [len(drawn) for drawn in watch.drawn] == [50] * 18
    assert len({tuple(label for _, label in drawn) for drawn in watch.drawn}) == 18, "another minibatch in each step"
    assert model._labelled is None, "a model that has been trained can be copied and moved"


def test_a_training_with_few_labels_and_one_that_is_resumed(mnist_root, tmp_path):
    """It is far better than chance on test images; it ends alike; and `test` counts the errors."""
    small = {"encoder": network(MLPEncoder, hidden_sizes=[100]), "learning_rate": 2e-3, "discriminator_sizes": [50]}

    def run(name, epochs, checkpoint=None):
        seed_everything(0 if checkpoint is None else 999, verbose=False)
        model = build(size=28, **small)
        callbacks = [RunCheckpoints(tmp_path / name, every_n_batches=0), Evaluation(samples=10)]
        trainer = tiny.trainer(
            tmp_path, max_epochs=epochs, callbacks=callbacks, enable_checkpointing=True, check_val_every_n_epoch=100
        )
        trainer.fit(model, datamodule=data(mnist_root, labelled=40), ckpt_path=checkpoint)
        return model, trainer

    model, trainer = run("whole", 12)
    run("broken", 5)
    run("resumed", 12, tmp_path / "broken" / "last.ckpt")
    whole, resumed = (torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "resumed"))
    tiny.assert_same(whole["state_dict"], resumed["state_dict"])

    module = data(mnist_root, labelled=40)
    (metrics,) = trainer.test(model, datamodule=module, verbose=False)
    batch = module.to_floats(module.datasets["test"].__getitems__(list(range(100))), flip=False)
    with torch.no_grad():
        chosen = model.eval().classify(batch.image).argmax(1)
    wrong = sum(int(given) != int(label) for given, label in zip(chosen, batch.label, strict=True))
    assert metrics["test/classification_error"] == pytest.approx(wrong / 100)
    assert wrong < 45, "90 would be chance"


def test_without_any_label_there_is_no_cross_entropy(mnist_root, tmp_path):
    model = build(size=28)
    tiny.trainer(tmp_path, limit_val_batches=0).fit(model, datamodule=data(mnist_root, labelled=0))
    logged = {name for name in model.last_terms if name.startswith("train/loss")}
    assert logged == {f"train/loss_{name}" for name in OWNER if name != "classification"}


def test_the_error_of_a_constant_answer():
    """Class 3 for all; three of eight images are of it, one label is unknown."""
    model = build()
    model.classify = lambda image: functional.one_hot(torch.full((len(image),), 3), 10).float()
    (error,) = model.task.validation_evaluators(model, None)
    batch = tiny.batch()._replace(label=torch.full((8,), -1))
    error.update(model, batch)
    assert error.figures() == {}, "without any label there is no error"
    error.update(model, batch._replace(label=torch.tensor([3, 3, 0, 1, 3, 9, 9, -1])))
    entropy = 7 * math.log(math.e + 9) - 3  # the logits are 1 for class 3 and 0 for nine others
    assert error.figures()["classification_error"] == Figure(4 / 7, 7)
    assert error.figures()["classification"].value == pytest.approx(model.classification_weight * entropy / 7)
    terms = model.task.held_out_terms(model, batch, "test")
    assert math.isfinite(float(terms["loss"])) and "classification" not in terms


def test_analogies_have_a_style_per_row_and_a_class_per_column(monkeypatch):
    model, given = build(), []
    monkeypatch.setattr(model, "decode", lambda code: given.append(code) or torch.zeros(len(code), 1, 16, 16))
    grids = tiny.grids(model, tiny.batch(), 20)
    codes = next(code for code in given if code[:, :10].sum() == 20 and torch.equal(code[:10, :10], torch.eye(10)))
    assert torch.equal(codes[10:, :10], torch.eye(10))
    assert torch.equal(codes[:10, 10:], codes[:1, 10:].expand(10, -1)) and not torch.equal(codes[0], codes[10])
    assert grids["analogies"].shape == (1, 2 * 18 + 2, 10 * 18 + 2)


def test_data_without_classes_are_refused():
    with pytest.raises(UserError, match="needs data with labels"):
        SemiSupervisedAAE(tiny.spec() | {"num_classes": 0})
    assert SemiSupervisedAAE.task.needs == LabelledImages._fields


def test_the_decoder_makes_reconstructions_of_codes():
    model = build().eval()
    image = tiny.images()
    assert torch.equal(model.decode(model.code(image)), model.reconstruct(image))
