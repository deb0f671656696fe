"""What is kept silent, and what is not."""

import warnings

from lightning import Trainer

from lit_gen.command_line.quiet import be_quiet


def test_a_warning_of_a_user_s_own_that_names_tensorboard_is_shown(tmp_path):
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        be_quiet()
        Trainer(accelerator="cpu", logger=True, default_root_dir=tmp_path, barebones=False)
        warnings.warn("my TensorBoard is full", stacklevel=1)
    assert [str(one.message) for one in seen if "ensor" in str(one.message)] == ["my TensorBoard is full"]
