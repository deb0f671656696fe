"""The processes of one command: which of them owns the run folder, and what it tells those that it starts."""

import os
from pathlib import Path

from lit_gen.lightning_compat import rank

# The processes that DDP starts run the same command as the first one, which tells them the folder and the checkpoint.
FOLDER_VARIABLE = "LIT_GEN_RUN_FOLDER"
CHECKPOINT_VARIABLE = "LIT_GEN_CHECKPOINT"


def is_first_process() -> bool:
    """Return whether this process owns the run folder: the first one of a command, over all machines."""
    # Lightning's rank counts from 0 on each machine where it is told no more than LOCAL_RANK and NODE_RANK.
    node = os.environ.get("NODE_RANK", os.environ.get("GROUP_RANK", "0"))
    return rank() == 0 and node == "0"


def tell(folder: Path | None, checkpoint: str | None) -> None:
    """Tell the processes that this one is going to start the command's run folder and checkpoint."""
    os.environ[FOLDER_VARIABLE], os.environ[CHECKPOINT_VARIABLE] = str(folder or ""), checkpoint or ""


def told() -> tuple[Path | None, str | None] | None:
    """Return the run folder and the checkpoint that this process was told; None where it has to find them itself."""
    # A first process has a command of its own, even if a training has started it.
    if rank() == 0 or FOLDER_VARIABLE not in os.environ:
        return None
    folder, checkpoint = os.environ[FOLDER_VARIABLE], os.environ.get(CHECKPOINT_VARIABLE)
    return Path(folder) if folder else None, checkpoint or None


def forget() -> None:
    """Take back what `tell` said, so that another command may follow in this process."""
    for name in (FOLDER_VARIABLE, CHECKPOINT_VARIABLE):
        os.environ.pop(name, None)
