"""Config files of older versions, brought to the present form: the one place that knows keys of then.

A key that is renamed or goes gets a rule in `translate`, and one line says what was made of it.
"""

from typing import Any

from lit_gen.runs.settings import has_header


def translate(settings: dict[str, Any], text: str) -> list[str]:
    """Change the settings of one file, in place, into those that the present version knows.

    Args:
        settings: what the file holds.
        text: the file itself; the first line tells a run's `config.yaml` from a file of the user's.

    Returns:
        What was changed, in lines for the user that go on from the file's name.
    """
    said = []
    of_training = has_header(text) and not {"verbose", "return_predictions"} & settings.keys()
    # A training's config.yaml once held what that run went on from: another training with it is to begin a new run.
    if of_training and (checkpoint := settings.pop("ckpt_path", None)):
        said.append(
            f"is of a run that went on from {checkpoint}: that is left out. --ckpt_path=<checkpoint> goes on with a "
            "run, or uses it."
        )
    return said
