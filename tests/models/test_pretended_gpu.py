"""Every model at full size on a pretended GPU: operands fit in types and devices, and no training step waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import pytest
import torch
import yaml
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torch.optim import SGD, Adam

import lit_gen.data
import lit_gen.models
from lit_gen.callbacks import sample_grids
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.layers.coders import ConvEncoder, ResidualEncoder, network
from lit_gen.metrics import attributes, captions, features, sliced_wasserstein, translation
from lit_gen.metrics.classifiers import Classifier
from lit_gen.metrics.digits import DigitClassifier
from lit_gen.models import ProGAN
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.autoencoder import AutoEncoder
from lit_gen.models.base import GenerativeModule
from lit_gen.tasks import reconstruction
from lit_gen.tasks.reconstruction import Reconstruction
from lit_gen.tasks.sampling import Sampling
from tests.models import tiny
from tests.pretended_gpu import PretendedGPU, pretended_gpu, without_autocast

CONFIGS = Path("configs")
SETTINGS_ONLY = {
    "gan_sgd",
    "vae_iwae",
    "vae_aevb",
    "progan_celebahq",
}  # of a model whose variants below have what is on a device
SYSTEMS = sorted({path.stem for path in CONFIGS.glob("*.yaml")} - SETTINGS_ONLY)
PRECISIONS = [None, torch.bfloat16, torch.float16]
PLAIN_CODES = {"latent_dim": 2, "conditional": True}
VARIANTS = {  # what takes other ways than the configs and their overlays
    "aae": [
        {"prior": "uniform", "posterior": "gaussian", "encoder": network(ConvEncoder)},
        {"prior": "swiss_roll", **PLAIN_CODES},
        {"prior": "gaussian_mixture", **PLAIN_CODES, "labelled_fraction": 0.5},
    ],
    "cyclegan": [{"blend": True, "ema_decay": 0.5}],
    "dcgan": [{"ema_decay": 0.5}],
    "gan": [
        {"optimizer": "sgd", "loss": "saturating", "maxout_pieces": 0},
        {"optimizer": "sgd", "final_momentum": 0.7, "unit_interval": True, "discriminator_weight": 0.5},
    ],
    "infogan": [{"learnt_std": True}],
    "puzzle_gan": [{"generated_composites": True}],
    "stargan": [{"noise_deviation": 0.1, "identity_weight": 10.0}],
    "text2image": [{"projection": True, "matching_aware": False}],
    "vae": [
        {"likelihood": "gaussian"},
        {"num_importance_samples": 3, "encoder": network(ResidualEncoder)},
        {"encoder": network(ConvEncoder)},
    ],
}
BATCH = 4


class Case(NamedTuple):
    """A config, whether with its quick overlay, and settings of the model beside them."""

    system: str
    quick: bool = False
    settings: dict[str, Any] = {}


def cases() -> Iterator[Any]:
    """The recipes in all three precisions, what deviates from them in one."""
    for system in SYSTEMS:
        for precision in PRECISIONS:
            yield pytest.param(Case(system), precision, id=f"{system}-{precision or 'float32'}")
        yield pytest.param(Case(system, quick=True), torch.float16, id=f"{system}-quick")
        for settings in VARIANTS.get(system, []):
            words = "-".join(map(str, settings.values()))
            yield pytest.param(Case(system, settings=settings), torch.float16, id=f"{system}-{words}")


def settings_of(path: Path, part: str) -> tuple[str | None, dict[str, Any]]:
    """The class and the arguments that a config names for `model` or `data`."""
    named = yaml.safe_load(path.read_text()).get(part, {})
    return (named, {}) if isinstance(named, str) else (named.get("class_path"), named.get("init_args", {}))


def combined(case: Case, part: str) -> tuple[str, dict[str, Any]]:
    name, settings = settings_of(CONFIGS / f"{case.system}.yaml", part)
    overlay = settings_of(CONFIGS / "quick" / f"{case.system}.yaml", part)[1] if case.quick else {}
    return name, settings | overlay


class Given(NamedTuple):
    """A data module that is set up, and a batch of each split as the loader gives it."""

    module: Any
    batches: dict[str, Any]


@pytest.fixture(scope="module")
def known_data() -> dict[str, Given]:
    """Data that were set up already: they take longer than the models."""
    return {}


@pytest.fixture
def make_data(known_data, roots):
    """The case's data at its size, of a few rendered images in the dataset's true format."""

    def make(case: Case) -> Given:
        name, settings = combined(case, "data")
        dropped = ("synthetic", "synthetic_count", "held_out", "val_size", "batch_size", "download")
        settings = {key: value for key, value in settings.items() if key not in dropped}
        key = repr((name, settings))
        if key not in known_data:
            settings |= {"val_size": 100} if name.startswith("MNIST") else {}
            data = getattr(lit_gen.data, name)(root=roots[name], download=False, batch_size=BATCH, **settings)
            data.prepare_data()
            data.setup("fit")
            data.preview_batch(1_000)  # captions are written when they are first asked for
            splits = "train", "val", "test"
            known_data[key] = Given(data, {name: data.datasets[name].__getitems__(range(BATCH)) for name in splits})
        return known_data[key]

    return make


class Run:
    """A model on the pretended GPU, and a trainer in the middle of a training, but for its loops."""

    def __init__(self, case: Case, given: Given, gpu: PretendedGPU, monkeypatch: Any) -> None:
        name, arguments = combined(case, "model")
        self.gpu, self.given, data = gpu, given, given.module
        with torch.device("cuda"):
            self.model: GenerativeModule = getattr(lit_gen.models, name)(data.spec, **arguments | case.settings)
        self.trainer = tiny.trainer("", callbacks=[])
        self.trainer.datamodule = data
        self.trainer.strategy.connect(self.model)
        self.model.trainer = self.trainer
        self.trainer.state.fn, self.trainer.training = TrainerFn.FITTING, True
        optimizers = self.model.configure_optimizers()
        self.trainer.strategy.optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["initial_lr"] = group["lr"]
        data.trainer = self.trainer
        for kind in (Adam, SGD):  # torch's arithmetic is not what is tested, and takes long
            monkeypatch.setattr(kind, "step", lambda self, closure: closure())
        monkeypatch.setattr(GenerativeModule, "progress", 0.25)
        monkeypatch.setattr(self.model, "log_dict", self._log)
        monkeypatch.setattr(self.model, "log", lambda name, value, *_, **__: self._log({name: value}))

    def _log(self, values: dict[str, Any], **_: Any) -> None:
        """Lightning's own log wants a loop. It brings numbers that are no tensors to the model's device."""
        for value in values.values():
            value = value.clone() if isinstance(value, Tensor) else torch.tensor(value, device=self.model.device)
            assert value.numel() == 1

    def batch(self, split: str = "train") -> Any:
        """A batch as it reaches the model."""
        batch = self.given.batches[split]
        batch = type(batch)(*(field.to("cuda") for field in batch))
        with self.without_waiting():
            batch = self.given.module.on_after_batch_transfer(batch, 0)
        assert {field.device.type for field in batch} == {"cuda"}
        return batch

    def train(self, batch: Any) -> None:
        """One step as the loop takes it."""
        self.model.on_train_batch_start(batch, 0)
        loss = self.model.training_step(batch, 0)
        if loss is not None:
            self.model.zero_grad()
            loss.backward()

    def draw_sheets(self) -> None:
        """As after a step; what would be written is on the CPU."""
        drawn = []
        with (
            without_autocast(),
            mock.patch.object(sample_grids, "save_picture", lambda image, _: drawn.append(image.device)),
        ):
            SampleGrids(Path(), count=8).write(self.trainer, self.model)
        assert drawn and {device.type for device in drawn} == {"cpu"}

    @contextmanager
    def without_waiting(self) -> Iterator[None]:
        """Asserts that nothing within copies from or to the GPU, or waits for it."""
        self.gpu.copies.clear()
        self.gpu.waits.clear()
        yield
        assert (self.gpu.copies, self.gpu.waits) == ([], [])


class Stub(features.Network):
    """In place of Inception: what it gives, without its 91 MB."""

    num_features, title = 8, "stub"

    def forward(self, image: Tensor) -> Tensor:
        return image.float().mean((1, 2, 3))[:, None].expand(-1, self.num_features)


@pytest.fixture
def own_networks(monkeypatch):
    """The evaluation's networks are built on the GPU, and neither read from files nor trained."""

    def load(self: features.Features, device: torch.device) -> list[nn.Module]:
        return [Stub() if choice == "inception" else features.DigitFeatures() for choice in self.choices]

    def classifier_for(question: Any, data: Any, device: torch.device) -> Classifier:
        with torch.device(device):
            return Classifier(data.spec["image_shape"][0], len(question.names), question.exclusive)

    def load_digits() -> tuple[DigitClassifier, str]:
        with torch.device("cuda"):
            return DigitClassifier().eval(), "digits"

    monkeypatch.setattr(features.Features, "load", load)
    monkeypatch.setattr(features, "load_digits", load_digits)
    monkeypatch.setattr(sliced_wasserstein, "DIRECTIONS", 8)
    for module in (attributes, captions, translation):
        monkeypatch.setattr(module, "classifier_for", classifier_for)


def test_all_models_with_a_config_are_there():
    named = {combined(Case(system), "model")[0] for system in SYSTEMS}
    files = {name: getattr(lit_gen.models, name).__module__.rpartition(".")[2] for name in lit_gen.models.__all__}
    assert named == {name for name, file in files.items() if file in SYSTEMS}
    assert set(VARIANTS) <= set(SYSTEMS)


@pytest.mark.parametrize("case, precision", list(cases()))
def test_steps_neither_wait_nor_mix(case, precision, make_data, monkeypatch):
    """A training step of D and of G, and what validation, test and predict do with a batch."""
    data = make_data(case)
    with pretended_gpu(precision) as gpu:
        run = Run(case, data, gpu, monkeypatch)
        model, batch = run.model, run.batch()
        model.n_critic = 1
        gpu.draws.clear()
        with run.without_waiting():
            for _ in range(1 if precision else 2):  # the second meets what the first left behind
                run.train(batch)
        assert gpu.draws == []
        gradients = [parameter.grad for parameter in model.parameters() if parameter.requires_grad]
        idle = [gradient for gradient in gradients if gradient is None]
        assert gradients and (isinstance(model, ProGAN) or not idle)  # whose later stages are still to come
        model.read_terms()
        read = [value for name, value in model.last_terms.items() if name.startswith("train/loss_")]
        assert len(read) > 1 or isinstance(model, AutoEncoder) or getattr(model, "num_importance_samples", 1) > 1
        assert set(read) == {0.5}  # which values that are asked for are made up to be

        model.eval()
        run.trainer.training = False
        batch = run.batch("val")
        with torch.no_grad():
            if isinstance(model.task, Sampling | Reconstruction):
                with run.without_waiting():
                    made = model.generate(BATCH)
                assert made.device.type == "cuda" and made.dtype is torch.float32
            model.validation_step(batch, 0)
            if precision is not torch.bfloat16:  # float16 has the same rules
                model.test_step(batch, 0)
                made = model.predict_step(batch, 0)
                assert made.device.type == "cuda" and made.dtype is torch.float32 and len(made) == BATCH
        assert not gpu.waits


@pytest.mark.parametrize(
    "precision",
    [pytest.param(each, marks=[pytest.mark.slow] if each is torch.float16 else []) for each in PRECISIONS],
    ids=str,
)
def test_progan_at_every_stage(precision, make_data, monkeypatch):
    """With a resolution that fades in, and without."""
    case = Case("progan")
    data = make_data(case)
    with pretended_gpu(precision) as gpu:
        run = Run(case, data, gpu, monkeypatch)
        model, batch = run.model, run.batch()
        assert isinstance(model, ProGAN) and model.last_stage == 5
        monkeypatch.setattr(model, "before_step", lambda: None)
        for stage, alpha in [(0, 1.0), *product(range(1, model.last_stage + 1), (0.5, 1.0))]:
            model.stage, model.alpha = stage, alpha
            with run.without_waiting():
                run.train(batch)
            with torch.no_grad():
                model.validation_step(batch, 0)
            if alpha < 1:
                run.draw_sheets()


@pytest.mark.parametrize("system", ["infogan", "progan"])
def test_several_batches_a_step(system, make_data, monkeypatch):
    """Accumulated gradients, clipped, as `--trainer.accumulate_grad_batches` and `gradient_clip_val` ask for."""
    case = Case(system)
    data = make_data(case)
    with pretended_gpu(torch.bfloat16) as gpu:
        run = Run(case, data, gpu, monkeypatch)
        run.model.accumulate_grad_batches, run.model.gradient_clip_val, run.model.n_critic = 2, 1.0, 1
        batch = run.batch()
        with run.without_waiting():
            for _ in range(2):
                run.train(batch)
        assert run.model.discriminator_steps == 1


@pytest.mark.parametrize("system", ["autoencoder", "aae"])
def test_several_batches_a_step_of_a_model_that_lightning_steps(system, make_data, monkeypatch):
    case = Case(system)
    data = make_data(case)
    with pretended_gpu(torch.bfloat16) as gpu:
        run = Run(case, data, gpu, monkeypatch)
        run.trainer.accumulate_grad_batches = 2
        batch = run.batch()
        with run.without_waiting():
            for _ in range(2):
                run.train(batch)
            run.model.on_before_optimizer_step(run.trainer.optimizers[0])
        assert run.model.images_seen == 2 * len(batch[0])


@pytest.mark.parametrize(
    "case", [*map(Case, SYSTEMS), Case("aae", quick=True)], ids=lambda case: case.system + "-quick" * case.quick
)
def test_looks_at_a_training(case, make_data, monkeypatch):
    """Sheets of samples, and the health of D and G: they read values, but what they compute with lies on one device."""
    data = make_data(case)
    monkeypatch.setattr(
        reconstruction, "scatter", lambda *_: torch.zeros(3, 1, 1)
    )  # draws thousands of points one by one
    with pretended_gpu(torch.bfloat16) as gpu:
        run = Run(case, data, gpu, monkeypatch)
        health = Health(every_n_batches=1)
        run.trainer.callbacks = [health]
        batch = run.batch()
        if isinstance(run.model, AdversarialModule):
            with without_autocast():
                health.on_train_start(run.trainer, run.model)
                health.on_train_batch_start(run.trainer, run.model, batch, 0)
            for _ in range(run.model.n_critic):
                with run.without_waiting():  # the look itself comes behind the step
                    run.train(batch)
            with without_autocast():
                health.on_train_batch_end(run.trainer, run.model)
            assert "health/d_gradient_norm" in run.trainer.callback_metrics
        run.draw_sheets()


@pytest.mark.parametrize("system", SYSTEMS)
def test_evaluation(system, make_data, monkeypatch, own_networks):
    """What `test` and each validation measure: everything is where the images are."""
    case = Case(system)
    data = make_data(case)
    with pretended_gpu() as gpu, torch.no_grad():
        run = Run(case, data, gpu, monkeypatch)
        model = run.model.eval()
        options = Evaluation(features="auto", samples=BATCH).options
        run.trainer.training = False
        task = model.task
        for evaluator in task.evaluators(model, data.module, options) + task.validation_evaluators(model, data.module):
            evaluator = evaluator.to(model.device)
            evaluator.prepare(model, data.module)
            for _ in range(2):
                evaluator.update(model, run.batch("test"))
            figures = evaluator.compute()
            assert all(isinstance(figure.value, float | int) for figure in figures.values())


# The helper itself


def test_types_that_do_not_fit_are_refused():
    with pretended_gpu(torch.bfloat16), pytest.raises(RuntimeError, match="dtype"):
        x = torch.nn.Conv2d(1, 1, 1, device="cuda")(torch.zeros(1, 1, 4, 4, device="cuda"))
        assert x.dtype is torch.bfloat16
        torch.lerp(torch.nn.functional.interpolate(x, scale_factor=1.0), x, 0.5)


def test_devices_that_do_not_fit_are_refused():
    with pretended_gpu(), pytest.raises(RuntimeError, match="device"):
        torch.stack([torch.zeros(2, device="cuda"), torch.zeros(2)])


@pytest.mark.parametrize(
    "do, copies, waits",
    [
        (lambda x: x * 2, [], []),
        (lambda x: x.cpu(), ["cuda to cpu"], []),
        (lambda x: torch.tensor([1.0], device="cuda"), ["cpu to cuda"], []),
        (lambda x: x[torch.tensor([1, 0])], ["cpu to cuda"], []),
        (lambda x: x.masked_fill(x > 0, 1.0), [], []),
        (lambda x: x.masked_fill(x > 0, x.max()), [], ["masked_fill.Tensor"]),
        (lambda x: x[x > 0], [], ["index.Tensor"]),
        (lambda x: x.nonzero(), [], ["nonzero"]),
        (lambda x: x.sum().item(), [], ["_local_scalar_dense"]),
        (lambda x: bool(x.sum() > 0), [], ["_local_scalar_dense"]),
        (lambda x: torch.rand(3).tolist(), [], []),
    ],
)
def test_what_waits_is_noted(do, copies, waits):
    with pretended_gpu() as gpu:
        x = torch.zeros(4, device="cuda")
        gpu.copies.clear()
        try:
            do(x)
        except Exception as error:
            assert "DynamicOutputShape" in type(error).__name__
    assert (gpu.copies, gpu.waits) == (copies, waits)


def test_nothing_of_it_stays():
    before = torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")
    with pretended_gpu(torch.float16):
        pass
    assert (torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda")) == before
    assert torch.zeros(2).tolist() == [0, 0] and torch.tensor(3.0).item() == 3
