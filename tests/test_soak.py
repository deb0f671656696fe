"""Trainings that are killed at random moments, again and again, and go on to the end that they would have had."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from tests.models.tiny import assert_same
from tests.test_cli import rows
from tests.test_configs import NARROW, data_words, words

SMALL = NARROW | {
    "aae": ["--model.encoder.hidden_sizes=[16]", "--model.discriminator_sizes=[16]"],
    "autoencoder": ["--model.encoder.hidden_sizes=[16]"],
    "gan": ["--model.generator_sizes=[16]", "--model.discriminator_sizes=[16]"],
    "progan": ["--model.channel_base=64", "--model.max_channels=8", "--model.minibatch_sizes={4: 8, 8: 4}",
               "--model.stable_kimg=0.04", "--model.fade_kimg=0.04"],
    "vae": ["--model.encoder.hidden_sizes=[16]"],
}  # fmt: skip
TWO_RANKS = ["--trainer.devices=2", "--trainer.accelerator=cpu"]
CASES = [
    ("aae", []), ("autoencoder", []), ("cyclegan", []), ("dcgan", []), ("gan", []), ("infogan", []), ("progan", []),
    ("puzzle_gan", []), ("stargan", []), ("text2image", []), ("vae", []), ("vae", TWO_RANKS), ("gan", TWO_RANKS),
    ("dcgan", ["--data.num_workers=2"]), ("progan", ["--trainer.accumulate_grad_batches=3"]),
]  # fmt: skip


class Training:
    """A run of the command line below `folder`, in processes of its own that can be killed and go on.

    Args:
        command: what to say to main.py.
        folder: for the run, which has one folder however often it was killed.
    """

    def __init__(self, command: list[str], folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        more = [f"--trainer.default_root_dir={folder}", "--name=run", "--ckpt_path=auto"]
        self.command = [sys.executable, "main.py", *command, *more]

    def start(self) -> None:
        """Begins the training, or goes on from the last checkpoint where there is one: the same command does both."""
        self.before = self.files(".*", "checkpoints/.*"), self.log()
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        environment.pop("WANDB_SERVICE", None)  # this process's own, if it has logged already
        with (self.folder / "said").open("w") as file:
            self.process = subprocess.Popen(
                self.command,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be killed with all its processes
            )

    def files(self, *patterns: str) -> set[tuple[Path, int]]:
        """The files of the runs that match, each with its inode: a file that is replaced has another."""
        found = set()
        for path in (path for pattern in patterns for path in self.folder.glob(f"*/*/{pattern}")):
            try:
                found.add((path, path.stat().st_ino))
            except FileNotFoundError:  # renamed meanwhile
                continue
        return found

    def log(self) -> list[int]:
        """When each log was last written."""
        return [path.stat().st_mtime_ns for path in self.folder.glob("*/*/metrics.csv")]

    @property
    def writing(self) -> set[tuple[Path, int]]:
        """What is of this process and not yet in its place: a file half written, or not yet renamed."""
        return self.files("checkpoints/.*") - self.before[0]

    def kill_after(self, seconds: float) -> bool:
        """Kills it so long after the first batch was logged; whether it had not ended by then."""
        while self.log() == self.before[1] and self.process.poll() is None:
            time.sleep(0.001)
        time.sleep(seconds)
        return self.kill()

    def kill_in_writing(self, number: int) -> bool:
        """Kills it when this many checkpoints have begun to be written; whether it had not ended by then."""
        seen: set[tuple[Path, int]] = set()
        while len(seen) < number and self.process.poll() is None:
            seen |= {(path, inode) for path, inode in self.writing if path.suffix == ".partial"}
            time.sleep(0.0002)
        return self.kill()

    def kill(self) -> bool:
        """Kills it; whether it had not ended by then."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        return self.process.wait() == -signal.SIGKILL

    def finish(self) -> Path:
        """Waits for the end, which must be a good one; the folder of the run."""
        assert self.process.wait(600) == 0, (self.folder / "said").read_text()
        ((run, _),) = self.files(".")
        return run


class Figures(NamedTuple):
    """What became of a training: kills, how many of them hit a checkpoint in writing, and what ended differently."""

    kills: int
    in_writing: int
    mismatches: list[str]


def soak(command: list[str], kills: int, folder: Path, chance: random.Random) -> Figures:
    """Trains once in one go and once with so many kills, in turn at any moment and in writing, and compares."""
    whole = Training(command, folder / "whole")
    whole.start()
    expected = whole.finish()
    seconds = json.loads((expected / "time.json").read_text())["seconds"] / kills
    broken = Training(command, folder / "broken")
    in_writing = []
    broken.start()
    for number in range(kills):
        if number % 2:
            killed = broken.kill_after(chance.uniform(0, seconds))
        else:
            killed = broken.kill_in_writing(chance.randint(1, 4))
        if not killed:
            break
        in_writing.append(bool(broken.writing))
        broken.start()
    return Figures(len(in_writing), sum(in_writing), list(differences(expected, broken.finish())))


def differences(one: Path, other: Path) -> Iterator[str]:
    """What two runs do not share bit for bit: their log, sheets and checkpoints; and what is left half written."""
    logs = [rows(run) for run in (one, other)]
    if logs[0] != logs[1]:
        yield "metrics.csv"
    sheets = [{path.name: path.read_bytes() for path in run.glob("samples/*.png")} for run in (one, other)]
    if sheets[0] != sheets[1]:
        yield "samples"
    for name in ("last", "previous-1", "best"):
        pair = [torch.load(run / "checkpoints" / f"{name}.ckpt", weights_only=True) for run in (one, other)]
        for end in pair:
            # Lightning's count of the batches of the last validation, which it begins anew with each: 0 in a process
            # that goes on and has not validated yet.
            end["loops"]["fit_loop"].pop("epoch_loop.val_loop.batch_progress")
        try:
            assert_same(*({part: value for part, value in end.items() if part != "callbacks"} for end in pair))
        except AssertionError as error:
            yield f"{name}.ckpt: {error}"
    yield from (str(path) for path in other.rglob(".*") if path.suffix in (".partial", ".ckpt"))


def run(cases, kills, roots, rendered, tmp_path, capsys) -> Figures:
    """The figures of all cases together, printed."""
    chance, every = random.Random(0), []
    for number, (system, more) in enumerate(cases):
        command = [
            *words(system, quick=True), *data_words(system, True, roots, rendered), *SMALL.get(system, []), *more,
            "--trainer.max_epochs=3", "--trainer.limit_train_batches=10", "--trainer.limit_val_batches=1",
            "--trainer.log_every_n_steps=1", "--trainer.enable_progress_bar=false", "--checkpoints.every_n_batches=2",
            "--health.every_n_batches=3", "--data.batch_size=4",
        ]  # fmt: skip
        folder = tmp_path / str(number)
        folder.mkdir()
        figures = soak(command, kills, folder, chance)
        every.append(figures)
        with capsys.disabled():
            print(f"\n{' '.join([system, *more])}: {figures}", end="", flush=True)
    total = Figures(*(sum((one[part] for one in every), start) for part, start in enumerate((0, 0, []))))
    with capsys.disabled():
        systems = len({system for system, _ in cases})
        print(
            f"\n{systems} systems, {total.kills} kills, {total.in_writing} of them while a checkpoint was written, "
            f"{len(total.mismatches)} mismatches"
        )
    return total


def test_a_training_that_is_killed_ends_as_if_it_had_not_been(roots, rendered, tmp_path, capsys):
    figures = run([("dcgan", [])], 2, roots, rendered, tmp_path, capsys)
    assert figures.kills == 2 and not figures.mismatches


@pytest.mark.slow
def test_every_system_killed_again_and_again(roots, rendered, tmp_path, capsys):
    figures = run(CASES, 4, roots, rendered, tmp_path, capsys)
    assert figures.kills >= 40 and figures.in_writing >= 10 and not figures.mismatches
