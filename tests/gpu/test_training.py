"""Trainings on a GPU, by the command line: with CUDA graphs they end as without, bit for bit, and no step waits.

`benchmarks/on_a_card.sh checks` runs them within ten minutes. `LIT_GEN_CARD=cpu` runs them without a GPU, where they
prove little but that they can be run.
"""

import os
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from lightning import Callback

from lit_gen.cli import main
from lit_gen.models import GAN
from tests.models.tiny import assert_same
from tests.test_cli import rows
from tests.test_configs import NARROW, data_words, words
from tests.test_old_checkpoints import RUNS
from tests.test_soak import SMALL

ON_CPU = os.environ.get("LIT_GEN_CARD") == "cpu"
ACCELERATOR = "cpu" if ON_CPU else "gpu"
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not (ON_CPU or torch.cuda.is_available()), reason="needs CUDA")]
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA itself")

SYSTEMS = ["aae", "autoencoder", "cyclegan", "dcgan", "gan", "infogan", "progan", "puzzle_gan", "stargan", "text2image",
           "vae"]  # fmt: skip


class Cases:
    """Trainings of tiny networks by the command line, on few rendered data."""

    def __init__(self, roots, rendered, folder) -> None:
        self.roots, self.rendered, self.folder = roots, rendered, folder

    def fit(self, name: str, system: str, *more: str, use: str = "never", batches: int = 20) -> Path:
        """Train, or go on where the run of this name has ended; return its folder."""
        root = self.folder / name
        command = [
            *words(system, quick=True), *data_words(system, True, self.roots, self.rendered),
            *(SMALL | NARROW).get(system, []), *SMALL.get(system, []), f"--trainer.accelerator={ACCELERATOR}",
            f"--trainer.default_root_dir={root}", "--trainer.deterministic=warn", "--trainer.limit_val_batches=1",
            "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--trainer.devices=1",
            f"--trainer.max_steps={batches}", "--trainer.max_epochs=-1", "--data.batch_size=4", "--wandb.mode=disabled",
            f"--speed.graphs={use}", *more,
        ]  # fmt: skip
        last = list(root.glob("*/*/checkpoints/last.ckpt"))
        main([*command, *(["--ckpt_path=last"] if last else [])])
        (run,) = root.glob("*/*")
        return run


@pytest.fixture
def cases(roots, rendered, tmp_path) -> Cases:
    return Cases(roots, rendered, tmp_path)


def difference(one: Path, other: Path) -> str:
    """Where two runs first differ, in weights, averages, optimizers or logged terms; '' where they are equal."""
    pair = [
        torch.load(run / "checkpoints" / "last.ckpt", map_location="cpu", weights_only=True) for run in (one, other)
    ]
    try:
        assert_same(*(end["state_dict"] for end in pair))
        assert_same(*([optimizer["state"] for optimizer in end["optimizer_states"]] for end in pair))
    except AssertionError as error:
        return str(error).splitlines()[0]
    return "" if rows(one) == rows(other) else "metrics.csv"


# --------------------------------------------------------------------------------------------- random numbers in graphs


def captured(draw):
    """A graph of `draw`, and what it draws into."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        draw()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        drawn = draw()
    return graph, drawn


@cuda
@pytest.mark.parametrize("kind", ["randn", "randperm", "dropout"])
def test_a_seed_before_a_replay_gives_what_it_gives_without_a_graph(kind):
    ones = torch.ones(4096, device="cuda")
    draw = {
        "randn": lambda: torch.randn(4096, device="cuda"),
        "randperm": lambda: torch.randperm(4096, device="cuda"),
        "dropout": lambda: torch.nn.functional.dropout(ones, 0.5),
    }[kind]
    graph, drawn = captured(draw)
    generator = torch.cuda.default_generators[torch.cuda.current_device()]

    def replayed(seed):
        generator.manual_seed(seed)
        graph.replay()
        return drawn.clone()

    def eager(seed):
        generator.manual_seed(seed)
        return draw()

    assert torch.equal(replayed(1), replayed(1)) and torch.equal(replayed(1), eager(1))
    assert not torch.equal(replayed(1), replayed(2))


class Waits(GAN):
    """A GAN whose step asks the device for a number, which no graph can do."""

    def generator_loss(self, batch, fakes):
        terms = super().generator_loss(batch, fakes)
        return {name: term * (1 if term.item() > -1e9 else 2) for name, term in terms.items()}


def test_a_step_that_cannot_be_recorded_is_taken_all_the_same(cases, caplog):
    model = ["--model=tests.gpu.test_training.Waits"]
    with caplog.at_level("INFO"):
        one, other = (cases.fit(use, "gan", *model, *SMALL["gan"], use=use) for use in ("never", "always"))
    assert not difference(one, other)
    assert caplog.text.count("no CUDA graphs: ") == 1


# --------------------------------------------------------------------------------------------------- graphs and eager


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_with_graphs_a_training_ends_as_without(system, precision, cases):
    """D's and G's turns, penalties, ProGAN's fades, InfoGAN's bounds, the EMA and each logged term."""
    runs = {
        name: cases.fit(name, system, f"--trainer.precision={precision}", use=use)
        for name, use in (("never", "never"), ("again", "never"), ("always", "always"))
    }
    if found := difference(runs["never"], runs["again"]):
        pytest.skip(f"not even two trainings without graphs are equal: {found}")
    assert not difference(runs["never"], runs["always"])


@pytest.mark.parametrize("system", ["gan", "vae", "progan"])
def test_a_training_that_goes_on_ends_as_one_in_one_go(system, cases):
    more = ["--trainer.limit_train_batches=16"]  # the break is in the middle of the second epoch
    whole = [cases.fit(f"whole {use}", system, *more, use=use, batches=40) for use in ("never", "always")]
    for first in ("never", "always"):
        for second in ("never", "always"):
            name = f"{first} {second}"
            cases.fit(name, system, *more, use=first, batches=20)
            whole.append(cases.fit(name, system, *more, use=second, batches=40))
    assert not [found for run in whole[1:] if (found := difference(whole[0], run))]


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_a_checkpoint_of_before_there_were_graphs_goes_on_with_them(run, roots, tmp_path):
    resumed = tmp_path / "runs" / run.name / run.name
    shutil.copytree(run, resumed)
    data = yaml.safe_load((run / "config.yaml").read_text())["data"]
    last = resumed / "checkpoints" / "last.ckpt"
    before = torch.load(last, weights_only=True)
    main(
        ["fit", f"--config={resumed / 'config.yaml'}", f"--ckpt_path={last}", f"--trainer.accelerator={ACCELERATOR}"]
        + [f"--data.root={roots[data['class_path'].rsplit('.')[-1]]}", "--trainer.max_steps=-1"]
        + ["--trainer.max_epochs=3", "--trainer.logger=false", "--speed.graphs=always"]
    )
    after = torch.load(last, map_location="cpu", weights_only=True)
    assert after["epoch"] == 2 and after["global_step"] > before["global_step"]
    assert all(value.isfinite().all() for value in after["state_dict"].values() if isinstance(value, torch.Tensor))


# ------------------------------------------------------------------------------------------------------- no step waits


WARM, WATCHED = 30, 60
"""Batches before steps are watched, which a recorder of graphs waits in, and those that are watched."""
ONE_KIND = {"cyclegan": ["--model.pool_size=10"], "progan": ["--model.stable_kimg=100"]}
"""What has all steps after the first ones be of the same kinds."""
IN_ONE_EPOCH = {"infogan": ["--data.batch_size=2", "--data.synthetic_count=300"]}
"""What makes enough batches where batch norm needs two images per batch."""


class NothingWaits(Callback):
    """An error where anything waits for the GPU after the first batches, other than the reading of terms."""

    watched = 0

    def on_train_batch_end(self, trainer, model, *_):
        done = trainer.fit_loop.total_batch_idx + 1
        NothingWaits.watched = max(0, done - WARM)
        if done == WARM + WATCHED:  # the end of the training writes a checkpoint, which waits
            mode(0)
        if done != WARM:
            return
        original = model.read_terms

        def read_terms():
            before = mode(0)
            original()
            mode(before)

        model.read_terms = read_terms
        mode(2)

    def on_exception(self, *_):
        mode(0)


def mode(number: int) -> int:
    """Sets what is to happen where something waits; returns what was set before."""
    if not torch.cuda.is_available():
        return 0
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode(number)
    return before


@pytest.mark.parametrize("use", ["never", "always"])
@pytest.mark.parametrize("system", SYSTEMS)
def test_no_step_waits_for_the_gpu(system, use, cases):
    callback = ["--trainer.callbacks+=tests.gpu.test_training.NothingWaits", "--health.every_n_batches=0"]
    size = IN_ONE_EPOCH.get(system, ["--data.batch_size=1"])
    words = [*callback, *ONE_KIND.get(system, []), "--trainer.log_every_n_steps=1000", *size]
    cases.fit("run", system, *words, use=use, batches=WARM + WATCHED)
    assert NothingWaits.watched == WATCHED
