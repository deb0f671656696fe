"""A run that is stopped in mid-epoch and goes on with other batches, as a user does it."""

import signal

import pytest
import torch

from lit_gen.cli import main
from tests.test_cli import TINY_DCGAN, TINY_VAE, signalled

RUN = ["--trainer.max_epochs=3", "--trainer.limit_val_batches=1", "--trainer.enable_progress_bar=false",
       "--trainer.logger=false", "--checkpoints.every_n_batches=0"]  # fmt: skip
DECAY = "--model.learning_rate_decay=0.01"


def last_of(folder):
    (path,) = folder.glob("*/*/checkpoints/last.ckpt")
    return path, torch.load(path, weights_only=True)


def data_words(root):
    """300 images for training."""
    return ["--data=MNIST", f"--data.root={root}", "--data.download=false", "--data.val_size=100"]


@pytest.mark.parametrize(
    ("changes", "images"),
    [
        ({"data.batch_size": 50}, 300 + 300 + 300),
        ({"data.batch_size": 7}, 300 + 160 + 20 * 7 + 42 * 7),  # 140 are left of the second epoch
        ({"trainer.limit_train_batches": 10}, 300 + 200 + 200),
        ({"trainer.accumulate_grad_batches": 3}, 900),
    ],
)
def test_with_one_process(changes, images, mnist_root, tmp_path, monkeypatch):
    """Stopped when 8 of the 15 batches of the second of three epochs are done."""
    words = ["fit", *data_words(mnist_root), *TINY_VAE, DECAY, *RUN, f"--trainer.default_root_dir={tmp_path}"]
    monkeypatch.setenv("PROBE_SIGNAL", str(int(signal.SIGTERM)))
    monkeypatch.setenv("PROBE_BATCH", "23")
    with pytest.raises(SystemExit):
        main([*words, "--data.batch_size=20", "--trainer.callbacks+=tests.probes.SignalBetween"])
    _, before = last_of(tmp_path)
    counts = {"images_seen": 460, "images_in_epoch": 160, "run_seed": 0}
    assert counts.items() <= before["state_dict"]["_extra_state"].items()
    assert before["MNIST"]["rows_done"] == 160
    changes = {"data.batch_size": 20} | changes
    main([*words, "--ckpt_path=last", *(f"--{name}={value}" for name, value in changes.items())])
    _, after = last_of(tmp_path)
    assert after["epoch"] == 2
    assert abs(after["state_dict"]["_extra_state"]["images_seen"] - images) < changes["data.batch_size"]
    (group,) = after["optimizer_states"][0]["param_groups"]
    an_epoch = 300 // changes["data.batch_size"] * changes["data.batch_size"]
    an_epoch = changes.get("trainer.limit_train_batches", an_epoch / 20) * 20
    last_step = changes["data.batch_size"] * changes.get("trainer.accumulate_grad_batches", 1)
    assert group["lr"] / group["initial_lr"] == pytest.approx(0.01 ** (1 - last_step / an_epoch / 3))


@pytest.mark.slow  # a minute: two trainings of two processes
def test_with_another_number_of_processes(mnist_root, tmp_path):
    """Two, stopped in mid-epoch and between the batches of a step, then one."""
    words = ["fit", *data_words(mnist_root), *TINY_DCGAN, *RUN, f"--trainer.default_root_dir={tmp_path}"]
    words += ["--data.batch_size=15", "--trainer.accelerator=cpu"]
    two = ["--trainer.devices=2", "--trainer.accumulate_grad_batches=2"]
    done = signalled([*words, *two], signal.SIGTERM, 13)
    assert done.returncode == 143, done.stderr
    path, before = last_of(tmp_path)
    assert before["global_step"] == 13 and [len(waiting) for waiting in before["waiting"]] == [1, 1]
    assert before["state_dict"]["_extra_state"]["images_seen"] == 12 * 30
    main([*words, f"--ckpt_path={path}", "--trainer.devices=1"])
    _, after = last_of(tmp_path)
    assert after["state_dict"]["_extra_state"]["images_seen"] == 900, "those that waited came again"
    assert after["global_step"] == 13 + 16 + 20
