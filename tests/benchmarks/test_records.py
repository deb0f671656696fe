"""Records of finished runs, and several seeds as one run."""

import json
import re
import shlex
from itertools import pairwise

import pytest

from benchmarks import records
from benchmarks.report import PAGES
from lit_gen.cli import main
from tests.benchmarks.record import record_of

RECORD = record_of("GAN", "real MNIST", 28, {
    "test/parzen_log_likelihood": (230.0, 10_000, ""),
    "test/digit_fid": (2.5, 10_000, "digits-ab2b2c11"),
    "test/swd4096_mean": (25.0, 4_096, ""),
    "test/swd4096_28": (25.0, 4_096, ""),
}, seed=0, minutes=2.0, command="python main.py fit")  # fmt: skip


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes records of seeds with a Parzen log-likelihood, and gives the runs."""
    monkeypatch.setattr(records, "FOLDER", tmp_path)

    def make(**likelihoods):
        for name, value in likelihoods.items():
            record = json.loads(json.dumps(RECORD))
            record["figures"]["test/parzen_log_likelihood"]["value"] = value
            (tmp_path / f"{name.replace('_', '-')}.json").write_text(json.dumps(record))
        return records.runs()

    return make


def test_several_seeds_are_one_run(write):
    """And a record of the same name without a seed is another, as is one seed alone."""
    gan, seeds, other = write(gan=230.0, gan_seed0=228.0, gan_seed1=231.0, gan_seed2=234.0, other_seed0=1.0)
    assert (gan.title, gan.values("parzen_log_likelihood")) == ("gan", [230.0])
    assert (seeds.title, list(seeds.records)) == ("gan", ["gan-seed0", "gan-seed1", "gan-seed2"])
    assert seeds.text("parzen_log_likelihood") == "231.0 ± 3.0"
    assert seeds.text("digit_fid") == "2.5 ± 0"
    assert (other.title, other.text("parzen_log_likelihood")) == ("other-seed0", "1")


@pytest.mark.parametrize(
    ("machines", "text"),
    [
        (["EPYC, 1 thread", "EPYC, 1 threads"], "EPYC, 1 thread"),
        (["EPYC, 2 threads", "EPYC, 1 thread", "H100"], "EPYC, 1 or 2 threads and H100"),
        (["Core i7, at 2 GHz, 4 threads"], "Core i7, at 2 GHz, 4 threads"),
    ],
)
def test_machines_of_several_seeds(machines, text):
    run = records.Run("gan-seed*", {str(seed): RECORD | {"hardware": name} for seed, name in enumerate(machines)})
    assert run.hardware == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.123456], "0.1235"), ([83.7654], "83.77"), ([0.9, 1.1], "1.00 ± 0.14"),
        ([0.9065, 0.9085], "0.9075 ± 0.0014"), ([1000.0, 1400.0], "1200 ± 283"), ([-117.3, -115.7], "-116.5 ± 1.1"),
        ([0.0, 0.0, 0.0], "0 ± 0"),
    ],
)  # fmt: skip
def test_values_with_their_deviation(values, text):
    assert records.with_deviation(values) == text


def test_main_metrics_in_words(write):
    (run,) = write(gan=230.0)
    assert run.main == ["parzen_log_likelihood", "digit_fid", "swd4096_mean"]
    assert [run.words(key) for key in run.main] == [
        "Parzen log-likelihood ↑ (nats per image)", "digit-FID ↓",
        "sliced Wasserstein distance, 4,096 images ↓ (× 1,000, mean over levels)",
    ]  # fmt: skip


def test_the_real_records():
    """Every system has a page and its metrics words, and seeds differ in nothing else."""
    assert records.runs()
    for run in records.runs():
        assert run.system in PAGES and run.main
        assert not [key for key in run.main if run.words(key).startswith("`")]
        commands = [re.sub(r" --(seed_everything|name)[ =]\S+", "", one["command"]) for one in run.records.values()]
        assert len(set(commands)) == 1, run.name


def test_the_commands_of_the_records_are_of_this_version(capsys):
    """Those of the same configs and data are parsed as one: the last value of a setting counts."""
    settings: dict[tuple[str, ...], list[str]] = {}
    for run in records.runs():
        for record in run.records.values():
            _, _, command, *words = shlex.split(record["command"])
            assert command == "fit"
            files = [word for before, word in pairwise(words) if before == "--config"]
            start = [*(f"--config={file}" for file in files), *(word for word in words if word.startswith("--data="))]
            others = [word for word in words if word != "--config" and word not in files]
            settings.setdefault(tuple(start), []).extend(others)
    assert settings
    for start, others in settings.items():
        with pytest.raises(SystemExit) as ended:
            main(["fit", *start, *others, "--print_config"])
        assert not ended.value.code, (start, capsys.readouterr().err)


def test_of_an_unknown_system_all_metrics_are_main(write, tmp_path):
    (tmp_path / "own.json").write_text(json.dumps(RECORD | {"system": "LSGAN"}))
    (run,) = write()
    assert run.main == [key.removeprefix("test/") for key in RECORD["figures"]]
