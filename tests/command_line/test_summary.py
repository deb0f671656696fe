"""The lines that a command prints before it runs."""

from types import SimpleNamespace

import pytest
import torch

from lit_gen.command_line.summary import summary
from lit_gen.models import VAE
from tests.models import tiny


@pytest.mark.parametrize(
    ("processor", "precision", "slow"),
    [("AVX2", "bf16-mixed", True), ("AVX2", "32-true", False), ("AVX512", "bf16-mixed", False)],
)
def test_bfloat16_on_a_processor_without_it_is_said_to_be_slow(processor, precision, slow, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: processor)
    trainer, data = tiny.trainer(tmp_path, precision=precision), SimpleNamespace(datasets={"train": range(7)})
    lines = summary(trainer, tiny.build(VAE), data, "runs/vae/first", None).splitlines()
    (devices,) = [line.strip() for line in lines if "devices" in line]
    assert devices.startswith(f"devices: 1 x CPU, precision {precision}")
    assert devices.endswith("this processor (it has no AVX-512): --trainer.precision=32-true") == slow
    assert any("7 train" in line for line in lines)
