"""AAE: whose gradient each term is, the labels that D sees, and priors that are matched."""

import colorsys

import pytest
import torch
from lightning import Callback, seed_everything

from lit_gen.data import MNIST
from lit_gen.errors import UserError
from lit_gen.models import AAE
from lit_gen.tasks.reconstruction import scatter
from tests.models import tiny

OWNER = {
    "reconstruction": "coders",
    "encoder_adversarial": "encoder",
    "d_real": "discriminator",
    "d_fake": "discriminator",
}


def build(**settings):
    torch.manual_seed(0)
    small = {"latent_dim": 2, "encoder": tiny.TINY_ENCODER, "discriminator_sizes": [16]}
    return AAE(tiny.spec(), **small | settings)


@pytest.mark.parametrize("term", OWNER)
def test_each_term_moves_its_own_network_only(term):
    model = build()
    model.losses(tiny.batch())[term].backward()
    moved = {
        name.split(".")[0] for name, value in model.named_parameters() if value.grad is not None and value.grad.any()
    }
    expected = {"coders": {"encoder", "decoder"}, "encoder": {"encoder"}, "discriminator": {"discriminator"}}
    assert moved == expected[OWNER[term]]


def test_one_backward_pass_gives_the_gradients_of_separate_ones():
    model = build(input_dropout=0.0)

    def gradients(*names):
        model.zero_grad()
        torch.manual_seed(3)
        terms = model.losses(tiny.batch())
        sum(terms[name] for name in names).backward()
        return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}

    together = gradients(*OWNER)
    for names in (("reconstruction", "encoder_adversarial"), ("d_real", "d_fake")):
        for name, value in gradients(*names).items():
            torch.testing.assert_close(value, together[name])


def test_the_reconstruction_is_a_sum_over_pixels_by_hand():
    model = build(input_dropout=0.0)
    image = tiny.batch().image
    error = ((model.reconstruct(image) + 1) / 2 - (image + 1) / 2).square()
    expected = sum(float(one.sum()) for one in error) / len(image)
    assert float(model.losses(tiny.batch())["reconstruction"]) == pytest.approx(expected, rel=1e-5)


def test_input_dropout_only_in_training():
    model = build(input_dropout=0.5)
    image = tiny.batch().image
    assert not torch.equal(model.encode(image), model.encode(image))
    model.eval()
    assert torch.equal(model.encode(image), model.encode(image))


def test_gaussian_posterior_is_random_in_training_and_its_mean_otherwise():
    model = build(posterior="gaussian", input_dropout=0.0)
    image = tiny.batch(1).image
    draws = torch.stack([model.encode(image) for _ in range(4_000)])
    mean, log_variance = model.encoder(image).chunk(2, dim=1)
    torch.testing.assert_close(draws.mean(0), mean, rtol=0, atol=0.1)
    torch.testing.assert_close(draws.std(0), (0.5 * log_variance).exp(), rtol=0.1, atol=0)
    model.eval()
    assert torch.equal(model.encode(image), mean)


def test_the_unlabelled_are_the_eleventh_class():
    model = build(prior="gaussian_mixture", conditional=True)
    code = torch.randn(4, 2)
    given = model.discriminator_input(code, torch.tensor([0, 3, 9, -1]))
    assert given.shape == (4, 13) and torch.equal(given[:, :2], code)
    assert given[:, 2:].argmax(1).tolist() == [0, 3, 9, 10] and torch.equal(given[:, 2:].sum(1), torch.ones(4))


def test_d_sees_as_many_unlabelled_draws_of_the_prior_as_codes(monkeypatch):
    """Codes carry the labels of their images, draws of the prior those of their components."""
    model = build(prior="gaussian_mixture", conditional=True)
    seen = []
    monkeypatch.setattr(
        model,
        "discriminator_input",
        lambda code, labels: seen.append(labels) or AAE.discriminator_input(model, code, labels),
    )
    batch = tiny.batch()
    label = torch.tensor([4, -1, 0, -1, -1, 7, 9, 2])
    components = torch.tensor([1, 1, 2, 3, 5, 8, 0, 9])
    monkeypatch.setattr(model, "sample_prior", lambda count: (torch.randn(count, 2), components))
    model.losses(batch._replace(label=label))
    fooled, real, fake = seen
    assert torch.equal(fooled, label) and torch.equal(fake, label)
    assert real.tolist() == [1, -1, 2, -1, -1, 8, 0, 9]


def data_with_labels(root, **settings):
    return MNIST(root=root, image_size=16, val_size=100, batch_size=50, download=False, **settings)


class Watch(Callback):
    """Notes the label of each image shown in training, by the image."""

    def __init__(self):
        self.epochs = []

    def on_train_epoch_start(self, *_):
        self.epochs.append({})

    def on_train_batch_start(self, trainer, model, batch, batch_idx):
        for image, label in zip(batch.image, batch.label.tolist(), strict=True):
            self.epochs[-1][tuple(image.flatten().tolist())] = label


def test_labelled_fraction_sets_the_number_of_labels_of_the_data(mnist_root, tmp_path, caplog):
    """The same images keep their labels in each epoch, where the former rule drew others for each batch."""
    watch, data = Watch(), data_with_labels(mnist_root)
    model = build(prior="gaussian_mixture", conditional=True, labelled_fraction=0.1)
    tiny.trainer(tmp_path, max_epochs=2, callbacks=[watch]).fit(model, datamodule=data)
    assert data.labelled == 30 and "means --data.labelled=30" in caplog.text
    first, second = watch.epochs
    assert len(first) == 300 and first == second
    assert sum(label >= 0 for label in first.values()) == 30


def test_a_resumed_run_keeps_its_labels(mnist_root, tmp_path):
    watch = Watch()
    for epochs, checkpoint, seed in ((1, None, 0), (2, tmp_path / "last.ckpt", 999)):
        seed_everything(seed, verbose=False)
        trainer = tiny.trainer(tmp_path, max_epochs=epochs, callbacks=[watch])
        model = build(prior="gaussian_mixture", conditional=True)
        trainer.fit(model, datamodule=data_with_labels(mnist_root, labelled=40), ckpt_path=checkpoint)
        trainer.save_checkpoint(tmp_path / "last.ckpt")
    first, second = watch.epochs
    assert first == second and sum(label >= 0 for label in first.values()) == 40


@pytest.mark.parametrize("settings", [{"labelled": 7}, None], ids=["contradiction", "other data"])
def test_labelled_fraction_that_the_data_cannot_take(settings, mnist_root, tmp_path):
    model = build(prior="gaussian_mixture", conditional=True, labelled_fraction=0.1)
    data = tiny.NoiseData() if settings is None else data_with_labels(mnist_root, **settings)
    words = "needs MNIST.*not NoiseData" if settings is None else "would keep 30 labels, --data.labelled 7"
    with pytest.raises(UserError, match=words):
        tiny.trainer(tmp_path).fit(model, datamodule=data)


def test_without_labels_d_sees_codes_only():
    assert build().discriminator[0].in_features == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"prior": "swiss_roll", "latent_dim": 8}, "set latent_dim to 2"),
        ({"prior": "gaussian", "conditional": True}, "gaussian has 1"),
        ({"prior_scale": 0.0}, "positive"),
        ({"labelled_fraction": 1.5}, "from 0 to 1"),
    ],
)
def test_settings_that_cannot_work(settings, words):
    with pytest.raises(UserError, match=words):
        build(**settings)


def test_two_learning_rates():
    optimizer = build(learning_rate=0.1, discriminator_learning_rate=0.2).configure_optimizers()
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.2]


def test_codes_come_to_follow_the_prior():
    """On structured noise: the mean and spread of the codes go to the prior's, from far away."""
    model = build(
        prior="gaussian", prior_scale=2.0, learning_rate=2e-3, discriminator_learning_rate=2e-3, input_dropout=0.0
    )
    optimizer = model.configure_optimizers()
    image = tiny.batch(256).image
    data = tiny.batch(256)
    with torch.no_grad():
        model.encoder[-1].bias.fill_(6.0)
    for _ in range(600):
        loss = sum(model.losses(data).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    codes = model.encode(image)
    assert codes.mean(0).abs().max() < 1.0
    assert 1.0 < float(codes.std(0).min()) and float(codes.std(0).max()) < 3.0


def test_codes_have_colours_of_any_number_of_classes_and_black_without_a_label():
    """The last of twelve classes has the hue 330 degrees; -1 is no class."""
    picture = scatter(torch.zeros(0, 2), torch.tensor([[0.5, 0.0], [-0.5, 0.0]]), torch.tensor([11, -1]), 1.0, 41)
    shown = (picture[:, 20, [30, 10]] + 1) / 2
    assert torch.allclose(shown, torch.tensor([colorsys.hsv_to_rgb(11 / 12, 0.9, 0.8), (0.0, 0.0, 0.0)]).T)
