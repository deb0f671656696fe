"""What SLURM says of the job that this process belongs to, and the request to start that job again."""

import os
import subprocess
from typing import Any

from lightning.pytorch.utilities import rank_zero_info


def job() -> str | None:
    """Return the id of this batch job, `12_3` for task 3 of the job array 12; None outside of one, and in a shell."""
    if os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive"):  # the names by which Lightning knows a shell
        return None
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID") or None


def restarts() -> int:
    """Return how often SLURM has started this job again."""
    count = os.environ.get("SLURM_RESTART_COUNT", "")
    return int(count) if count.isdecimal() else 0


def requeue() -> str:
    """Have SLURM stop this job and start it again, and return a line about it."""
    command = ["scontrol", "requeue", str(job())]
    try:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    except OSError as error:
        return f"{' '.join(command)} failed: {error.strerror}"
    if done.returncode:
        return f"{' '.join(command)} failed: {' '.join(done.stdout.split()) or f'exit code {done.returncode}'}"
    return f"SLURM starts job {job()} again"


def on_signal(number: int, frame: Any) -> None:
    """Handle the signal by which SLURM says that the time of the job is running out."""
    rank_zero_info(requeue())
