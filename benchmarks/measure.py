"""Tests a finished run, and writes down what it took: `python -m benchmarks.measure runs/stargan/<time> --save <name>`.

The figures are those of `python main.py test` on the run's last checkpoint; what else is on the command line goes there
(`--model.num_eval_samples=500`). The record goes to the run's `measures.json` and, with `--save`, to
`benchmarks/results/`, of which `python -m benchmarks.pages` makes RESULTS.md and tables. The hardware is that at hand:
measure where the run was trained. The commit is the newest of this checkout from before the training began.
"""

import argparse
import json
import logging
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import yaml

from lit_gen import cli
from lit_gen.callbacks.timing import training_seconds
from lit_gen.files.atomic import write_text
from lit_gen.metrics.evaluator import Figure
from lit_gen.runs.checkpoint_files import read_checkpoint
from lit_gen.runs.commands import processor

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    parser = argparse.ArgumentParser(description="Test a finished run and write down what it took.")
    parser.add_argument("run", type=Path, help="the run's folder, runs/<system>/<time>")
    parser.add_argument("--save", metavar="NAME", help="also write benchmarks/results/<name>.json")
    parser.add_argument("--command", default="", help="the command that made the run, for the table")
    parser.add_argument("--note", default="", help="what is to be said of the figures: how short of the aim, and why")
    parser.add_argument("--samples", help="as --evaluation.samples of `main.py test`")
    parser.add_argument("--features", help="as --evaluation.features of `main.py test`")
    options, words = parser.parse_known_args()
    for name in ("samples", "features"):
        if getattr(options, name) is not None:
            words.append(f"--evaluation.{name}={getattr(options, name)}")
    tested = test(options.run, words)
    record = {
        "system": tested["system"],
        **describe(options.run),
        "command": options.command,
        "note": options.note,
        "commit": commit(before=options.run / "config.yaml"),
        "measured_at": commit(),
        "hardware": hardware(),
        "torch": torch.__version__,
        "figures": {
            name: {field: figure[field] for field in Figure._fields} | {"value": float(f"{figure['value']:.5g}")}
            for name, figure in tested["figures"].items()
        },
    }
    text = json.dumps(record, indent=2) + "\n"
    targets = [options.run / "measures.json"] + ([RESULTS / f"{options.save}.json"] if options.save else [])
    for target in targets:
        write_text(target, text)
        print(f"written to {target}")


def test(run: Path, words: list[str]) -> dict[str, Any]:
    """What `main.py test` writes of the run's last checkpoint."""
    with tempfile.TemporaryDirectory() as folder, _unnamed(folder):
        settings = [f"--config={run / 'config.yaml'}", f"--ckpt_path={last(run)}"]
        settings += [f"--trainer.default_root_dir={folder}", "--logger=null", "--trainer.logger=false"]
        settings += ["--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"]
        cli.main(["test", *settings, *words])
        (written,) = Path(folder).glob("*/*/test.json")
        return json.loads(written.read_text(encoding="utf-8"))


@contextmanager
def _unnamed(folder: str) -> Iterator[None]:
    """Leaves out the lines of the log that name a folder: it is about to be deleted."""

    def without_lines(record: logging.LogRecord) -> bool:
        lines = [line for line in record.getMessage().splitlines() if folder not in line]
        record.msg, record.args = "\n".join(lines), ()
        return bool(lines)

    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.addFilter(without_lines)
    try:
        yield
    finally:
        logger.removeFilter(without_lines)


def describe(run: Path) -> dict[str, Any]:
    """The run's data, seed, and how much it trained in how long."""
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    data = config["data"]["init_args"]
    checkpoint = read_checkpoint(last(run))
    batches = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]["total"]["processed"]
    images = checkpoint["state_dict"].get("_extra_state", {}).get("images_seen")
    if images is None:  # a run of before every model counted them
        images = batches * data["batch_size"] * len(checkpoint["random_states"])  # a state a process
    seconds = training_seconds(run / "time.json", batches)
    if not seconds:  # a run of before there was that file: from the writing of the settings to that of the checkpoint
        seconds = last(run).stat().st_mtime - (run / "config.yaml").stat().st_mtime
    return {
        "data": f"{'rendered' if data.get('synthetic') else 'real'} {config['data']['class_path'].rsplit('.', 1)[-1]}",
        "size": checkpoint["hyper_parameters"]["spec"]["image_shape"][-1],
        "seed": config["seed_everything"],
        "minutes": round(seconds / 60, 1),
        "images_seen": images,
        "images_per_second": round(images / seconds, 1),
    }


def last(run: Path) -> Path:
    return run / "checkpoints" / "last.ckpt"


def commit(before: Path | None = None) -> str:
    """The newest commit of this checkout; where a file is given, of when that was written."""
    until = [f"--before=@{int(before.stat().st_mtime)}"] if before else []
    command = ["git", "log", "-1", "--format=%h", *until]
    done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parent)
    return done.stdout.strip() or "unknown"


def hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    threads = torch.get_num_threads()
    return f"{processor()}, {threads} thread{'s' * (threads > 1)}"


if __name__ == "__main__":
    main()
