"""A replayed training is the eager one in every bit: over all models, through the Trainer, by a stand-in for a GPU."""

import pytest
import torch
from lightning import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging

import lit_gen.models
from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.health import Health
from lit_gen.cli import main
from lit_gen.models import GAN, VAE, AutoEncoder, CycleGAN, ProGAN, Text2Image
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.training import graphs
from tests.models import tiny
from tests.training.tape import Tape, TapeRecorder

BATCHES = 12


@pytest.fixture
def tape(monkeypatch):
    """Has steps on the CPU recorded by a tape, and counts."""
    monkeypatch.setitem(graphs.RECORDERS, "cpu", TapeRecorder)
    monkeypatch.setattr(TapeRecorder, "recorded", 0)
    monkeypatch.setattr(TapeRecorder, "replayed", 0)
    return TapeRecorder


class Seen(Callback):
    """What callbacks see after each batch."""

    def __init__(self):
        self.metrics = []

    def on_train_batch_end(self, trainer, model, *_):
        self.metrics.append({name: float(value) for name, value in trainer.callback_metrics.items()})


def average(model_class):
    return {"ema_decay": 0.5} if tiny.takes(model_class, "ema_decay") else {}


def fit(
    model_class, folder, when, callbacks=(), batches=BATCHES, resume=None, accelerator="cpu", settings=None, **more
):
    model = tiny.build(model_class, **average(model_class) | (settings or {}))
    model.graphs_when = when
    data = tiny.NoiseData(batches, batch_size=4, kind=tiny.kind_for(model_class))
    saver = RunCheckpoints(folder, every_n_batches=5, keep=10)
    more = {"max_epochs": 2, "enable_checkpointing": True, "accelerator": accelerator} | more
    trainer = tiny.trainer(folder, callbacks=[*callbacks, saver], **more)
    trainer.fit(model, datamodule=data, ckpt_path=resume)
    return model, torch.load(folder / "last.ckpt", weights_only=True)


WAYS = [(model, "32-true") for model in tiny.ALL] + [(model, "bf16-mixed") for model in (VAE, GAN, ProGAN, Text2Image)]


@pytest.mark.parametrize(("model_class", "precision"), WAYS)
def test_a_replayed_training_is_the_eager_one(model_class, precision, tape, tmp_path):
    """With validation and health in between, and the same values for callbacks."""
    seen = Seen(), Seen()
    health = lambda: [Health(every_n_batches=7)] if issubclass(model_class, AdversarialModule) else []  # noqa: E731
    _, eager = fit(model_class, tmp_path / "eager", "never", [seen[0], *health()], precision=precision)
    _, replayed = fit(model_class, tmp_path / "replayed", "always", [seen[1], *health()], precision=precision)
    assert tape.replayed > BATCHES / 2
    tiny.assert_same(eager, replayed)
    assert seen[0].metrics == seen[1].metrics


@pytest.mark.parametrize("model_class", [VAE, GAN, CycleGAN, ProGAN])
def test_a_resumed_one_too(model_class, tape, tmp_path):
    """Graphs that go on from a step without, and the reverse."""
    _, eager = fit(model_class, tmp_path / "eager", "never")
    fit(model_class, tmp_path / "replayed", "always")
    for first, then in (("eager", "always"), ("replayed", "never")):
        middle = tmp_path / first / "previous-2.ckpt"
        assert torch.load(middle, weights_only=True)["global_step"] == 15
        _, resumed = fit(model_class, tmp_path / f"{first}-{then}", then, resume=middle)
        tiny.assert_same(eager, resumed)


def signatures(model_class, progress, monkeypatch, tmp_path, settings):
    """The operators of the last step of a training, which is at `progress`."""
    taped = []

    class Recorder(TapeRecorder):
        def run(self, step):
            tape = Tape()
            with tape:
                result = step()
            taped.append(tape.signature())
            return result, True

        def record(self, step, optimizers):
            raise graphs.CannotRecordError("no more")

    monkeypatch.setitem(graphs.RECORDERS, "cpu", Recorder)
    monkeypatch.setattr(model_class, "progress", progress)
    monkeypatch.setattr(model_class, "learning_rate_factor", lambda self: 1 - progress / 2, raising=False)
    fit(model_class, tmp_path / str(progress), "always", batches=2, settings=settings, max_epochs=1)
    return taped[-1]


@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_step_hands_the_device_the_same_numbers_at_any_time(model_class, monkeypatch, tmp_path):
    """Whatever else depended on the place in the training would be that of the recording for ever."""
    settings = {"n_critic": 1} if tiny.takes(model_class, "n_critic") else {}
    if model_class is ProGAN:
        settings |= {"stable_kimg": 0.0, "fade_kimg": 1.0}
    places = (signatures(model_class, progress, monkeypatch, tmp_path, settings) for progress in (0.3, 0.7))
    assert next(places) == next(places)


def test_a_fade_is_not_kept_to(tape, tmp_path):
    """ProGAN's alpha is another in each step of a fade; graphs of 4x4 pixels give way to those of 8x8."""
    settings = {"stable_kimg": 0.04, "fade_kimg": 0.06, "total_kimg": 1000.0}
    both = [
        fit(ProGAN, tmp_path / when, when, batches=40, settings=settings, max_epochs=1) for when in ("never", "always")
    ]
    assert tape.recorded >= 4 and tape.replayed > 20
    (model, eager), (_, replayed) = both
    assert model.stage == 2
    tiny.assert_same(eager, replayed)


def test_the_penalty_s_turn_is_a_graph_of_its_own(tape, tmp_path):
    settings = {"penalty_interval": 3, "stable_kimg": 1000.0, "minibatch_sizes": {}}
    both = [fit(ProGAN, tmp_path / when, when, settings=settings)[1] for when in ("never", "always")]
    assert tape.recorded == 2
    tiny.assert_same(*both)


def test_sgd_s_momentum_changes_within_a_graph(tape, tmp_path):
    """And a run that goes on with graphs, from a step without, has it from there."""
    settings = {"optimizer": "sgd", "learning_rate": 0.1, "final_momentum": 0.7, "momentum_kimg": 0.08}
    settings |= {"learning_rate_divisor": 1.5}
    both = [fit(GAN, tmp_path / when, when, settings=settings)[1] for when in ("never", "always")]
    assert tape.recorded == 1 and 0.5 < both[0]["optimizer_states"][0]["param_groups"][0]["momentum"] < 0.7 + 1e-6
    tiny.assert_same(*both)
    middle = tmp_path / "never" / "previous-2.ckpt"
    tiny.assert_same(both[0], fit(GAN, tmp_path / "resumed", "always", settings=settings, resume=middle)[1])


def test_adagrad_s_rate_changes_within_a_graph(tape, tmp_path):
    settings = {"optimizer": "adagrad", "learning_rate": 0.1, "weight_decay": 0.1, "learning_rate_stage_kimg": 0.016}
    both = [
        fit(VAE, tmp_path / when, when, batches=8, max_epochs=1, settings=settings)[1] for when in ("never", "always")
    ]
    assert tape.recorded == 1 and both[0]["optimizer_states"][0]["param_groups"][0]["lr"] < 0.075
    tiny.assert_same(*both)


def test_the_pool_s_exchanges_are_drawn_anew(tape, tmp_path):
    both = [fit(CycleGAN, tmp_path / when, when, settings={"pool_size": 6})[1] for when in ("never", "always")]
    assert tape.recorded == 1
    tiny.assert_same(*both)


class ClippedGAN(GAN):
    def setup(self, stage):
        super().setup(stage)
        self.gradient_clip_val = 0.01  # as from the command line


@pytest.mark.parametrize(("model_class", "more"), [(ClippedGAN, {}), (AutoEncoder, {"gradient_clip_val": 0.01})])
def test_gradients_are_clipped_in_a_graph(model_class, more, tape, tmp_path, monkeypatch):
    monkeypatch.setitem(tiny.SMALL, "ClippedGAN", tiny.SMALL["GAN"])
    both = [fit(model_class, tmp_path / when, when, **more)[1] for when in ("never", "always")]
    tiny.assert_same(*both)
    assert tape.recorded == 1


class Asks(AutoEncoder):
    def losses(self, batch):
        return super().losses(batch) if batch.image.mean() < 9 else {}


def test_a_step_that_cannot_be_recorded_goes_on_without(tape, tmp_path, caplog):
    with caplog.at_level("INFO"):
        states = [fit(Asks, tmp_path / when, when)[1] for when in ("never", "always")]
    tiny.assert_same(*states)
    assert tape.replayed == 0
    assert [record.message for record in caplog.records if "CUDA graphs" in record.message] == [
        "no CUDA graphs: the step asks a tensor for its value"
    ]


class AskingGAN(GAN):
    def discriminator_loss(self, batch, fakes):
        terms = super().discriminator_loss(batch, fakes)
        return terms if sum(terms.values()) < 1e9 else {}


def test_a_recording_that_fails_within_a_turn_leaves_no_network_frozen(tape, tmp_path, monkeypatch, caplog):
    """The step is taken without a graph then, and both networks learn on."""
    monkeypatch.setitem(tiny.SMALL, "AskingGAN", tiny.SMALL["GAN"])
    with caplog.at_level("INFO"):
        model, _ = fit(AskingGAN, tmp_path, "always")
    assert "no CUDA graphs: the step asks a tensor for its value" in caplog.text
    networks = model.discriminator, model.generator  # and not the moving average
    assert all(parameter.requires_grad for network in networks for parameter in network.parameters())


class Replaces(Callback):
    """Gives the optimizer new states once, as loading a file does; or in each batch."""

    def __init__(self, always=False):
        self.always = always

    def on_train_batch_end(self, trainer, model, outputs, batch, index):
        if self.always or index == 6:
            (optimizer,) = trainer.optimizers
            optimizer.load_state_dict(optimizer.state_dict())


@pytest.mark.parametrize("always", [False, True])
def test_replaced_states_are_noticed(always, tape, tmp_path, caplog):
    states = []
    with caplog.at_level("INFO"):
        for when in ("never", "always"):
            states.append(fit(VAE, tmp_path / when, when, [Replaces(always)])[1])
    assert ("optimizers change from step to step" in caplog.text) == always
    for state in states:
        state["callbacks"].clear()
    tiny.assert_same(*states)
    assert always or tape.recorded == 3  # and once more in the second epoch


class Watches(Callback):
    def on_before_optimizer_step(self, trainer, model, optimizer):
        pass


class OwnGAN(GAN):
    def on_after_backward(self):
        pass


def hooked():
    model = tiny.build(GAN)
    model.generator.register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    ("build", "callbacks", "settings", "words"),
    [
        (lambda: tiny.build(GAN), [Watches()], {}, "Watches has a hook on_before_optimizer_step"),
        (lambda: tiny.build(OwnGAN), [], {}, "OwnGAN has a hook on_after_backward"),
        (hooked, [], {}, "a module has a hook"),
        (lambda: tiny.build(VAE), [], {"accumulate_grad_batches": 2}, "accumulate_grad_batches"),
        (lambda: tiny.build(VAE), [], {"detect_anomaly": True}, "detect_anomaly"),
        (lambda: tiny.build(VAE), [Watches()], {}, ""),  # Lightning takes its step, with all hooks
        (lambda: tiny.build(GAN), [Health()], {}, ""),
    ],
)
def test_what_stands_in_the_way_is_said(build, callbacks, settings, words, tape, tmp_path, caplog):
    model = build()
    model.graphs_when = "always"
    with caplog.at_level("INFO"):
        trainer = tiny.trainer(tmp_path, callbacks=callbacks, limit_val_batches=0, **settings)
        trainer.fit(model, datamodule=tiny.NoiseData(4))
    lines = [record.message for record in caplog.records if "no CUDA graphs" in record.message]
    assert (len(lines) == 1 and lines[0].startswith(f"no CUDA graphs: {words}")) if words else not lines
    assert bool(tape.replayed) == (not words)
    assert model.graphs is None  # a model can be copied


@pytest.mark.parametrize("when", ["auto", "always"])
def test_without_a_gpu_it_is_said_to_who_asked_for_graphs(when, tmp_path, caplog):
    model = tiny.build(GAN)
    model.graphs_when = when
    with caplog.at_level("INFO"):
        tiny.trainer(tmp_path, limit_val_batches=0).fit(model, datamodule=tiny.NoiseData(2))
    assert ("no CUDA graphs: the model is on the CPU" in caplog.text) == (when == "always")


def test_auto_leaves_out_what_the_device_is_slow_at(tape, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(TapeRecorder, "launch_bound", False)
    with caplog.at_level("INFO"):
        fit(GAN, tmp_path / "auto", "auto")
    assert tape.recorded == 0 and "CUDA graphs" not in caplog.text
    with caplog.at_level("INFO"):
        fit(GAN, tmp_path / "always", "always")
    assert tape.recorded == 1 and caplog.text.count("CUDA graphs replay") == 1


class Anneals(Callback):
    """Changes a number of the model's that its loss reads, as no graph would notice."""

    def on_train_batch_start(self, trainer, model, batch, index):
        model.beta = 0.1 * index


class OwnVAE(VAE):
    pass


class VAEInThePackage(VAE):
    """As docs/own-model.md says: a file in `lit_gen/models`."""

    __module__ = "lit_gen.models.mine"


def with_own_network():
    model = tiny.build(VAE)
    model.encoder.append(type("Own", (torch.nn.Identity,), {"__module__": "mine"})())
    return model


@pytest.mark.parametrize(
    ("build", "callbacks", "recorded"),
    [
        (lambda: tiny.build(VAE), [EMAWeightAveraging()], 1),
        (lambda: tiny.build(VAE), [Anneals()], 0),
        (lambda: tiny.build(OwnVAE), [], 0),
        (lambda: tiny.build(VAEInThePackage), [], 0),
        (with_own_network, [], 0),
    ],
)
def test_auto_leaves_out_what_may_change_in_python(build, callbacks, recorded, tape, tmp_path, monkeypatch):
    for name in ("OwnVAE", "VAEInThePackage"):
        monkeypatch.setitem(tiny.SMALL, name, tiny.SMALL["VAE"])
    model = build()
    model.graphs_when = "auto"
    tiny.trainer(tmp_path, callbacks=callbacks).fit(model, datamodule=tiny.NoiseData(4))
    assert tape.recorded == recorded


@pytest.mark.parametrize("name", sorted(graphs.PROVEN))
def test_auto_takes_the_models_that_came_with_the_package(name, tape, tmp_path):
    fit(getattr(lit_gen.models, name), tmp_path, "auto")
    assert tape.recorded > 0


class Thaws(Callback):
    """Trains the encoder from some batch on, as Lightning's `BackboneFinetuning` does."""

    def on_train_start(self, trainer, model):
        model.encoder.requires_grad_(False)

    def on_train_batch_start(self, trainer, model, batch, index):
        model.encoder.requires_grad_(index >= 6)


def test_what_is_no_longer_frozen_learns(tape, tmp_path):
    both = [fit(AutoEncoder, tmp_path / when, when, [Thaws()])[1] for when in ("never", "always")]
    assert tape.recorded >= 2
    tiny.assert_same(*both)


def test_the_oldest_graph_makes_room(tape, monkeypatch):
    model = tiny.build(GAN)
    kept = graphs.StepGraphs(model, [], "always", TapeRecorder())
    monkeypatch.setattr(graphs, "KEPT", 2)
    batch = tiny.batch(2)
    for kind in (1, 2, 3, 1):
        for _ in range(3):
            result = kept.run(kind, lambda batch: batch.image + 1, batch)
            assert torch.equal(result, batch.image + 1)
    assert tape.recorded == 4
    assert len(kept._graphs) == 2


def test_auto_keeps_no_graph_once_a_kind_of_step_is_slow_on_the_device(tape, monkeypatch):
    kept = graphs.StepGraphs(tiny.build(GAN), [], "auto", TapeRecorder())
    batch = tiny.batch(2)
    for kind, launch_bound, count in ((1, True, 1), (2, False, 0), (1, True, 0)):
        monkeypatch.setattr(TapeRecorder, "launch_bound", launch_bound)
        for _ in range(3):
            result = kept.run(kind, lambda batch: batch.image + 1, batch)
            assert torch.equal(result, batch.image + 1)
        assert kept.count == count


def test_the_tape_finds_a_number_that_changes():
    """It can tell a graph that keeps to a number from one that reads it."""
    weight, number = torch.tensor(2.0), [2.0]
    for expected, factor in ((4.0, lambda: number[0]), (6.0, lambda: weight)):
        recorder, x = TapeRecorder(), torch.tensor(2.0)
        number[0] = weight.fill_(2.0).item()
        result, replay = recorder.record(lambda: x * factor(), [])  # noqa: B023
        replay()
        assert result.item() == 4.0
        number[0] = weight.fill_(3.0).item()
        replay()
        assert result.item() == expected


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("model_class", tiny.ALL)
def test_a_replayed_training_is_the_eager_one_on_a_gpu(model_class, precision, tmp_path, monkeypatch):
    replays = []
    replay = torch.cuda.CUDAGraph.replay
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda self: (replays.append(1), replay(self)))
    more = {"precision": precision, "accelerator": "gpu", "devices": 1, "deterministic": "warn"}
    _, eager = fit(model_class, tmp_path / "eager", "never", **more)
    _, replayed = fit(model_class, tmp_path / "replayed", "always", **more)
    assert len(replays) > BATCHES / 2
    tiny.assert_same(eager, replayed)


@pytest.mark.parametrize("more", [["--model=VAE"], ["--model=SemiSupervisedAAE", "--data.labelled=40"]])
def test_the_command_line_asks_for_graphs(more, tape, mnist_root, tmp_path):
    words = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
    words += ["--data.batch_size=16", *more, "--model.encoder.hidden_sizes=[8]", "--trainer.accelerator=cpu"]
    words += ["--trainer.limit_train_batches=6", "--trainer.max_epochs=1", "--trainer.logger=false"]
    states = {}
    for when in ("never", "always"):
        main(["fit", *words, f"--speed.graphs={when}", f"--trainer.default_root_dir={tmp_path / when}"])
        (last,) = tmp_path.glob(f"{when}/*/*/checkpoints/last.ckpt")
        states[when] = torch.load(last, weights_only=True)["state_dict"]
    assert tape.replayed == 4
    tiny.assert_same(states["never"], states["always"])
