"""Checkpoints on a disk that is too small for them."""

import resource

import pytest
import torch

from lit_gen.errors import UserError
from lit_gen.runs.checkpoint_files import WholeCheckpointIO


def test_a_checkpoint_that_does_not_fit_is_one_line_and_leaves_the_one_before(tmp_path):
    place = tmp_path / "last.ckpt"
    WholeCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.zeros(10)}}, place)
    before = place.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(UserError, match="^cannot write .*last.ckpt: File too large. Make room."):
            WholeCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.zeros(100_000)}}, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"] and place.read_bytes() == before
