"""Measure the speed of each system: `python -m benchmarks.speed`.

For each config it prints images per second of `fit`, of the same training step in a bare loop on one batch, and of the
data alone, with the ratio of `fit` and the bare step. Each system has a process of its own. Without a GPU the quick
overlays are measured, on a GPU the base configs; the data are rendered. `--beside=<folder>` measures another checkout
of this project too, taking turns with this one, and prints the ratios of the two.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, ClassVar

import torch
from lightning import Callback, LightningModule, Trainer
from lightning_utilities.core.apply_func import apply_to_collection

REPOSITORY = Path(__file__).parents[1]
UNRENDERED = {"progan_celebahq"}  # trains on a folder of images that someone must have
SYSTEMS = sorted({path.stem for path in (REPOSITORY / "configs").glob("*.yaml")} - UNRENDERED)
GROWN = [f"--model.{name}" for name in ("fade_kimg=0", "stable_kimg=0", "total_kimg=1000000")]
"""Settings of a ProGAN that trains at its last resolution from the start: all steps that are compared are alike."""
WARM_UP = 3  # batches
BETWEEN_WAITS = 0.1
"""Seconds until the clock waits for a GPU again: a training, too, prepares the next steps while the GPU takes one."""
TURN = 0.3
"""Seconds of `fit`, then of the bare step, and so on: a processor's speed drifts by more than what is compared."""


class Clock(Callback):
    """Measure a training from its fourth batch on for some seconds, leave out the ends of epochs, and end it.

    On a CPU the bare step takes turns with the training. On a GPU it comes afterwards, away from CUDA graphs.
    """

    seconds = 3.0
    found: ClassVar[dict[str, float]]
    """What the last training found: the command line makes the object, and keeps it to itself."""

    def __init__(self) -> None:
        self.batches, self.images, self.spent = 0, 0, 0.0
        self.since: float | None = None
        self.bare: Rate | None = None

    def on_train_batch_start(self, trainer: Trainer, model: LightningModule, batch: Any, batch_idx: int) -> None:
        self.batches += 1
        turns = model.device.type == "cpu"
        if self.since is not None:
            self.images += len(self.batch[0])
            ends = batch_idx + 1 == trainer.num_training_batches
            if ends or time.monotonic() - self.since > (TURN if turns else BETWEEN_WAITS):
                self.spent += _now(model) - self.since
                self.since = None
                if turns:
                    self.take_bare_steps(trainer, model, TURN)
        if self.since is None and self.batches > WARM_UP and 0 < batch_idx < trainer.num_training_batches - 1:
            self.since = _now(model)
        self.batch = batch
        if self.spent > self.seconds:
            trainer.should_stop = True

    def take_bare_steps(self, trainer: Trainer, model: LightningModule, seconds: float) -> "Rate":
        """Take bare steps for some seconds, and return the rate of all so far."""
        with torch.enable_grad(), trainer.precision_plugin.train_step_context():
            if self.bare is None:
                self.bare = Rate(bare_steps(model, self.batch), lambda: _now(model))
            self.bare.take(seconds)
        return self.bare

    def on_train_end(self, trainer: Trainer, model: LightningModule) -> None:
        found = {"fit": self.images / self.spent}
        if getattr(model, "graphs", None) is not None:  # other checkouts may have none
            found["graphs"] = model.graphs.count
        bare = self.bare or self.take_bare_steps(trainer, model, self.seconds)
        data = Rate(loaded(trainer, model), time.monotonic)
        data.take(self.seconds)
        found |= {name: len(self.batch[0]) * rate.per_second for name, rate in (("bare", bare), ("data", data))}
        if model.device.type == "cuda":
            found["memory"] = torch.cuda.max_memory_allocated() / 2**30
        Clock.found = found


def _now(model: LightningModule) -> float:
    if model.device.type == "cuda":
        torch.cuda.synchronize()
    return time.monotonic()


class Rate:
    """Counts the steps of an iterator per second, by a clock that may wait for a GPU."""

    def __init__(self, steps: Iterator[None], now: Callable[[], float]) -> None:
        self.steps, self.now, self.done, self.spent = steps, now, 0, 0.0
        for _ in range(WARM_UP):
            next(steps)

    @property
    def per_second(self) -> float:
        """Return the rate of all steps so far."""
        return self.done / self.spent

    def take(self, seconds: float) -> None:
        """Take steps for some seconds, and two at least in all."""
        begun = self.now()
        while self.now() < begun + seconds or self.done < 2:
            since = time.monotonic()
            while time.monotonic() - since < BETWEEN_WAITS:
                next(self.steps)
                self.done += 1
        self.spent += self.now() - begun


def bare_steps(model: Any, batch: Any) -> Iterator[None]:
    """Take the model's training step on one batch again and again, without Lightning, the log or the EMA's counters."""
    optimizers = model.configure_optimizers()
    if model.automatic_optimization:
        while True:
            optimizers.zero_grad()
            sum(model.losses(batch).values()).backward()
            optimizers.step()
            yield
    d_optimizer, g_optimizer = optimizers
    d_parameters, g_parameters = ([p for group in one.param_groups for p in group["params"]] for one in optimizers)
    turn = 0
    while True:
        for minibatch in model.minibatches(batch):
            turn += 1
            model.discriminator_steps = turn  # by which ProGAN leaves out gradient penalties
            generator_turn = turn % model.n_critic == 0
            with nullcontext() if generator_turn else torch.no_grad():
                fakes = model.make_fakes(minibatch)
            detached = apply_to_collection(fakes, torch.Tensor, torch.Tensor.detach)
            _descend(d_optimizer, g_parameters, lambda: model.discriminator_loss(minibatch, detached))  # noqa: B023
            if generator_turn:
                _descend(g_optimizer, d_parameters, lambda: model.generator_loss(minibatch, fakes))  # noqa: B023
                if model.average is not None:
                    model.average.update_parameters(model.generator)
        yield


def _descend(optimizer: torch.optim.Optimizer, others: list[torch.nn.Parameter], loss: Callable[[], Any]) -> None:
    for parameter in others:
        parameter.requires_grad_(False)
    optimizer.zero_grad()
    sum(loss().values()).backward()
    optimizer.step()
    for parameter in others:
        parameter.requires_grad_(True)


def loaded(trainer: Trainer, model: LightningModule) -> Iterator[None]:
    """Load batches and bring them to the device, as `fit` does."""
    while True:
        for batch in trainer.train_dataloader:
            batch = trainer.strategy.batch_to_device(batch)
            trainer.datamodule.on_after_batch_transfer(batch, 0)
            yield


def measure(system: str, precision: str, quick: bool, seconds: float, root: str, override: list[str]) -> None:
    """Measure one system, and print what was found as JSON."""
    import speed  # the same file; the command line imports the callback from it

    from lit_gen.cli import main

    speed.Clock.seconds = seconds
    files = [f"configs/{system}.yaml"]
    if quick and Path(f"configs/quick/{system}.yaml").is_file():
        files.append(f"configs/quick/{system}.yaml")
    with tempfile.TemporaryDirectory() as folder:
        words = ["fit", *(f"--config={file}" for file in files), f"--data.root={root}"]
        words += ["--data.synthetic=true", f"--trainer.precision={precision}", "--trainer.limit_val_batches=0"]
        words += [
            "--trainer.max_epochs=1000",
            "--checkpoints.every_n_batches=0",
            f"--trainer.default_root_dir={folder}",
        ]
        words += GROWN if system == "progan" else []
        main([*words, "--trainer.callbacks+=speed.Clock", *override])
    print("found", json.dumps(speed.Clock.found), flush=True)


def measured(checkout: Path, system: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure one system with the package of a checkout, in a process of its own; {} when it fails."""
    arguments = (system, options.precision, options.quick, options.seconds, options.root, options.override)
    code = f"import speed; speed.measure{arguments!r}"
    paths = os.pathsep.join(filter(None, [str(checkout), str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": paths},
        capture_output=True,
        text=True,
    )
    found = [line for line in done.stdout.splitlines() if line.startswith("found ")]
    if not found:
        print(f"{system}: {(done.stderr.strip().splitlines() or ['no line'])[-1]}", file=sys.stderr)
        return {}
    return json.loads(found[0].removeprefix("found "))


def report() -> None:
    """Measure what the command line asks for, and print a table and JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("systems", nargs="*", default=SYSTEMS, help="names of configs; all by default")
    parser.add_argument("--precision", default="32-true")
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--quick", action=argparse.BooleanOptionalAction, default=not torch.cuda.is_available())
    parser.add_argument("--root", default=str(REPOSITORY / "data" / "speed"), help="folder for the rendered data")
    parser.add_argument("--override", action="append", default=[], help="a further setting, --override=--data.x=1")
    parser.add_argument("--beside", type=Path, help="another checkout to compare with")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each; the best counts")
    parser.add_argument("--output", type=Path, help="JSON file to write")
    options = parser.parse_args()
    options.root = os.path.abspath(options.root)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    result: dict[str, Any] = {
        "device": device,
        "torch": torch.__version__,
        "precision": options.precision,
        "systems": {},
    }
    checkouts = {"this": REPOSITORY} | ({"beside": options.beside.resolve()} if options.beside else {})
    print(
        f"{device}, {options.precision}, images per second\nsystem             fit       bare       data  fit/bare",
        end="",
    )
    print("  fit and bare over those of the other checkout" if options.beside else "")
    for system in options.systems:
        best: dict[str, dict[str, float]] = {name: {} for name in checkouts}
        for _ in range(options.rounds):
            for name, checkout in checkouts.items():
                for key, value in measured(checkout, system, options).items():
                    best[name][key] = max(value, best[name].get(key, 0))
        result["systems"][system] = best
        this = best["this"]
        if not this:
            continue
        line = f"{system:15}" + "".join(f"{this[name]:9,.0f}  " for name in ("fit", "bare", "data"))
        line += f"{this['fit'] / this['bare']:8.2f}"
        if other := best.get("beside"):
            line += f"  {this['fit'] / other['fit']:.2f}  {this['bare'] / other['bare']:.2f}"
        print(line, flush=True)
        if options.output:  # as it goes
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    report()
