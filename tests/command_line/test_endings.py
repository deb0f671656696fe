"""The one line that a command ends with."""

from torch.multiprocessing.spawn import ProcessRaisedException

from lit_gen.command_line.endings import mistake


def test_a_mistake_that_a_started_process_found():
    """By ddp_spawn: torch raises another error, with the process's traceback as its text."""
    text = (
        '\n\n-- Process 0 terminated with the following error:\nTraceback (most recent call last):\n  File "x.py"\n'
        "lit_gen.errors.UserError: 2 processes cannot share 1 val images.\nSet --trainer.devices lower.\n"
    )
    said = mistake(ProcessRaisedException(text, 0, 1))
    assert said == "2 processes cannot share 1 val images. Set --trainer.devices lower."
    assert mistake(ProcessRaisedException(text.replace("lit_gen.errors.UserError", "ValueError"), 0, 1)) is None
