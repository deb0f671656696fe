"""Makes the rows of failures on the systems' pages: `python -m benchmarks.failures [system ...]`.

Each failure is a short training of a system's quick overlay with settings that break it, once: what is there already is
not trained again. The upper rows of its last sample grid come to `docs/failures/<system>.jpg`, below a line that says
what was set. The pages have what such a failure means, and what to do.
"""

import argparse
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.moments import below_each_other, rows_of, write
from lit_gen.data.pixel_values import as_bytes
from lit_gen.report.images import grids_of
from lit_gen.tasks.grids import lettering

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "failures"


class Failure(NamedTuple):
    """A training that fails.

    name: of the run's folder.
    words: what the command line adds to the overlay.
    shown: what stands above its images.
    grid: the sample grid that shows it.
    rows: how many of the grid's rows are shown.
    """

    name: str
    words: list[str]
    shown: str
    grid: str = "samples"
    rows: int = 1


FAILURES = {
    "autoencoder": [
        Failure("from-noise", ["--trainer.max_epochs=5"], "No prior: decoded from N(0, I)"),
        Failure(
            "high-rate",
            ["--model.learning_rate=0.3", "--trainer.max_epochs=2"],
            "Learning rate 0.3",
            "reconstructions",
        ),
    ],
    "vae": [
        Failure(
            "beta-100",
            ["--model.beta=100", "--trainer.max_epochs=5"],
            "beta = 100: the latent is not used",
            "reconstructions",
        ),
        Failure("beta-0", ["--model.beta=0", "--trainer.max_epochs=5"], "beta = 0: latents are not those of the prior"),
    ],
    "aae": [
        Failure(
            "game-alone",
            ["--model.adversarial_weight=10000", "--trainer.max_epochs=5"],
            "Adversarial weight 10,000: the game outweighs the reconstruction",
        ),
    ],
    "gan": [
        Failure(
            "high-rate",
            ["--model.learning_rate=0.01", "--trainer.max_epochs=4"],
            "Learning rate 0.01: G collapses",
        ),
    ],
    "dcgan": [
        Failure(
            "high-rate",
            ["--model.learning_rate=0.01", "--model.betas=[0.9,0.999]", "--trainer.max_epochs=4"],
            "Learning rate 0.01, beta 0.9: the training oscillates",
        ),
    ],
    "infogan": [
        Failure(
            "no-information",
            ["--model.information_weight=0", "--trainer.max_epochs=3"],
            "Information weight 0: a row is no kind of digit",
            "code_1_categorical",
            2,
        ),
    ],
    "text2image": [
        Failure(
            "no-wrong-pairs",
            ["--model.matching_aware=false", "--trainer.max_epochs=10"],
            "No wrong pairs: what the sentence says is half ignored",
            "captions",
            4,
        ),
    ],
    "puzzle_gan": [
        Failure(
            "game-leads",
            ["--model.mask_weight=[1,1]", "--model.appearance_weight=[1,1]", "--trainer.max_steps=300"],
            "Weights 1 in place of 1,000 and 6,000: neither mask nor face",
            "puzzle",
            2,
        ),
    ],
    "cyclegan": [
        Failure(
            "no-cycle",
            ["--model.cycle_weight=0", "--model.blend=false", "--trainer.max_steps=300"],
            "Cycle weight 0, no mask: nothing of the image is kept",
            "a_to_b",
            2,
        ),
    ],
    "stargan": [
        Failure(
            "no-identity",
            ["--model.identity_weight=0", "--trainer.max_steps=600"],
            "No identity term: light backgrounds become dark ones",
            "samples",
            2,
        ),
    ],
    "progan": [
        Failure(
            "no-penalty",
            ["--model.penalty_weight=0", "--model.total_kimg=48"],
            "No gradient penalty: D's scores run away",
        ),
    ],
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train what fails, and put its images on one picture per system.")
    parser.add_argument("systems", nargs="*", metavar="system", help=f"{', '.join(FAILURES)}; all by default")
    options = parser.parse_args()
    unknown = [system for system in options.systems if system not in FAILURES]
    if unknown:
        parser.error(f"there is no system {unknown[0]}: {', '.join(FAILURES)}")
    for system in options.systems or FAILURES:
        parts = []
        for failure in FAILURES[system]:
            run = ROOT / "runs" / system / f"failure-{failure.name}"
            if subprocess.run(command(system, failure), cwd=ROOT).returncode:
                sys.exit(f"{run} has not come to its end")
            parts.append(shown(run, failure))
        write(below_each_other(parts), FOLDER / f"{system}.jpg")


def command(system: str, failure: Failure) -> list[str]:
    """Return the command line of the training that fails."""
    configs = [f"--config=configs/{system}.yaml", f"--config=configs/quick/{system}.yaml"]
    run = [f"--name=failure-{failure.name}", "--ckpt_path=auto", "--wandb.mode=disabled", "--seed_everything=0"]
    return [sys.executable, "main.py", "fit", *configs, *failure.words, *run]


def shown(run: Path, failure: Failure) -> np.ndarray:
    """Return what is shown of a run, (H, W, 3): a line, and below it the upper rows of its last grid."""
    grids = dict(grids_of(run)[failure.grid])
    with Image.open(grids[max(grids)]) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    pixels = pixels[: rows_of(pixels)[: failure.rows][-1][1]]
    line = as_bytes(lettering(failure.shown, pixels.shape[1], 3, 20)).permute(1, 2, 0).numpy()
    return np.concatenate([line, pixels])


if __name__ == "__main__":
    main()
