"""When a run's report is written, and at what cost; what is on it stands in tests/report."""

import pytest
from lightning import Callback

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


class Clock(Callback):
    """A clock that stands still, but for `step` seconds a batch and `report` seconds a report."""

    def __init__(self):
        self.now, self.step, self.report = 0.0, 0.0, 0.0

    def on_train_batch_start(self, *_):
        self.now += self.step


@pytest.fixture
def written(monkeypatch):
    """The state in each report, and the clock that reports are timed by."""
    states, clock = [], Clock()

    def write(run):
        states.append((run.state, run.epoch, run.images))
        clock.now += clock.report

    monkeypatch.setattr(run_report, "write_report", write)
    monkeypatch.setattr(run_report.time, "monotonic", lambda: clock.now)
    return states, clock


def test_a_training_has_a_report_soon_and_at_its_end(tmp_path, written):
    states, _ = written
    train(tmp_path)
    assert states == [("running", 0, 4), ("finished", 3, 12)]
    assert [one.line.split()[-1] for one in commands_of(tmp_path)] == ["fit"]


@pytest.mark.parametrize(
    ("seconds", "epochs"),
    [
        (0.0, list(range(10))),
        # Epochs of two seconds. After one of 0.1 seconds there is none for five: at 2, 8.1, 14.2 and 20.3 seconds.
        (0.1, [0, 3, 6, 9]),
    ],
)
def test_reports_take_a_small_part_of_the_time(tmp_path, written, monkeypatch, seconds, epochs):
    """Without a pause beside."""
    states, clock = written
    monkeypatch.setattr(run_report, "PAUSE", 0.0)
    clock.step, clock.report = 1.0, seconds
    train(tmp_path, 10, [clock])
    assert [state[:2] for state in states] == [*(("running", epoch) for epoch in epochs), ("finished", 10)]


def test_a_pause_lies_between_two_reports_however_short(tmp_path, written):
    """Epochs of two seconds, and five seconds from report to report: at 2, 8, 14 and 20 seconds."""
    states, clock = written
    clock.step = 1.0
    train(tmp_path, 10, [clock])
    assert [state[:2] for state in states] == [*(("running", epoch) for epoch in [0, 3, 6, 9]), ("finished", 10)]


def test_a_report_that_fails_ends_no_training(tmp_path, monkeypatch, caplog):
    def fail(run):
        raise ValueError("something odd")

    monkeypatch.setattr(run_report, "write_report", fail)
    with caplog.at_level("INFO"):
        train(tmp_path)
    assert f"no report.html in {tmp_path}: something odd" in caplog.text


@pytest.mark.parametrize("step", ["look_at", "write_report"])
def test_a_report_that_fails_is_named_by_its_own_run(tmp_path, monkeypatch, caplog, step):
    """A test also renews that of the run it tested."""

    def fail(run):
        raise ValueError("no space")

    monkeypatch.setattr(run_report, step, fail)
    monkeypatch.setattr(run_report, "run_of", lambda path: tmp_path / "trained")
    trainer = tiny.trainer(tmp_path)
    trainer.ckpt_path = "last.ckpt"
    with caplog.at_level("INFO"):
        RunReport(tmp_path / "test").on_test_end(trainer, tiny.build(GAN))
    assert f"no report.html in {tmp_path / 'trained'}: no space" in caplog.text


def test_a_training_that_is_stopped_says_so(tmp_path, written):
    states, _ = written

    class Stops(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 3:
                raise SystemExit(143)

    with pytest.raises(SystemExit):
        train(tmp_path, callbacks=[Stops()])
    assert states[-1] == ("stopped", 1, 6)


def test_what_is_refused_before_it_begins_leaves_nothing(tmp_path, written):
    states, _ = written

    class Refuses(Callback):
        def setup(self, *_, **__):
            raise ValueError

    with pytest.raises(ValueError):
        train(tmp_path / "new", callbacks=[Refuses()])
    assert not states and not commands_of(tmp_path / "new")
