"""CUDA graphs: a training step is recorded once per kind of step, and from then on replayed by one launch.

A small network's step is hundreds of operators, each of which costs the host more time than the GPU. A graph repeats
them with the same operands: the same memory, and the same numbers where the host gave numbers. So whatever changes
from step to step lies in tensors that are written in place (the batch, learning rates, weights of schedules), and what
the host decides (whether G steps, a stage of growth) is the kind of step.
"""

import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor
from torch.optim import Optimizer

from lit_gen.import_paths import import_path
from lit_gen.lightning_compat import HOOKS_WITHIN_A_STEP, accumulation_schedulers

GraphsWhen = Literal["auto", "always", "never"]
WARM_UP = 2
"""Steps of each kind before its recording: they make the optimizers' states and the libraries' plans."""
KEPT = 8
"""Largest number of graphs at once; the oldest makes room."""
OUTDATED = 3
"""Largest number of graphs that may become invalid before a run goes on without."""
LIBRARIES = ("lit_gen.", "torch.", "torchvision.", "torchmetrics.", "lightning.", "pytorch_lightning.")
"""Packages that keep what changes from step to step in tensors; other code may keep it in Python, unseen by a graph."""
PROVEN = {
    "AAE", "AutoEncoder", "CycleGAN", "DCGAN", "GAN", "InfoGAN", "ProGAN", "PuzzleGAN", "SemiSupervisedAAE", "StarGAN",
    "Text2Image", "VAE",
}  # fmt: skip
"""The models of `lit_gen.models` whose graphs `tests/training/test_graphs.py` has compared with single steps."""
KNOWN = ("lit_gen.models.adversarial.AdversarialModule", "lit_gen.callbacks.health.Health")
"""Classes that have such hooks all the same: one clips on the device, the other's batches are taken without graphs."""


@dataclass
class SpeedOptions:
    """Settings that make a training faster and change nothing else.

    Args:
        graphs: whether a CUDA graph replays the training steps, on one GPU in 32-true or bf16-mixed; `auto` where the
            host takes longer for a step than the GPU, as in small networks, and the model came with this project, and
            networks and callbacks are its or a library's.
    """

    graphs: GraphsWhen = "auto"


class CannotRecordError(Exception):
    """A step cannot be recorded. The message says why."""


class Recorder(Protocol):
    """The interface of what records steps: CUDA, or what tests have in its place."""

    def run(self, step: Callable[[], Any]) -> tuple[Any, bool]:
        """Take a step as it is; return its result, and whether the host took longer for it than the device."""

    def record(self, step: Callable[[], Any], optimizers: list[Optimizer]) -> tuple[Any, Callable[[], None]]:
        """Return the result of a step, still without values, and the function that takes the step and fills it in.

        Raises:
            CannotRecordError: nothing has been computed then.
        """


class _Graph(NamedTuple):
    batch: Any
    result: Any
    replay: Callable[[], None]
    tensors: list[Tensor]
    operands: list[Any]


class StepGraphs:
    """The graphs of a model's training steps, by optimizers that step within them, or on what they return.

    With `auto` there are graphs where the host takes longer for a step than the device, with `always` in any case.
    """

    def __init__(
        self, model: LightningModule, optimizers: list[Optimizer], when: GraphsWhen, recorder: Recorder
    ) -> None:
        self.model, self.optimizers, self.when, self.recorder = model, optimizers, when, recorder
        self.off = self._said = False
        self._graphs: dict[Hashable, _Graph] = {}
        self._warm: dict[Hashable, int] = {}
        self._outdated = 0

    @property
    def count(self) -> int:
        """Return the number of graphs that replay steps now."""
        return len(self._graphs)

    def clear(self) -> None:
        """Forget all graphs, and free their memory."""
        self._graphs, self._warm = {}, {}

    def run(self, kind: Hashable, step: Callable[[Any], Any], batch: Any) -> Any:
        """Take a step, by its graph once there is one, and return what it does; the next step overwrites these tensors.

        The host decides the `kind` of a step; steps of one kind differ in nothing but values of tensors. `step` is a
        function of a batch, a named tuple of tensors, of which all work is the device's.
        """
        key = kind, tuple((field.shape, field.dtype) for field in batch)
        graph = self._graphs.get(key)
        if graph is not None and graph.operands != self._operands(graph.tensors):
            self.clear()
            graph, self._outdated = None, self._outdated + 1
            if self._outdated > OUTDATED:
                self._go_on_without("settings or states of the optimizers change from step to step")
        if graph is None:
            if self.off or self._warm.get(key, 0) < WARM_UP:
                return self._warm_up(key, step, batch)
            graph = self._record(key, step, batch)
            if graph is None:
                return step(batch)
        for static, field in zip(graph.batch, batch, strict=True):
            static.copy_(field, non_blocking=True)
        graph.replay()
        return graph.result

    def _warm_up(self, key: Hashable, step: Callable[[Any], Any], batch: Any) -> Any:
        if self.off:
            return step(batch)
        self._warm[key] = self._warm.get(key, 0) + 1
        result, launch_bound = self.recorder.run(lambda: step(batch))
        if self._warm[key] == WARM_UP and self.when == "auto" and not launch_bound:
            self._go_on_without()
        return result

    def _record(self, key: Hashable, step: Callable[[Any], Any], batch: Any) -> _Graph | None:
        static = type(batch)(*(field.clone() for field in batch))
        try:
            result, replay = self.recorder.record(lambda: step(static), self.optimizers)
        except CannotRecordError as error:
            self._go_on_without(str(error))
            return None
        if not self._said:
            self._said = True
            rank_zero_info("CUDA graphs replay the training steps from now on (--speed.graphs=never: none)")
        if len(self._graphs) == KEPT:
            del self._graphs[next(iter(self._graphs))]
        tensors = [*self.model.parameters(), *self.model.buffers()]
        self._graphs[key] = _Graph(static, result, replay, tensors, self._operands(tensors))
        return self._graphs[key]

    def _operands(self, tensors: list[Tensor]) -> list[Any]:
        """Return what a graph keeps to: addresses of tensors, which are trained, the optimizers' states and numbers."""
        found: list[Any] = [tensor.data_ptr() for tensor in tensors]
        found += [tensor.requires_grad for tensor in tensors]
        for optimizer in self.optimizers:
            settings = [value for group in optimizer.param_groups for name, value in group.items() if name != "params"]
            states = [value for state in optimizer.state.values() for value in state.values()]
            found += [value.data_ptr() if isinstance(value, Tensor) else value for value in settings + states]
        return found

    def _go_on_without(self, reason: str = "") -> None:
        self.clear()
        self.off = True
        if reason:
            rank_zero_info(f"no CUDA graphs: {reason}")


def start(trainer: Trainer, model: LightningModule, when: GraphsWhen) -> StepGraphs | None:
    """Return the graphs for a model's steps in this training, or None: with `always`, a line says why.

    The learning rates become tensors, which the graphs read; so do other settings that an optimizer calls `scheduled`.
    """
    if when == "never" or (when == "auto" and has_foreign_code(trainer, model)):
        return None
    if reason := obstacle(trainer, model):
        if when == "always":
            rank_zero_info(f"no CUDA graphs: {reason}")
        return None
    for optimizer in trainer.optimizers:
        for group in optimizer.param_groups:
            for name in getattr(optimizer, "scheduled", ("lr",)):
                group[name] = torch.tensor(group[name], dtype=torch.float32, device=model.device)
    return StepGraphs(model, trainer.optimizers, when, RECORDERS[model.device.type]())


def obstacle(trainer: Trainer, model: LightningModule) -> str:
    """Return why a model's steps cannot be recorded in this training; '' if nothing is in the way."""
    if model.device.type not in RECORDERS:
        return f"the model is on the {model.device.type.upper()}"
    if trainer.world_size > 1:
        return "there are several processes"
    if trainer.precision == "16-mixed":
        return "precision 16-mixed scales gradients by a factor that the host reads"
    counts = trainer.accumulate_grad_batches, getattr(model, "accumulate_grad_batches", 1)
    if max(counts) > 1 or accumulation_schedulers(trainer):
        return "accumulate_grad_batches makes one step of several batches"
    if torch.is_anomaly_enabled():
        return "detect_anomaly checks each operator"
    parts: list[Any] = list(model.modules())
    if any(part._forward_hooks or part._forward_pre_hooks or part._backward_hooks for part in parts):
        return "a module has a hook, which a graph would not call"
    if any(parameter._backward_hooks for parameter in model.parameters()):
        return "a parameter has a hook, which a graph would not call"
    callbacks: list[Any] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it from outside
    for watcher in [] if model.automatic_optimization else [*callbacks, model]:
        for name in HOOKS_WITHIN_A_STEP:  # a replayed step calls none
            definer = next(kind for kind in type(watcher).__mro__ if name in vars(kind))
            known = definer.__module__.startswith("lightning.") or import_path(definer) in KNOWN
            if not known:
                return f"{type(watcher).__name__} has a hook {name}, which a graph would not call"
    return ""


def has_foreign_code(trainer: Trainer, model: LightningModule) -> bool:
    """Return whether the steps of the model, a network or a callback may change in Python, which no graph reads."""
    kind = type(model)
    proven = kind.__module__.startswith("lit_gen.models.") and kind.__qualname__ in PROVEN
    parts = [*model.modules(), *trainer.callbacks]  # type: ignore[attr-defined]  # Lightning sets it from outside
    return not proven or any(not f"{type(part).__module__}.".startswith(LIBRARIES) for part in parts)


class CUDARecorder:
    """The recording of steps as CUDA graphs, which share their memory."""

    def __init__(self) -> None:
        self.stream = torch.cuda.Stream()
        self.pool = torch.cuda.graph_pool_handle()

    def run(self, step: Callable[[], Any]) -> tuple[Any, bool]:
        torch.cuda.synchronize()
        begun = time.perf_counter()
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = step()
        torch.cuda.current_stream().wait_stream(self.stream)
        launched = time.perf_counter()
        torch.cuda.synchronize()
        return result, time.perf_counter() - launched < 0.2 * (launched - begun)

    def record(self, step: Callable[[], Any], optimizers: list[Optimizer]) -> tuple[Any, Callable[[], None]]:
        groups = [group for optimizer in optimizers for group in optimizer.param_groups if "capturable" in group]
        host = torch.default_generator.get_state()
        graph = torch.cuda.CUDAGraph()
        for group in groups:
            group["capturable"] = True  # with fused optimizers it changes nothing but torch's refusal
        try:
            with torch.cuda.graph(graph, pool=self.pool, stream=self.stream, capture_error_mode="thread_local"):
                result = step()
        except Exception as error:
            # A recording that fails leaves the generator in the belief that one is going on.
            generator = torch.cuda.default_generators[torch.cuda.current_device()]
            generator.graphsafe_set_state(generator.clone_state())
            raise CannotRecordError(str(_innermost(error)).splitlines()[0]) from error
        finally:
            for group in groups:
                group["capturable"] = False
        if not torch.equal(host, torch.default_generator.get_state()):
            raise CannotRecordError("the step draws on the CPU")
        return result, graph.replay


def _innermost(error: BaseException) -> BaseException:
    while error.__context__ is not None:
        error = error.__context__
    return error


RECORDERS: dict[str, Callable[[], Recorder]] = {"cuda": CUDARecorder}
"""What records steps, by type of device."""


class _Loss(torch.autograd.Function):
    """A loss whose gradients are known, for those who call `backward` on it."""

    @staticmethod
    def forward(context: Any, loss: Tensor, gradients: tuple[Tensor | None, ...], *parameters: Tensor) -> Tensor:
        context.gradients = gradients
        return loss.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        given = [some for some in context.gradients if some is not None]
        scaled = iter(torch._foreach_mul(given, gradient))
        return None, None, *(None if some is None else next(scaled) for some in context.gradients)


class Gradients(NamedTuple):
    """A loss without its graph, and its gradient for each of the parameters; None where it does not depend on one."""

    loss: Tensor
    parameters: list[Tensor]
    gradients: tuple[Tensor | None, ...]


def gradients_of(loss: Tensor, model: LightningModule) -> Gradients:
    """Return the gradients of a loss for a model's parameters, as Lightning would compute them."""
    parameters: list[Tensor] = [parameter for parameter in model.parameters() if parameter.requires_grad]
    with torch.autocast(loss.device.type, enabled=False):  # Lightning's backward is outside of it
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    return Gradients(loss.detach(), parameters, gradients)


def differentiable(known: Gradients) -> Tensor:
    """Return a loss on which `backward` gives the parameters their known gradients."""
    return _Loss.apply(known.loss, known.gradients, *known.parameters)
