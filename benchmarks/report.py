"""Writes RESULTS.md from the measured runs in `benchmarks/results/`: `python -m benchmarks.report`."""

import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lit_gen.files.atomic import complete_file

FOLDER = Path(__file__).parent / "results"
TARGET = Path(__file__).parents[1] / "RESULTS.md"

# (figure, what it is, what is to be reached or what the paper has); a star stands for anything.
FID = ("*fid*", "FID", "")  # also extrapolated and of two real halves, in records that have these
PICTURES = [
    FID,
    ("*swd*_mean", "sliced Wasserstein distance x 1,000, mean over levels", ""),
    ("ms_ssim*", "MS-SSIM of samples, of real pictures", ""),
]
PARZEN = ("parzen_log_likelihood", "Parzen log-likelihood in nats")
SHOWN = {
    "AutoEncoder": [("reconstruction", "squared error an image", "")],
    "VAE": [
        ("nll", "-log p(x) in nats", "at most 85.0, with k = 50 83.5; Burda et al. 86.76 and 84.78 on MNIST"),
        ("active_units", "active units", "paper 19"),
        ("mig", "mutual information gap of codes and scene factors", ""),
        ("elbo", "evidence lower bound in nats", ""),
        FID,
    ],
    "AAE": [
        ("mmd_training_ratio", "MMD of training codes and prior, over that of two draws of the prior", "at most 2"),
        ("mmd_ratio", "the same of test codes", ""),
        ("reconstruction", "squared error an image", "within 10 % of the AutoEncoder"),
        (*PARZEN, "paper 340 +- 2 on MNIST"),
        FID,
    ],
    "GAN": [(*PARZEN, "paper 225 +- 2 on MNIST"), *PICTURES],
    "DCGAN": [
        *PICTURES,
        ("least_digit*", "the rarest digit's frequency, over that of the real ones", "at least 0.8"),
        ("most_digit*", "the most frequent digit's", "at most 1.2"),
    ],
    "InfoGAN": [
        ("category_accuracy", "category accuracy after matching", "at least 0.90 (paper about 0.95)"),
        ("mig", "mutual information gap of codes and scene factors", ""),
        ("information_categorical", "bound on the categories' information in nats", "log 10 = 2.303 for each code"),
        *PICTURES,
    ],
    "Text2Image": [
        ("held_out_stated", "stated attributes present, held-out combinations", "at least 0.80"),
        ("held_out_all_stated", "all stated attributes present", ""),
        ("test_stated", "stated attributes present, test captions", ""),
        ("effect_error_ratio", "error of what an attribute does to an image, over no effect's", ""),
        *PICTURES,
    ],
    "PuzzleGAN": [
        ("mask_iou", "mask IoU", "at least 0.6"),
        ("patch_l1", "L1 inside the patches, of 2", "below 0.10"),
        *PICTURES,
    ],
    "CycleGAN": [
        ("*_taken_for_target", "translations taken for the target domain", "at least 0.90"),
        ("*_change_outside", "L1 change outside the animal, of 2", "at most 0.05"),
        ("*_error_ratio", "error to the true counterpart, over the identity's", "at most 0.5"),
        ("*fid_inception*", "FID", "official code 62 for horses to zebras at 256 px"),
    ],
    "StarGAN": [
        ("changed", "changed attribute recognised", "at least 0.85"),
        ("kept", "others unchanged", "at least 0.90"),
        ("inside_error_ratio", "error to the true image in the region of the change, over the identity's", ""),
        ("outside_error", "error outside of it, of 2", ""),
        ("identity_kept", "nearest to the true image of the same face", ""),
        FID,
    ],
    "ProGAN": [
        ("swd*_mean", "sliced Wasserstein distance x 1,000, mean over levels", "paper 2.96 on CelebA at 128 px"),
        ("ms_ssim*", "MS-SSIM of samples, of real pictures", "paper 0.283"),
        FID,
    ],
}

HEAD = """# Results

Written by `python -m benchmarks.report` from `benchmarks/results/*.json`, which hold every figure. Each of these was
written by `python -m benchmarks.measure <run folder> --save <name>` after the command beside it, on held-out data. A
judge is a small classifier trained on the dataset's own labels, with its accuracy on real pictures. Minutes are wall
time, and images/s those of training; most of these runs had other work beside them on the same two cores. The commit
is that of the measuring. -log p(x) is an upper bound that falls towards the true value with the number of importance
samples; k is how many a VAE was trained with. AAE's aim is for the codes of training images, with which the prior is
matched; before 6964c5c only those of test images were compared with it. Under a run's heading stands how short of its
aim it is, and why.

FID on `digits-…`, the digit classifier that comes with the project, is called digit-FID: it is not the FID of papers.
In records of before that name, `fid_digits-…` is digit-FID, and `ms_ssim_<n>_scales`, as torchmetrics has it, with
mirrored borders and n scales, can be compared with no published value. "of" is the number of generated images.

Is an AAE better than a VAE with the same encoder and decoder (pair-*: 8-d codes, 400 units, six epochs, three seeds)?
By digit-FID in all three: 10.5, 10.2, 9.9 against 12.3, 13.0, 12.0.

"""
COLUMNS = (
    "run", "system", "data", "settings", "seed", "commit", "hardware", "minutes", "images/s", "metric", "measured",
    "to reach", "sheet",
)  # fmt: skip


def main() -> None:
    with complete_file(TARGET) as partial:
        partial.write_text(page())


def page() -> str:
    """RESULTS.md: all main figures in one table, then each run with all its figures."""
    paths = sorted(FOLDER.glob("*.json"), key=lambda path: path.stem)
    records = [(path.stem, json.loads(path.read_text())) for path in paths]
    rows = [row for name, record in records for row in table_rows(name, record)]
    return HEAD + table(COLUMNS, rows) + "".join(section(name, record) for name, record in records)


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table_rows(name: str, record: dict[str, Any]) -> list[tuple[str, ...]]:
    """A row for each main figure of a run; what holds for all of them stands in the first."""
    figures = {key.removeprefix("test/"): figure for key, figure in record["figures"].items()}
    sheet = f"[sheet](docs/{name}.png)" if (TARGET.parent / "docs" / f"{name}.png").is_file() else ""
    speed = record["images_per_second"]
    run = (
        f"[{name}](#{name.lower()})", record["system"], f"{record['data']}, {record['size']} px",
        settings(record["command"]), str(record["seed"]), record["commit"], record["hardware"],
        f"{record['minutes']:g}", f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}",
    )  # fmt: skip
    rows = []
    for key, words, aim in SHOWN.get(record["system"], [("*", "all figures below", "")]):
        found = [figure for known, figure in figures.items() if fnmatchcase(known, key)]
        if found:
            by = {figure["features"]: None for figure in found if figure["features"]}  # each once, in their order
            if words == "FID" and any(name.startswith("digits-") for name in by):
                words = "digit-FID"
            measured = ", ".join(f"{figure['value']:.4g}" for figure in found)
            rows.append((*run, words, "; ".join([measured, *by]), aim, sheet))
            run, sheet = ("",) * len(run), ""
    return rows


def settings(command: str) -> str:
    """The configs of a command, and how many settings were changed after them."""
    configs = re.findall(r"--config[ =](?:configs/)?(\S+)", command)
    changed = len(re.findall(r"--(?!config\b)\S", command))
    words = [" + ".join(f"`{config}`" for config in configs)] if configs else []
    words += [f"{changed} setting{'s' * (changed > 1)}"] if changed else []
    return ", ".join(words)


def section(name: str, record: dict[str, Any]) -> str:
    """One run as a heading, how it was made, and a table of its figures."""
    torch = f", torch {record['torch']}" if record["torch"] else ""
    lines = [
        f"\n## {name}\n",
        f"{record['system']} on {record['data']}, {record['size']} px:\n",
        f"`{record['command']}`\n",
        f"Seed {record['seed']}, {record['images_seen']:,} images in {record['minutes']:g} minutes on "
        f"{record['hardware']}, commit {record['commit']}{torch}.\n",
    ]
    if record["note"]:
        lines.append(f"{record['note']}\n")
    rows = [
        (key.removeprefix("test/"), f"{figure['value']:.4g}", f"{figure['samples']:,}", figure["features"])
        for key, figure in record["figures"].items()
    ]
    return "\n".join([*lines, ""]) + table(("figure", "measured", "of", "by"), rows)


if __name__ == "__main__":
    main()
