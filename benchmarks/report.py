"""Writes RESULTS.md from the measured runs in `benchmarks/results/`: `python -m benchmarks.report`."""

import json
from pathlib import Path
from typing import Any

from lit_gen.data.files import complete_file

FOLDER = Path(__file__).parent / "results"
TARGET = Path(__file__).parents[1] / "RESULTS.md"

# System: (figure, what it is, what is to be reached). A star stands for the rest of the name.
SHOWN = {
    "AutoEncoder": [("test/reconstruction", "squared error an image", "")],
    "AAE": [
        ("mmd_ratio", "MMD of codes and prior, over that of two draws of the prior", "at most 2"),
        ("test/reconstruction", "squared error an image", "within 10 % of the AutoEncoder"),
    ],
    "InfoGAN": [
        ("test/category_accuracy", "category accuracy after matching", "at least 0.90 (paper about 0.95)"),
        ("test/information_categorical", "bound on the category's information in nats", "log 10 = 2.303"),
    ],
    "Text2Image": [
        ("held_out_stated", "stated attributes present, held-out combinations", "at least 0.80"),
        ("held_out_all_stated", "all stated attributes present", ""),
        ("held_out_judge_stated", "the judge on the real pictures of those captions", ""),
    ],
    "PuzzleGAN": [
        ("test/mask_iou", "mask IoU", "at least 0.6"),
        ("test/patch_l1", "L1 inside the patches, of 2", "below 0.10"),
    ],
    "CycleGAN": [
        ("*_taken_for_target", "translations taken for the target domain", "at least 0.90"),
        ("*_change_outside", "L1 change outside the animal, of 2", "at most 0.05"),
        ("*_error_ratio", "error to the true counterpart, over the identity's", "at most 0.5"),
        ("judge_accuracy", "the judge on real pictures", ""),
    ],
    "StarGAN": [
        ("changed", "changed attribute recognised", "at least 0.85"),
        ("kept", "others unchanged", "at least 0.90"),
        ("judge_accuracy", "the judge on real pictures", ""),
    ],
}

HEAD = """# Results

Written by `python -m benchmarks.report` from `benchmarks/results/*.json`, which hold every figure. Each of these was
written by `python -m benchmarks.measure <run folder> --save <name>` after the command beside it, on held-out data. A
judge is a small classifier trained on the dataset's own labels; its accuracy on real pictures stands beside.
Minutes are wall time; all these runs had one thread, and other work beside them on the same two cores.
"""


def main() -> None:
    records = [(path.stem, json.loads(path.read_text())) for path in sorted(FOLDER.glob("*.json"))]
    with complete_file(TARGET) as partial:
        partial.write_text(HEAD + "".join(section(name, record) for name, record in records))


def section(name: str, record: dict[str, Any]) -> str:
    """One run as a heading, how it was made, and a table of its main figures."""
    figures = record["figures"]
    lines = [
        f"\n## {name}: {record['system']} on {record['data']}, {record['size']} px\n",
        f"`{record['command']}`\n",
        f"Seed {record['seed']}, {record['minutes']} minutes on {record['hardware']}, commit {record['commit']}.\n",
        "| figure | measured | to reach |",
        "|---|---|---|",
    ]
    for key, words, target in SHOWN.get(record["system"], []) or [(key, key, "") for key in figures]:
        values = [figures[found] for found in matching(key, figures)]
        if values:
            lines.append(f"| {words} | {', '.join(f'{value:.3g}' for value in values)} | {target} |")
    return "\n".join(lines) + "\n"


def matching(key: str, figures: dict[str, float]) -> list[str]:
    """The names that `key` stands for."""
    return [name for name in figures if name.endswith(key[1:])] if key.startswith("*") else [key] * (key in figures)


if __name__ == "__main__":
    main()
