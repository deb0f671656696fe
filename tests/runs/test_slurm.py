import os
from pathlib import Path

import pytest

from lit_gen.runs import slurm


def scontrol(folder: Path, code: int = 0, says: str = "") -> Path:
    """A program of that name in `folder`, which writes its words to `asked` there."""
    program = folder / "scontrol"
    program.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\necho "{says}" >&2\nexit {code}\n')
    program.chmod(0o755)
    return folder / "asked"


@pytest.mark.parametrize(
    ("variables", "job", "restarts"),
    [
        ({}, None, 0),
        ({"SLURM_JOB_ID": ""}, None, 0),
        ({"SLURM_JOB_ID": "12"}, "12", 0),
        ({"SLURM_JOB_ID": "12", "SLURM_RESTART_COUNT": "3"}, "12", 3),
        ({"SLURM_JOB_ID": "12", "SLURM_JOB_NAME": "train"}, "12", 0),
        ({"SLURM_JOB_ID": "12", "SLURM_JOB_NAME": "bash"}, None, 0),
        ({"SLURM_JOB_ID": "12", "SLURM_JOB_NAME": "interactive"}, None, 0),
        ({"SLURM_JOB_ID": "14", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "0"}, "12_0", 0),
    ],
)
def test_the_job(variables, job, restarts, monkeypatch):
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert (slurm.job(), slurm.restarts()) == (job, restarts)


def test_requeue(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert slurm.requeue() == "scontrol requeue 12 failed: No such file or directory"
    asked = scontrol(tmp_path)
    assert slurm.requeue() == "SLURM starts job 12 again" and asked.read_text() == "requeue 12\n"
    scontrol(tmp_path, 1, "Job is not requeueable")
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin")
    assert slurm.requeue() == "scontrol requeue 12 failed: Job is not requeueable"
