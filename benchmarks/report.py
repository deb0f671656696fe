"""Writes RESULTS.md from the records of finished runs: targets met, targets missed and by how much, papers' values.

`python -m benchmarks.report`; `python -m benchmarks.pages` writes it too, and the tables on the pages of the systems.
"""

from fnmatch import fnmatchcase
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from benchmarks.records import Run, matching, metric_of, runs, table, with_deviation
from lit_gen.files.atomic import write_text
from lit_gen.metrics import meanings

TARGET = Path(__file__).parents[1] / "RESULTS.md"
PAGES = {
    name: f"docs/systems/{name.lower()}.md" for name in ("AutoEncoder", "VAE", "AAE", "GAN", "DCGAN", "InfoGAN")
} | {
    "SemiSupervisedAAE": "docs/systems/aae.md", "ProGAN": "docs/systems/progan.md",
    "Text2Image": "docs/systems/text2image.md", "PuzzleGAN": "docs/systems/puzzle_gan.md",
    "CycleGAN": "docs/systems/cyclegan.md", "StarGAN": "docs/systems/stargan.md",
}  # fmt: skip


class Aim(NamedTuple):
    """What this project wants to reach: system, metric, bound (a least or a most, by the metric), runs, a remark."""

    system: str
    metric: str
    bound: float
    runs: str  # patterns of their names
    remark: str = ""


AIMS = [
    Aim("VAE", "nll", 82.8, "vae-residual vae-residual-[!k]*", "K = 1"),
    Aim("VAE", "nll", 81.9, "vae-residual-k50*", "K = 50"),
    Aim("AAE", "mmd_training_ratio", 2, "aae-8d* aae-uniform* aae-gaussian* aae-swiss*", "each prior"),
    Aim("AAE", "reconstruction", 13.0, "aae-8d*", "10 % above the AutoEncoder's"),
    Aim("AAE", "parzen_log_likelihood", 340, "aae-parzen*"),
    Aim("SemiSupervisedAAE", "classification_error", 0.019, "*-100 *-100-*", "100 labels"),
    Aim("SemiSupervisedAAE", "classification_error", 0.016, "*-1000*", "1,000 labels"),
    Aim("GAN", "parzen_log_likelihood", 240, "gan-mnist*", "rewards blur"),
    Aim("GAN", "*fid_digits* digit_fid", 1.5, "gan-mnist*"),
    Aim("DCGAN", "*fid_digits* digit_fid", 0.4, "dcgan-mnist*"),
    Aim("DCGAN", "least_digit*", 0.9, "dcgan-mnist*"),
    Aim("DCGAN", "most_digit*", 1.1, "dcgan-mnist*"),
    Aim("InfoGAN", "category_accuracy", 0.965, "infogan-mnist*"),
    Aim("Text2Image", "held_out_all_stated", 0.8, "text2image-quick text2image-[!q]*"),
    Aim("PuzzleGAN", "mask_iou", 0.92, "puzzle_gan-*"),
    Aim("PuzzleGAN", "patch_l1", 0.08, "puzzle_gan-*"),
    Aim("CycleGAN", "*_taken_for_target", 0.9, "cyclegan-quick*"),
    Aim("CycleGAN", "*_change_outside", 0.05, "cyclegan-quick*"),
    Aim("CycleGAN", "*_error_ratio", 0.45, "cyclegan-quick*"),
    Aim("StarGAN", "changed", 0.95, "stargan-*"),
    Aim("StarGAN", "changed_Young", 0.85, "stargan-*"),
    Aim("StarGAN", "kept", 0.95, "stargan-*"),
]


class Paper(NamedTuple):
    """A value of a paper: system, metric, data, runs beside which it stands, how alike they are, which of several."""

    system: str
    metric: str
    data: str
    runs: str
    alike: str = ""
    case: str = ""

    @property
    def value(self) -> str:
        value = next(
            value
            for system, pattern, data, value, of, _ in meanings.PAPERS
            if (system, data) == (self.system, self.data) and fnmatchcase(self.metric, pattern) and self.case in of
        )
        return value + f" ({self.case})" * bool(self.case)


PAPERS = [
    Paper("VAE", "nll", "MNIST", "vae-tanh*", "same network; other batches and rates, 500 of 3,280 epochs", "K = 1"),
    Paper(
        "VAE",
        "active_units",
        "MNIST",
        "vae-tanh*",
        "same network; other batches and rates, 500 of 3,280 epochs",
        "K = 1",
    ),
    Paper(
        "AAE",
        "parzen_log_likelihood",
        "MNIST",
        "aae-parzen aae-parzen-seed*",
        "same protocol; narrower D, Adam, falling rates, 50 epochs",
    ),
    Paper(
        "SemiSupervisedAAE",
        "classification_error",
        "MNIST",
        "aae-100-labels-wide-long*",
        "discriminators of 200 units, an EMA; 180 epochs of 5,000",
        "100 labels",
    ),  # fmt: skip
    Paper(
        "SemiSupervisedAAE",
        "classification_error",
        "MNIST",
        "aae-1000-labels-wide-long*",
        "discriminators of 200 units; 150 epochs of 5,000",
        "1,000 labels",
    ),  # fmt: skip
    Paper(
        "GAN",
        "parzen_log_likelihood",
        "MNIST",
        "gan-mnist gan-mnist-seed*",
        "same protocol; narrower G, less dropout, Adam, an EMA, 13 epochs",
    ),
    Paper(
        "InfoGAN",
        "category_accuracy",
        "MNIST",
        "infogan-mnist infogan-mnist-seed*",
        "half the widths; an EMA, 20 epochs",
    ),
    Paper("InfoGAN", "category_accuracy", "MNIST", "infogan-mnist-wide*", "the same widths; an EMA, 25 epochs"),
    Paper("ProGAN", "swd16384_mean", "CelebA", "progan", case="real CelebA, 128 px"),
    Paper("ProGAN", "ms_ssim", "CelebA", "progan", case="real CelebA, 128 px"),
]
HEAD = """# Results

What this project wants to reach, what it reaches, and what the papers reach. All values are of test images that no
training saw, unless a metric's name says "training images". ↓: lower is better, ↑: higher is; ±: deviation over
seeds. [metrics.md](docs/metrics.md) and [glossary.md](docs/glossary.md) have the words. A run's name leads to its
system's page, with command, machine, commit and other metrics; [docs/lab-notes.md](docs/lab-notes.md) has trials.

`python -m benchmarks.pages` writes this page from the records that `python -m benchmarks.measure` puts into
`benchmarks/results`.
"""
MET = """## Targets met

Of the runs for a target, a row has the best of those with several seeds, or else the best one. With several seeds, each
seed meets the target.
"""
MISSED = """## Targets missed

Runs are chosen in the same way. Causes, where known, stand in the run's notes and in the lab notes.
"""
OPEN = "## Targets without a run\n"
BESIDE = '## Beside the papers\n\nOnly values that are measured alike; "how alike" has the main differences.\n'


def main() -> None:
    write_text(TARGET, page())


def page() -> str:
    """RESULTS.md: one table of targets met, one of those missed, one of papers' values."""
    found = runs()
    met, missed, without = [], [], []
    for aim in AIMS:
        measured = best(found, aim)
        if not measured:
            without.append((aim.system, words(aim) + remark(aim), bound(aim)))
        for run, key in measured:
            row = (run.system, run.words(key) + remark(aim), bound(aim), value(run, key), link(run))
            short = shortfall(aim, run.values(key))
            missed.append((*row[:4], short, row[4])) if short else met.append(row)
    beside = []
    for paper in PAPERS:
        pairs = measured_by(found, paper)
        beside += [
            (run.system, run.words(key), paper.value, value(run, key), paper.alike, link(run)) for run, key in pairs
        ]
        if not pairs:
            beside.append((paper.system, words(paper), paper.value, "not measured", "", ""))
    parts = [
        HEAD,
        MET + "\n" + table(("system", "metric", "target", "measured", "run"), met),
        MISSED + "\n" + table(("system", "metric", "target", "measured", "short by", "run"), missed),
        *([OPEN + "\n" + table(("system", "metric", "target"), without)] if without else []),
        BESIDE + "\n" + table(("system", "metric", "paper", "here", "how alike", "run"), beside),
    ]
    return "\n".join(parts)


def measured_by(found: list[Run], aim: Aim | Paper) -> list[tuple[Run, str]]:
    """The runs and their metrics that a target or a paper's value is for."""
    chosen = [run for run in found if run.system == aim.system and matching([run.name], aim.runs)]
    return [(run, key) for run in chosen for key in matching(run.figures[0], aim.metric)]


def best(found: list[Run], aim: Aim) -> list[tuple[Run, str]]:
    """Of the runs that may reach a target, the best with several seeds, or else the best; for each metric it is for.

    Where a target is for each prior, all of them.
    """
    measured = measured_by(found, aim)
    if aim.remark.startswith("each"):
        return measured
    by_words: dict[str, list[tuple[Run, str]]] = {}
    for run, key in measured:
        by_words.setdefault(run.words(key), []).append((run, key))
    return [
        max(pairs, key=lambda pair: (len(pair[0].records) > 1, -miss(aim, mean(pair[0].values(pair[1])))))
        for pairs in by_words.values()
    ]


def miss(aim: Aim, value: float) -> float:
    """By how much a value misses a target; negative where it is better."""
    return value - aim.bound if words(aim).endswith("↓") else aim.bound - value


def shortfall(aim: Aim, values: list[float]) -> str:
    """By how much the mean misses a target, and in how many seeds; "" where no seed does."""
    missed = sum(miss(aim, value) > 0 for value in values)
    if not missed:
        return ""
    by = f"{max(0.0, miss(aim, mean(values))):.2g}"
    return by if len(values) == 1 else f"{by}, in {missed} of {len(values)} seeds"


def words(aim: Aim | Paper) -> str:
    """What is measured, by the first of its patterns, and the direction."""
    found = metric_of(aim.metric.split()[0], aim.system)
    return f"{found.words} {found.direction}".rstrip()


def bound(aim: Aim) -> str:
    return f"{'≤' if words(aim).endswith('↓') else '≥'} {aim.bound:g}"


def remark(aim: Aim) -> str:
    return f", {aim.remark}" * bool(aim.remark)


def value(run: Run, key: str) -> str:
    return with_deviation(run.values(key)) + f" ({len(run.records)} seeds)" * (len(run.records) > 1)


def link(run: Run) -> str:
    return f"[{run.title}]({PAGES[run.system]}#measured)"


if __name__ == "__main__":
    main()
