"""Names in the log that older versions had, and what they are now."""

import re
from typing import Any

RENAMED = (
    (r"train/((?:d|g)_\w+|bound|encoder_adversarial|kl|reconstruction)", r"train/loss_\1"),
    (r"(health)/d_(real|fake)", r"\1/{output}_\2"),
    (r"(val|test)/d_logit_(real|fake)", r"\1/{output}_\2"),
    (r"(val|test)/score_([ab])_(real|fake)", r"\1/d_score_\2_\3"),
)
"""Patterns of old names, and the new ones; `{output}` is what the model calls the output of its discriminator."""


def current_name(name: str, model: Any) -> str:
    """Return the present name of a value in the log of a model; one that was never another stays."""
    for old, new in RENAMED:
        if match := re.fullmatch(old, name):
            return match.expand(new).format(output=getattr(model, "output_name", "d_logit"))
    return name
