"""Steps on several batches against loops made by hand, and what a `fast_dev_run` tries."""

import copy
import warnings

import pytest
import torch
from torch.nn.functional import softplus
from torch.utils.data import DataLoader

from lit_gen.callbacks.rehearsal import Rehearsal
from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.models import DCGAN, VAE, AutoEncoder, CycleGAN, InfoGAN, ProGAN, PuzzleGAN, StarGAN, Text2Image
from lit_gen.models.adversarial import AdversarialModule
from tests.models import tiny

ADVERSARIAL = [kind for kind in tiny.ALL if issubclass(kind, AdversarialModule) and tiny.takes(kind, "n_critic")]
RATE = 0.05


def fit(model, folder, batches, accumulate=1, **settings):
    model.accumulate_grad_batches = accumulate
    trainer = tiny.trainer(folder, **{"limit_val_batches": 0} | settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(model, train_dataloaders=DataLoader(tiny.Batches(batches), batch_size=None))
    return model


@pytest.mark.parametrize("n_critic", [1, 2])
def test_weights_and_statistics_of_a_loop_by_hand(n_critic, tmp_path):
    """Each of four steps is on three batches; the loop makes each batch's fakes once and keeps their graphs."""
    model = tiny.build(DCGAN, n_critic=n_critic)
    model.make_fakes = lambda batch: model.generator(batch.image.flatten(1)[:, : model.latent_dim])
    tiny.descend(model, RATE)
    batches = [tiny.batch(size, seed=seed) for seed, size in enumerate([4, 8, 2] * 4)]
    d, g = copy.deepcopy(model.discriminator), copy.deepcopy(model.generator)

    def step(network, losses, sizes):
        network.zero_grad()
        sum(loss * size / sum(sizes) for loss, size in zip(losses, sizes, strict=True)).backward()
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= RATE * parameter.grad

    for number in range(4):
        some = [batch.image for batch in batches[3 * number : 3 * number + 3]]
        sizes = [len(images) for images in some]
        fakes = [g(images.flatten(1)[:, : model.latent_dim]) for images in some]
        losses = [
            softplus(-d(real)).mean() + softplus(d(fake.detach())).mean()
            for real, fake in zip(some, fakes, strict=True)
        ]
        step(d, losses, sizes)
        if (number + 1) % n_critic == 0:
            step(g, [softplus(-d(fake)).mean() for fake in fakes], sizes)

    fit(model, tmp_path, batches, accumulate=3)
    for network, expected in ((model.discriminator, d), (model.generator, g)):
        buffers = dict(network.named_buffers())
        assert any(name.endswith("running_mean") for name in buffers)
        for name, value in expected.state_dict().items():
            torch.testing.assert_close(network.state_dict()[name], value, rtol=1e-4, atol=1e-5, msg=name)
        assert buffers.keys() == dict(expected.named_buffers()).keys()


@pytest.mark.parametrize("clip", [None, 0.01])
@pytest.mark.parametrize("sizes", [[4, 4, 4, 4, 4], [4, 8, 2, 6, 4], [4, 4, 4, 4, 3, 1]])
def test_an_autoencoder_weighs_batches_by_their_images(sizes, clip, tmp_path):
    """Two steps on up to three batches each, the second one of fewer, or of uneven ones, against a loop by hand."""
    model = tiny.build(AutoEncoder)
    model.configure_optimizers = lambda: torch.optim.SGD(model.parameters(), RATE)
    batches = [tiny.batch(size, seed=seed) for seed, size in enumerate(sizes)]
    by_hand = copy.deepcopy(model)
    for some in (batches[:3], batches[3:]):
        by_hand.zero_grad()
        by_hand.losses(type(some[0])(*map(torch.cat, zip(*some, strict=True))))["reconstruction"].backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(by_hand.parameters(), clip)
        with torch.no_grad():
            for parameter in by_hand.parameters():
                parameter -= RATE * parameter.grad
    fit(model, tmp_path, batches, accumulate_grad_batches=3, gradient_clip_val=clip)
    for name, value in by_hand.state_dict().items():
        if not name.endswith("_extra_state"):
            torch.testing.assert_close(model.state_dict()[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.parametrize("model_class", [DCGAN, InfoGAN, PuzzleGAN, Text2Image])
def test_batch_norm_sees_each_batch_as_often_as_without(model_class, tmp_path):
    counts = []
    for accumulate in (1, 3):
        model = tiny.build(model_class, n_critic=1)
        batches = [tiny.batch(4, seed=seed, kind=tiny.kind_for(model_class)) for seed in range(6)]
        fit(model, tmp_path, batches, accumulate)
        counts.append({name: int(value) for name, value in model.named_buffers() if name.endswith("batches_tracked")})
    assert counts[0] == counts[1] and min(counts[0].values()) >= 6


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("model_class", ADVERSARIAL)
def test_g_shares_the_fakes_of_d_in_a_step_on_one_batch_only(model_class, accumulate, tmp_path):
    """To keep those of several would take the memory that they are to save."""
    model = tiny.build(model_class, n_critic=1)
    seen = {"discriminator_loss": [], "generator_loss": []}
    for name, fakes_seen in seen.items():
        original = getattr(model, name)

        def loss(batch, fakes, original=original, fakes_seen=fakes_seen):
            fakes_seen.append(fakes if isinstance(fakes, torch.Tensor) else fakes[0])
            return original(batch, fakes)

        setattr(model, name, loss)
    batches = [tiny.batch(4, seed=seed, kind=tiny.kind_for(model_class)) for seed in range(3)]
    fit(model, tmp_path, batches, accumulate)
    assert len(seen["discriminator_loss"]) == len(seen["generator_loss"]) == 3
    for one, other in zip(*seen.values(), strict=True):
        assert other.requires_grad and not one.requires_grad
        assert torch.equal(one, other) == (accumulate == 1 or model_class is CycleGAN)  # whose generators draw nothing


# fast_dev_run


@pytest.mark.parametrize("accumulate", [1, 3])
@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("model_class", ADVERSARIAL)
def test_a_fast_dev_run_steps_on_both_networks(model_class, batches, accumulate, tmp_path):
    model = tiny.build(model_class, n_critic=5, ema_decay=0.5)
    before = tiny.parameters(model)
    data = [tiny.batch(4, seed=seed, kind=tiny.kind_for(model_class)) for seed in range(8)]
    fit(model, tmp_path, data, accumulate, fast_dev_run=batches)
    moved = set(tiny.moved(before, model))
    for network in ("discriminator", "generator", "average"):
        assert any(name.startswith(f"{network}.") for name in moved), network


def test_an_ordinary_run_has_n_critic_steps_of_d_first(tmp_path):
    model = tiny.build(StarGAN, n_critic=5)
    before = tiny.parameters(model.generator)
    fit(model, tmp_path, [tiny.batch(4, seed=seed, kind=tiny.kind_for(StarGAN)) for seed in range(4)])
    assert not any(tiny.moved(before, model.generator))


@pytest.mark.parametrize(("total_kimg", "stage"), [(1000, 2), (0.03, 1)])
@pytest.mark.parametrize("batches", [1, 2])
def test_a_fast_dev_run_of_progan_comes_to_its_last_fade(batches, total_kimg, stage, tmp_path):
    """Or as far as it would by `total_kimg`; with one step there, since it is the dearest."""
    model, steps = tiny.build(ProGAN, total_kimg=total_kimg), []
    original = model.discriminator_loss
    model.discriminator_loss = lambda batch, fakes: (
        steps.append((model.stage, model.alpha < 1, len(fakes))),
        original(batch, fakes),
    )[1]
    fit(model, tmp_path, [tiny.batch(16, seed=seed) for seed in range(4)], fast_dev_run=batches)
    assert steps == [(0, False, 8)] * 2 * (batches - 1) + [(stage, True, 4)]


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_fast_dev_run_makes_grids_and_a_checkpoint_of_every_model(model_class, tmp_path, monkeypatch):
    model, made = tiny.build(model_class), []
    original = model.task.sample_grids
    monkeypatch.setattr(model.task, "sample_grids", lambda *words: made.append(original(*words)))
    monkeypatch.setattr(torch, "save", lambda checkpoint, file: made.append(checkpoint.keys()))
    data = tiny.NoiseData(2, kind=tiny.kind_for(model_class))
    tiny.trainer(tmp_path, fast_dev_run=True, callbacks=[Rehearsal()]).fit(model, datamodule=data)
    checkpoint, grids = made
    assert {"state_dict", "optimizer_states"} <= checkpoint and grids
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("what", ["sample_grids", "on_save_checkpoint"])
def test_the_command_line_rehearses(what, mnist_root, tmp_path, monkeypatch, capsys):
    def fail(*_):
        raise UserError(f"{what} does not work")

    words = ["fit", "--model=VAE", "--model.encoder.hidden_sizes=[8]", "--data=MNIST", f"--data.root={mnist_root}"]
    words += ["--data.val_size=20", "--data.batch_size=4", "--trainer.fast_dev_run=true"]
    words += ["--trainer.enable_progress_bar=false", f"--trainer.default_root_dir={tmp_path}/runs"]
    main(words)
    monkeypatch.setattr(type(VAE.task) if what == "sample_grids" else VAE, what, fail)
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2 and f"error: {what} does not work" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
