"""Files of networks in the formats of `export`, each compared with the model when it is written."""

import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import torch as safetensors
from torch import Tensor
from torch.export import Dim

from lit_gen.errors import UserError
from lit_gen.tasks.exports import Exported

ENDINGS = {"onnx": "onnx", "torch_export": "pt2", "safetensors": "safetensors"}
BATCHES = (1, 2, 5)
TOLERANCE = 1e-4
AXES = ("batch", "channels", "height", "width")


def write(name: str, part: Exported, folder: Path, form: str) -> dict[str, Any]:
    """Write a network, compare what the file gives with what the model gives, and say so.

    Returns:
        What the card says of it.

    Raises:
        UserError: the network cannot be written in this format, or its file gives something else.
    """
    path = folder / f"{name}.{ENDINGS[form]}"
    cases = [part.examples(count, padding=4 * number) for number, count in enumerate(BATCHES)]
    expected = [part(*case) for case in cases]
    try:
        with warnings.catch_warnings(action="ignore"):
            save(part, path, form)
            run = opened(part, path, form)
            results = [[torch.as_tensor(output) for output in run(case)] for case in cases]
    except Exception as error:  # exporters raise errors of all kinds
        said = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(f"{name} cannot be exported as {form}: {said}") from error
    pairs = [pair for one, other in zip(expected, results, strict=True) for pair in zip(one, other, strict=True)]
    difference = max_difference(pairs)
    ports = {
        "inputs": described({name: one.values for name, one in part.inputs.items()}, *cases[:2]),
        "outputs": described(part.outputs, *expected[:2]),
    }
    shapes = [", ".join(f"{key} ({', '.join(map(str, one['shape']))})" for key, one in side.items())
              for side in ports.values()]  # fmt: skip
    batches = ", ".join(map(str, BATCHES))
    print(f"{name}: {' -> '.join(shapes)}; largest difference {difference:.1e} on batches of {batches}")
    if not difference <= TOLERANCE:
        raise UserError(
            f"{path.name} gives something else than the model: {difference:.1e} is above {TOLERANCE:g}. "
            "Nothing is kept; try another --format."
        )
    return {"file": path.name, **ports, "largest_difference": difference}


def max_difference(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Return the largest absolute difference within pairs, relative to the largest value where that is above 1."""
    if any(one.shape != other.shape for one, other in pairs):
        return float("inf")
    found = [(one - other).abs().max() / one.abs().max().clamp(min=1) for one, other in pairs]
    return float(torch.stack(found).max())  # also where one is not a number


def described(values: Mapping[str, str], *cases: Sequence[Tensor]) -> dict[str, Any]:
    """Return shape, type and meaning of inputs or outputs by name; an axis in which two cases differ is free."""
    found = {}
    for (name, text), one, other in zip(values.items(), *cases, strict=True):
        sizes = enumerate(zip(one.shape, other.shape, strict=True))
        shape = [length if length == second else AXES[axis] for axis, (length, second) in sizes]
        found[name] = {"shape": shape, "type": str(one.dtype).removeprefix("torch."), "values": text}
    return found


def save(part: Exported, path: Path, form: str) -> None:
    """Write a network to a file."""
    if form == "safetensors":
        weights = part.network.state_dict().items()
        path.write_bytes(
            safetensors.save({name: value.clone() for name, value in weights if isinstance(value, Tensor)})
        )
        return
    free = [{0: Dim.DYNAMIC} | (dict.fromkeys((2, 3), Dim.DYNAMIC) if one.free_size else {})
            for one in part.inputs.values()]  # fmt: skip
    exported = torch.export.export(part, part.examples(3), dynamic_shapes=(tuple(free),))
    if form == "torch_export":
        content = io.BytesIO()  # on a full disk torch's own writer ends the process
        torch.export.save(exported, content)
        path.write_bytes(content.getvalue())
    else:
        names: Any = {"input_names": list(part.inputs), "output_names": list(part.outputs)}
        torch.onnx.export(exported, f=path, external_data=False, verbose=False, **names)


def opened(part: Exported, path: Path, form: str) -> Callable[[Sequence[Tensor]], Sequence[Any]]:
    """Return the network of a file, as a function of its inputs."""
    if form == "safetensors":
        for value in filter(torch.is_tensor, part.network.state_dict().values()):
            value.zero_()  # so that what the file lacks is missed
        part.network.load_state_dict(safetensors.load_file(path), strict=False)
        return lambda inputs: part(*inputs)
    if form == "torch_export":
        module = torch.export.load(path).module()
        return lambda inputs: module(*inputs)
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {name: one.numpy() for name, one in zip(part.inputs, inputs, strict=True)})
