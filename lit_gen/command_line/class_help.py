"""`--model.help VAE`: each setting of a class once, with its values, default and explanation, in groups.

It is read from the source files, so that it does not wait for torch.
"""

import ast
import re
from textwrap import fill

from lit_gen.command_line.sources import Setting, classes, settings_of_class

COLUMNS = 100
# The groups of the settings by their names; the first that fits counts, the last has the rest.
GROUPS = {
    "model": {
        "optimizer, schedule and initial weights": r"learning_rate|optimizer|momentum|betas|epsilon|decay|n_critic|kimg"
        r"|minibatch|initialization|_range|_from_data",
        "test and predict": r"eval_samples|^direction$",
        "loss": r"weight|loss|^beta$|prior|posterior|conditional|likelihood|binarize|deviation|samples|labelled|aware"
        r"|composites|penalty|pool|std$|input_noise|^attributes$",
        "architecture": "",
    },
    "data": {
        "files": r"root|folder|dataset|download|cache|broken|megapixels",
        "rendered data": r"synthetic",
        "splits and batches": r"val_|batch|workers|labelled$|held_out",
        "images, labels and sentences": "",
    },
}
ORDER = ("architecture", "loss", "optimizer, schedule and initial weights", "test and predict")
VALUES = {
    "int": "integer", "float": "number", "bool": "true or false", "str": "text", "Path": "path",
    "PositiveInt": "integer from 1", "NonNegativeInt": "integer from 0", "NonNegativeFloat": "number from 0",
    "PositiveFloat": "number above 0", "ClosedUnitInterval": "number from 0 to 1",
    "BelowOne": "number from 0 to below 1", "EncoderArgument": "class", "DecoderArgument": "class",
}  # fmt: skip
"""Types in words, for the help and for the line that refuses a value."""
PAPER = "A default is the paper's value, where the paper has one and the text names no other."


def class_help(part: str, kind: str) -> str | None:
    """Return the settings of a model or data module (`part`: model or data); None for a class of another package.

    The class is given by its name or its import path.
    """
    settings = settings_of_class(part, kind)
    if settings is None:
        return None
    name = kind.rpartition(".")[2]
    text = dict(classes(part))[name]
    lines = [fill(text if re.match(rf"{name}\b", text) else f"{name}: {text}", COLUMNS), *[PAPER] * (part == "model")]
    found: dict[str, list[str]] = {}
    for setting in settings:
        group = next(title for title, pattern in GROUPS[part].items() if re.search(pattern, setting.name))
        found.setdefault(group, []).extend(explained(part, setting))
    for group in ORDER if part == "model" else GROUPS[part]:
        lines += ["", group, *found[group]] if group in found else []
    return "\n".join(lines)


def explained(part: str, setting: Setting) -> list[str]:
    """Return the lines of a setting."""
    default = "required" if setting.default is None else f"default {shown(setting.default)}"
    values = f"{takes(setting.annotation)}; " if setting.annotation else ""
    text = setting.text[:1].upper() + setting.text[1:]
    indent = " " * 6
    return [
        f"  --{part}.{setting.name} ({values}{default})",
        fill(text, COLUMNS, initial_indent=indent, subsequent_indent=indent),
    ]


def takes(node: ast.expr) -> str:
    """Return an annotation in words."""
    if isinstance(node, ast.BinOp):
        return f"{takes(node.left)} or {takes(node.right)}"
    if isinstance(node, ast.Subscript):
        items = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        words = [takes(item) for item in items]
        kind = ast.unparse(node.value)
        if kind == "dict":
            return f"map of {words[0]} to {words[1]}"
        if kind == "tuple":
            return f"[{', '.join(words)}]"
        return " | ".join(words) if kind == "Literal" else f"{kind} of {', '.join(words)}"
    if isinstance(node, ast.Constant):
        return "null" if node.value is None else str(node.value)
    return VALUES.get(ast.unparse(node), ast.unparse(node))


def shown(node: ast.expr) -> str:
    """Return a default as the command line writes it."""
    if isinstance(node, ast.Constant):
        value = node.value
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(node, ast.Tuple | ast.List):
        return f"[{', '.join(map(shown, node.elts))}]"
    if isinstance(node, ast.Call) and ast.unparse(node.func) in ("network", "Path"):
        first, *rest = [
            *(ast.unparse(one) for one in node.args),
            *(f"{one.arg}={shown(one.value)}" for one in node.keywords),
        ]
        return first.strip("'") + f"({', '.join(rest)})" * bool(rest)
    return ast.unparse(node)
