"""Measures a finished run on held-out data: `python -m benchmarks.measure runs/stargan/<time> [--save <name>]`.

The checkpoint's own test metrics come first. Where the task asks for more (is the hair blond now?), a `Judge` trained
on the dataset's labels answers, and its accuracy on real held-out images stands beside. The figures go to the run's
`measures.json` and, with `--save`, to `benchmarks/results/`, of which `python -m benchmarks.report` makes RESULTS.md.
"""

import argparse
import json
import platform
import subprocess
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning import LightningDataModule, Trainer, seed_everything
from torch import Tensor
from torch.nn import functional

import lit_gen.data
import lit_gen.models
from lit_gen.data.base import image_files
from lit_gen.data.cache import cached_images
from lit_gen.data.files import complete_file
from lit_gen.metrics.distances import median_distance, mmd
from lit_gen.metrics.judge import train_judge
from lit_gen.models.base import GenerativeModule
from lit_gen.models.stargan import single_changes

Figures = dict[str, float]
JUDGED_IMAGES = 20_000  # that a judge learns from, at most


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a finished run on held-out data.")
    parser.add_argument("run", type=Path, help="the run's folder, runs/<system>/<time>")
    parser.add_argument("--save", metavar="NAME", help="also write benchmarks/results/<name>.json")
    parser.add_argument("--command", default="", help="the command that made the run, for the table")
    parser.add_argument("--judge_epochs", type=int, default=4, help="passes over the labels that a judge learns from")
    options = parser.parse_args()
    seed_everything(0, verbose=False)
    model, data, seed = load_run(options.run)
    record = {
        "system": type(model).__name__,
        "data": f"{'rendered' if getattr(data, 'synthetic', False) else 'real'} {type(data).__name__}",
        "size": model.image_shape[-1],
        "command": options.command,
        "seed": seed,
        "commit": commit(),
        "hardware": hardware(),
        "minutes": round(minutes(options.run), 1),
        "images_seen": getattr(model, "images_seen", None),
        "figures": {name: round(value, 4) for name, value in measure(model, data, options.judge_epochs).items()},
    }
    text = json.dumps(record, indent=2) + "\n"
    targets = [options.run / "measures.json"]
    if options.save:
        targets.append(Path(__file__).parent / "results" / f"{options.save}.json")
    for target in targets:
        with complete_file(target) as partial:
            partial.write_text(text)
    print(text)


def load_run(folder: Path) -> tuple[GenerativeModule, LightningDataModule, int]:
    """The trained model, its data, and the seed, from `config.yaml` and `checkpoints/last.ckpt`."""
    config = yaml.safe_load((folder / "config.yaml").read_text())
    model_class, data_class = (
        getattr(package, config[part]["class_path"].rsplit(".", 1)[-1])
        for package, part in ((lit_gen.models, "model"), (lit_gen.data, "data"))
    )
    model = model_class.load_from_checkpoint(folder / "checkpoints" / "last.ckpt", map_location="cpu")
    data = data_class(**config["data"].get("init_args", {}))
    data.prepare_data()
    data.setup("test")
    return model.eval(), data, config["seed_everything"]


def measure(model: GenerativeModule, data: LightningDataModule, judge_epochs: int = 4) -> Figures:
    """The model's test metrics, and those that only its system has."""
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False, enable_progress_bar=False)
    (figures,) = trainer.test(model, datamodule=data, verbose=False)
    model.eval()
    special = SPECIAL.get(type(model).__name__)
    with torch.no_grad():
        more = special(model, data, judge_epochs) if special else {}
    return {name: float(value) for name, value in (figures | more).items()}


def measure_aae(model: Any, data: LightningDataModule, judge_epochs: int) -> Figures:
    """How far codes of test images are from the prior, beside how far two draws of the prior are from each other."""
    codes = model.encode(whole(data, "test", 4_000).image)
    draws = [model.sample_latent(len(codes)) for _ in range(6)]
    bandwidth = median_distance(draws[0][:1_000])
    between = [mmd(first, second, bandwidth) for first, second in zip(draws[::2], draws[1::2], strict=True)]
    to_prior = mmd(codes, draws[0], bandwidth)
    reference = sum(between) / len(between)
    return {"mmd_codes": to_prior, "mmd_prior": reference, "mmd_ratio": to_prior / reference}


def measure_stargan(model: Any, data: LightningDataModule, judge_epochs: int) -> Figures:
    """Each attribute changed by itself in every test image: is it seen, and are the others as they were?"""
    train, test = whole(data, "train", JUDGED_IMAGES), whole(data, "test", 2_000)
    columns = [data.attributes.index(name) for name in model.attributes]
    with torch.enable_grad():
        judge = train_judge(train.image, train.attributes[:, columns], judge_epochs)
    labels = test.attributes[:, columns]
    before = judge.decide(test.image)
    right = (before == labels).float()
    figures = {f"judge_{name}": right[:, index].mean() for index, name in enumerate(model.attributes)}
    targets = single_changes(labels, model.attributes)  # (A, B, A)
    changed, kept = [], []
    for index, name in enumerate(model.attributes):
        target = targets[index]
        pieces = zip(test.image.split(100), target.split(100), strict=True)
        images = torch.cat([model.translate(*piece) for piece in pieces])
        after = judge.decide(images)
        asked = (target != labels).any(1)  # hair that has the colour already needs no change
        changed.append((after[:, index] == target[:, index])[asked].float().mean())
        others = (target == labels).all(0)  # the columns that this change leaves alone
        kept.append((after == before)[asked][:, others].float().mean())
        figures |= {f"changed_{name}": changed[-1], f"kept_with_{name}": kept[-1]}
    figures["changed"], figures["kept"] = sum(changed) / len(changed), sum(kept) / len(kept)
    figures["judge_accuracy"] = right.mean()
    return figures


def measure_text2image(model: Any, data: LightningDataModule, judge_epochs: int) -> Figures:
    """Pictures for captions of combinations that were never trained on: are the stated attributes in them?"""
    train, test = whole(data, "train", JUDGED_IMAGES), whole(data, "test", 2_000)
    with torch.enable_grad():
        judge = train_judge(train.image, train.attributes, judge_epochs)
    figures = {"judge_accuracy": (judge.decide(test.image) == test.attributes).float().mean()}
    for split in ("test", "held_out"):
        if not len(data.datasets.get(split, ())):
            continue
        batch = whole(data, split, 2_000)
        images = torch.cat([model.draw(captions) for captions in batch.caption.split(100)])
        right = judge.decide(images) == batch.attributes
        stated = batch.stated.bool()
        on_real = (judge.decide(batch.image) == batch.attributes)[stated].float().mean()
        figures |= {
            f"{split}_stated": right[stated].float().mean(),
            f"{split}_all_stated": (right | ~stated).all(1).float().mean(),
            f"{split}_judge_stated": on_real,
            f"{split}_count": len(images),
        }
    return figures


def measure_cyclegan(model: Any, data: LightningDataModule, judge_epochs: int) -> Figures:
    """Which domain a judge takes translations for and, on rendered data, the error to the true counterpart."""
    train = {name: as_floats(data.arrays[f"train{name}"], data.image_size) for name in "AB"}
    test = {name: as_floats(data.arrays[f"test{name}"], data.image_size) for name in "AB"}
    numbers = torch.cat([torch.full((len(train[name]),), index) for index, name in enumerate("AB")])
    with torch.enable_grad():
        judge = train_judge(torch.cat([train["A"], train["B"]]), numbers, 3 * judge_epochs)
    verdicts = [(judge.decide(test[name]) == index).float() for index, name in enumerate("AB")]
    figures = {"judge_accuracy": torch.cat(verdicts).mean()}
    for name, direction, target in (("A", "a_to_b", 1), ("B", "b_to_a", 0)):
        made = torch.cat([model(images, direction) for images in test[name].split(20)])
        figures[f"{direction}_taken_for_target"] = (judge.decide(made) == target).float().mean()
        if not (data.folder / f"truth{name}").is_dir():
            continue
        truth, mask = (
            as_floats(
                cached_images(image_files(data.folder / f"{part}{name}"), data.cache_folder, f"{part}{name}", size),
                size,
            )
            for part, size in (("truth", data.image_size), ("mask", data.image_size))
        )
        outside = (mask.amax(1, keepdim=True) < -0.99).float()  # no part of the animal
        change = (made - test[name]).abs().mean(1, keepdim=True)
        figures[f"{direction}_change_outside"] = (change * outside).sum() / outside.sum()
        errors = [functional.avg_pool2d(images - truth, 4).abs().mean() for images in (made, test[name])]
        figures[f"{direction}_error"], figures[f"{direction}_identity_error"] = errors
        figures[f"{direction}_error_ratio"] = errors[0] / errors[1]
    return figures


SPECIAL = {
    "AAE": measure_aae,
    "StarGAN": measure_stargan,
    "Text2Image": measure_text2image,
    "CycleGAN": measure_cyclegan,
}


def whole(data: LightningDataModule, split: str, at_most: int) -> Any:
    """The first images of a split as one batch of floats."""
    dataset = data.datasets[split]
    return data.to_floats(dataset.__getitems__(range(min(at_most, len(dataset)))), flip=False)


def as_floats(images: Any, size: int) -> Tensor:
    """(N, S, S, 3) uint8 as (N, 3, size, size) in [-1, 1]: the middle where S is larger."""
    tensor = torch.tensor(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    spare = (tensor.shape[-1] - size) // 2
    return tensor[..., spare : spare + size, spare : spare + size]


def minutes(run: Path) -> float:
    """From the writing of the settings to that of the last checkpoint."""
    return ((run / "checkpoints" / "last.ckpt").stat().st_mtime - (run / "config.yaml").stat().st_mtime) / 60


def commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return f"{names[0]}, {torch.get_num_threads()} threads" if names else platform.processor()


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).is_file() else []


if __name__ == "__main__":
    main()
