"""The header of each config says what to expect of it."""

import json
from itertools import takewhile

import pytest

from benchmarks import headers, pages, records

QUICK = "--config configs/gan.yaml --config configs/quick/gan.yaml"
FIGURES = {"test/parzen_log_likelihood": {"value": 229.61, "samples": 10_000, "features": ""}}


def test_each_config_has_such_a_header():
    """What it is of, what to expect, and the command that prints all settings, in its first lines."""
    paths = headers.configs(pages.ROOT)
    assert len(paths) >= 36
    for path in paths:
        text = path.read_text()
        assert text == headers.renewed(path, pages.ROOT, records.runs()), "run python -m benchmarks.pages"
        lines = list(takewhile(lambda line: line.startswith("#"), text.splitlines()))
        start = f"# Overlay for {path.name}: " if path.parent.name == "quick" else "# "
        (expect,) = [number for number, line in enumerate(lines) if line.startswith("# Expect")]
        assert lines[0].startswith(start) and 1 <= expect <= 5 and len(lines) <= 9
        assert lines[-1].startswith("# Every setting: python main.py fit --config configs/"), "the header ends so"
        assert not any(line.endswith("-") for line in lines), "names are whole"
        assert lines[-1].endswith(f"{path.relative_to(pages.ROOT)} --print_config")


@pytest.fixture
def expected(tmp_path, monkeypatch):
    """The lines about what to expect of gan's overlay after some commands."""
    monkeypatch.setattr(records, "FOLDER", tmp_path / "results")
    (tmp_path / "configs" / "quick").mkdir(parents=True)
    (tmp_path / "results").mkdir()
    path = tmp_path / "configs" / "quick" / "gan.yaml"
    path.write_text("# Overlay for gan.yaml: narrow.\n# Expect: what is old.\n# Every setting: old.\ndata: 1  # one\n")

    def make(**commands):
        for name, command in commands.items():
            record = {
                "system": "GAN", "seed": 0, "minutes": 12.6, "hardware": "a processor, 2 threads", "figures": FIGURES,
                "command": f"python main.py fit {command}",
            }  # fmt: skip
            (tmp_path / "results" / f"{name.replace('_', '-')}.json").write_text(json.dumps(record))
        first, *lines, last, rest = headers.renewed(path, tmp_path, records.runs()).splitlines()
        assert (first, rest) == ("# Overlay for gan.yaml: narrow.", "data: 1  # one")
        assert last == f"# Every setting: python main.py fit {QUICK} --print_config"
        return " ".join(line.removeprefix("# ") for line in lines)

    return make


VALUE = "Parzen log-likelihood 229.6 ↑ (nats per image), after 12.6 minutes on a processor, 2 threads"


def test_a_record_with_these_configs(expected):
    """Neither the base config's own record counts nor one with many other settings."""
    many = "".join(f" --model.x{n}=1" for n in range(4))
    assert expected(base="--config configs/gan.yaml", many=QUICK + many) == "Expect of `test`: not measured yet."
    some = expected(some=f"{QUICK} --trainer.max_epochs=13 --seed_everything=1")
    assert some == f"Expect of `test`, with --trainer.max_epochs=13: {VALUE} (some)."
    assert expected(plain=f"{QUICK} --seed_everything=1 --name=x") == f"Expect of `test`: {VALUE} (plain)."


def test_several_seeds(expected):
    seeds = {f"quick_seed{seed}": f"{QUICK} --seed_everything={seed}" for seed in range(3)}
    text = expected(plain=QUICK, **seeds)
    assert text == f"Expect of `test`: {VALUE.replace('229.6', '229.6 ± 0')}, 3 seeds (quick)."
