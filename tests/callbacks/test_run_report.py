"""When a run's report is written, and at what cost; what is on it stands in tests/report."""

import time

import pytest

from lit_gen.callbacks import run_report
from lit_gen.callbacks.run_report import RunReport
from lit_gen.models import GAN
from lit_gen.runs.commands import commands_of, this_command
from tests.models import tiny


def train(folder, epochs=3, callbacks=(), **settings):
    folder.mkdir(exist_ok=True)
    report = RunReport(folder, this_command(["fit"]))
    trainer = tiny.trainer(folder, max_epochs=epochs, callbacks=[*callbacks, report], **settings)
    trainer.fit(tiny.build(GAN), datamodule=tiny.NoiseData(2, batch_size=2))


@pytest.fixture
def written(monkeypatch):
    """The state in each report, and the seconds that one takes."""
    states, seconds = [], [0.0]

    def write(run):
        states.append((run.state, run.epoch, run.images))
        time.sleep(seconds[0])

    monkeypatch.setattr(run_report, "write_report", write)
    return states, seconds


def test_a_training_has_a_report_soon_and_at_its_end(tmp_path, written):
    states, _ = written
    train(tmp_path)
    assert states == [("running", 0, 4), ("finished", 3, 12)]
    assert [one.line.split()[-1] for one in commands_of(tmp_path)] == ["fit"]


def test_reports_take_a_small_part_of_the_time(tmp_path, written, monkeypatch):
    """Without a pause beside: the epochs take some milliseconds each, and a report 20."""
    states, seconds = written
    monkeypatch.setattr(run_report, "PAUSE", 0.0)
    train(tmp_path, 10)
    often = len(states)
    states.clear()
    seconds[0] = 0.02
    begun = time.monotonic()
    train(tmp_path, 10)
    assert often > 2 and len(states) <= 2 + (time.monotonic() - begun) / (50 * 0.02)


def test_a_report_that_fails_ends_no_training(tmp_path, monkeypatch, caplog):
    def fail(run):
        raise ValueError("something odd")

    monkeypatch.setattr(run_report, "write_report", fail)
    with caplog.at_level("INFO"):
        train(tmp_path)
    assert f"no report.html in {tmp_path}: something odd" in caplog.text


def test_a_training_that_is_stopped_says_so(tmp_path, written):
    states, _ = written

    class Stops(run_report.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 3:
                raise SystemExit(143)

    with pytest.raises(SystemExit):
        train(tmp_path, callbacks=[Stops()])
    assert states[-1] == ("stopped", 1, 6)


def test_what_is_refused_before_it_begins_leaves_nothing(tmp_path, written):
    states, _ = written

    class Refuses(run_report.Callback):
        def setup(self, *_, **__):
            raise ValueError

    with pytest.raises(ValueError):
        train(tmp_path / "new", callbacks=[Refuses()])
    assert not states and not commands_of(tmp_path / "new")
