"""A record of a run, as `benchmarks.measure` writes it."""

from typing import Any


def record_of(
    system: str, data: str, size: int, figures: dict[str, tuple[float, int, str]], **more: Any
) -> dict[str, Any]:
    """A record with figures of value, number of samples and features; `more` takes the place of what is usual."""
    about = {
        "system": system, "data": data, "size": size, "seed": 3, "minutes": 9.5, "images_seen": 5_700,
        "images_per_second": 10.0, "command": f"python main.py fit --config configs/{system.lower()}.yaml", "note": "",
        "commit": "abc", "hardware": "a processor", "torch": "2.9",
    }  # fmt: skip
    names = "value", "samples", "features"
    return about | more | {"figures": {name: dict(zip(names, figure, strict=True)) for name, figure in figures.items()}}
