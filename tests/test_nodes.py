"""Two "nodes" on this machine, as `torchrun --nnodes 2` starts them on two."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]


def on_two_nodes(*words):
    """Runs main.py with `words` in two groups of one process each, which find each other as those of two machines."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--master_addr=127.0.0.1"]
    words = [*words, "--trainer.num_nodes=2", "--trainer.devices=1", "--trainer.accelerator=cpu"]
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.enable_model_summary=false"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}
    nodes = [
        subprocess.Popen(
            [sys.executable, *launch, f"--master_port={port}", f"--node_rank={rank}", "main.py", *words, *quiet],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        said = [node.communicate(timeout=240)[0] for node in reversed(nodes)]
    finally:
        for node in nodes:
            node.kill()
    assert [node.returncode for node in nodes] == [0, 0], "\n".join(said)


@pytest.mark.slow
def test_two_nodes_share_a_training_and_its_folder(tmp_path):
    words = ["--config=configs/vae.yaml", f"--data.root={tmp_path}", "--data.synthetic=true"]
    words += ["--data.synthetic_count=120", "--data.batch_size=10", "--model.encoder.hidden_sizes=[8]"]
    words += [f"--trainer.default_root_dir={tmp_path / 'runs'}"]
    on_two_nodes("fit", *words, "--data.val_size=20", "--trainer.max_epochs=1")
    (run,) = (tmp_path / "runs" / "vae").iterdir()
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 5  # 100 images by two processes in tens
    assert checkpoint["state_dict"]["_extra_state"]["images_seen"] == 100  # both count what each has seen
    on_two_nodes("predict", *words, "--data.val_size=20", "--ckpt_path=last")
    (predictions,) = (tmp_path / "runs" / "vae").glob("*/predictions")
    assert len(list(predictions.glob("0-*.png"))) == len(list(predictions.glob("1-*.png"))) == 10
