"""The commands about several runs: `runs`, `runs compare`, `fit --train_seeds`; and `fit --dry_run`, which has none."""

import json
import math
import os
import shutil
import signal

import pytest
import torch

from lit_gen.cli import main
from lit_gen.command_line import seeds
from lit_gen.command_line.seeds import report, seeds_of, trial_in
from lit_gen.errors import UserError
from lit_gen.runs.listing import find_run, runs_below
from tests.test_cli import SHORT, TINY_PROGAN, TINY_VAE, data, mistake, runs, signalled  # noqa: F401  two are fixtures


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mnist_root):
    """A folder with two runs, `vae/first` and `vae/second`, and what was left of others."""
    root = tmp_path_factory.mktemp("trained") / "runs"
    words = ["--data=MNIST", f"--data.root={mnist_root}", "--data.val_size=100", "--data.batch_size=16", *TINY_VAE]
    words += [f"--trainer.default_root_dir={root}", "--wandb.mode=disabled"]
    main(["fit", *words, *SHORT, "--name=first"])
    main(["fit", *words, *SHORT, "--name=second", "--model.beta=4", "--trainer.max_epochs=2"])
    main(["test", *words, "--ckpt_path=last", "--name=tested", "--evaluation.features=none",
          "--trainer.limit_test_batches=1"])  # fmt: skip
    main(["validate", *words, "--ckpt_path=last", "--name=validated", "--trainer.limit_val_batches=1"])
    main(["predict", f"--ckpt_path={root / 'vae' / 'second'}", "--count=4", "--name=predicted",
          f"--trainer.default_root_dir={root}", "--wandb.mode=disabled"])  # fmt: skip
    shutil.copytree(root / "vae" / "first", root / "vae" / "killed")
    record = root / "vae" / "killed" / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"state": "running", "process": 2**22 + 1}))
    shutil.copytree(root / "vae" / "first", root / "vae" / "failed", ignore=lambda *_: ["checkpoints"])
    return root


def test_copies_of_a_run_are_listed_by_name(tmp_path):
    """They are of one age, with `cp -a`: their order changed from one command to the next."""
    for number in range(9):
        (tmp_path / "vae" / f"copy-{number}").mkdir(parents=True)
        (tmp_path / "vae" / f"copy-{number}" / "run.json").touch()
        os.utime(tmp_path / "vae" / f"copy-{number}", (0, 0))
    names = [run.folder.name for run in runs_below(tmp_path)]
    assert names == sorted(names)


def test_the_list_of_runs(trained, capsys):
    main(["runs", str(trained)])
    text = capsys.readouterr().out
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("vae/")}
    assert set(lines) == {"vae/first", "vae/second", "vae/killed"}
    assert [lines[f"vae/{name}"][1] for name in ("first", "second", "killed")] == ["finished", "finished", "killed"]
    assert lines["vae/first"][2:5] == ["1", "48", "val/loss"]  # an epoch of three batches of 16
    assert lines["vae/second"][2:4] == ["2", "96"]
    best = torch.load(trained / "vae" / "first" / "checkpoints" / "best.ckpt", weights_only=True)
    (state,) = (value for name, value in best["callbacks"].items() if name.startswith("BestCheckpoint"))
    assert math.isclose(float(lines["vae/first"][5]), float(state["best_model_score"]), rel_tol=1e-4)
    assert [line for line in text.splitlines() if line.startswith("without a checkpoint")][0].endswith("vae/failed")
    (uses,) = (line for line in text.splitlines() if line.startswith("tests and"))
    assert all(f"vae/{name}" in uses for name in ("tested", "validated", "predicted"))


def test_a_run_without_its_last_checkpoint_is_listed_by_another(trained, tmp_path, capsys):
    """`auto` goes on from that one."""
    shutil.copytree(trained / "vae" / "second", tmp_path / "vae" / "second")
    last = tmp_path / "vae" / "second" / "checkpoints" / "last.ckpt"
    last.unlink()
    main(["runs", str(tmp_path)])
    (line,) = (line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("vae/second"))
    assert line[1] == "finished" and int(line[3]) in (48, 96)
    last.write_bytes(b"cut off")
    main(["runs", str(tmp_path)])
    assert "without a checkpoint" not in capsys.readouterr().out


def test_the_list_of_the_runs_of_one_system(trained, capsys):
    """The folder of the system may be named, too."""
    main(["runs", str(trained)])
    of_all = capsys.readouterr().out
    main(["runs", str(trained / "vae")])
    assert capsys.readouterr().out == of_all


def test_a_test_from_elsewhere_stands_in_the_report_of_its_run(trained, tmp_path, monkeypatch):
    """By the command that the report proposes, which names no folder of runs."""
    shutil.copytree(trained / "vae" / "first", tmp_path / "there" / "vae" / "first")
    monkeypatch.chdir(tmp_path)
    report = tmp_path / "there" / "vae" / "first" / "report.html"
    assert "Not tested yet" in report.read_text()
    main(["test", f"--ckpt_path={report.parent}", "--wandb.mode=disabled", "--evaluation.features=none",
          "--trainer.limit_test_batches=1"])  # fmt: skip
    assert "Not tested yet" not in report.read_text() and not (tmp_path / "runs").exists()
    report.unlink()
    main(["runs", "report", "vae/first", f"--root={tmp_path / 'there'}"])
    assert "Not tested yet" not in report.read_text()


def test_what_differs_between_runs(trained, capsys, monkeypatch):
    monkeypatch.chdir(trained.parent)  # where `runs` is the default
    main(["runs", "compare", "first", "vae/second"])
    text = capsys.readouterr().out
    settings, metrics = text.split("\n\n")
    rows = {line.split()[0]: line.split()[1:] for line in settings.splitlines()[2:]}
    assert rows == {"model.beta": ["1", "4"], "trainer.max_epochs": ["1", "2"]}
    assert "val/loss" in metrics and "train/loss_kl" in metrics
    main(["runs", "compare", str(trained / "vae" / "first"), "first"])
    assert capsys.readouterr().out.split("\n\n") == ["no setting differs", "no metric differs\n"]


def test_reports(trained, capsys, monkeypatch):
    """Each command leaves one; a test renews that of the run that it tested; `runs report` writes it again."""
    reports = {path.parent.name: path.read_text() for path in trained.glob("vae/*/report.html")}
    assert set(reports) >= {"first", "second", "tested", "validated", "predicted"}
    first, second = reports["first"], reports["second"]
    assert "<td>finished</td>" in second and "data:image/png" in second and "<polyline" in second
    assert "<td><code>model.beta</code></td><td><code>1.0</code></td><td><code>4.0</code></td>" in second
    assert "<code>model.beta</code>" not in first and "<th>configs/vae.yaml</th>" in first
    assert "--model.beta=4" in second and "Not tested yet" in first and "Not tested yet" not in second
    values = json.loads((trained / "vae" / "tested" / "test.json").read_text())["figures"]
    shown = f"{values['test/loss']['value']:.5g}"
    assert shown in second and shown in reports["tested"]
    validated, predicted = reports["validated"], reports["predicted"]
    assert "last validation" in validated and "<td>val/loss</td>" in validated
    assert "This command measured nothing" in predicted and 'alt="predictions"' in predicted
    assert not any("Not tested yet" in text for text in (validated, predicted))
    (trained / "vae" / "second" / "report.html").unlink()
    monkeypatch.chdir(trained.parent)
    main(["runs", "report", "second", "killed"])
    assert "second/report.html" in capsys.readouterr().out
    assert "<td>killed</td>" in (trained / "vae" / "killed" / "report.html").read_text()
    again = (trained / "vae" / "second" / "report.html").read_text()
    assert (
        again.partition("<h2>Alarms")[2].partition("Written")[0]
        == second.partition("<h2>Alarms")[2].partition("Written")[0]
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere"], "no folder nowhere"),
        (["runs/vae/first/checkpoints"], "there is no run below runs/vae/first/checkpoints."),
        (["compare", "first"], "two runs or more"),
        (["report"], "a run or more"),
        (["report", "thrid"], "no run 'thrid'"),
        (["compare", "first", "secnd"], "Did you mean vae/second?"),
        (["--all"], "unrecognized arguments"),
    ],
)
def test_mistakes(words, said, trained, capsys, monkeypatch):
    monkeypatch.chdir(trained.parent)
    assert said in mistake(["runs", *words], capsys)


def test_only_a_near_name_is_proposed(tmp_path):
    (tmp_path / "stargan" / "neg").mkdir(parents=True)
    (tmp_path / "stargan" / "neg" / "config.yaml").touch()
    for name, hint in {"g/nope": "", "stargan/nge": " Did you mean stargan/neg?"}.items():
        with pytest.raises(UserError) as caught:
            find_run(name, tmp_path)
        assert str(caught.value) == f"there is no run {name!r} below {tmp_path}.{hint} `runs` lists them."


def test_two_runs_of_one_name(trained, tmp_path, capsys):
    for system in ("one", "two"):
        shutil.copytree(trained / "vae" / "first", tmp_path / system / "first")
    line = mistake(["runs", "compare", "first", "one/first", f"--root={tmp_path}"], capsys)
    assert "there are 2 runs 'first'" in line


# ------------------------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize(
    ("text", "seeds"), [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("1,5, 7", [1, 5, 7]), ("0-1,9", [0, 1, 9])]
)
def test_seeds(text, seeds):
    assert seeds_of(text) == seeds


def test_a_trial_that_is_switched_off_is_none():
    words = [
        "fit",
        "--config={trainer: {fast_dev_run: true}}",
        "--trainer.fast_dev_run=False",
        "--trainer.barebones=no",
    ]
    assert trial_in(words) is None and trial_in(words[:2]) == "trainer.fast_dev_run"


@pytest.mark.parametrize("text", [None, "", "4-0", "-1", "a", "1,,2", "1.5", "0-2,1"])
def test_what_are_no_seeds(text):
    with pytest.raises(UserError):
        seeds_of(text)


def test_the_table_of_several_seeds(trained):
    """By hand: the mean, and the deviation of a sample of two, |a - b| / sqrt(2)."""
    lines = report([trained / "vae" / "first", trained / "vae" / "second"], [3, 8]).splitlines()
    assert lines[0].split() == ["metric", "mean", "deviation", "seed", "3", "seed", "8"]
    row = next(line.split() for line in lines if line.startswith("val/loss"))
    mean, deviation, *each = map(float, row[1:])
    assert math.isclose(mean, sum(each) / 2, rel_tol=1e-3)
    assert math.isclose(deviation, abs(each[0] - each[1]) / math.sqrt(2), rel_tol=1e-2)
    assert any(line.startswith("best val/loss") for line in lines)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--train_seeds=x"], "takes seeds such as"),
        (["--train_seeds=0-1", "--seed_everything=3"], "both say which seed"),
        (["--train_seeds=0-1", "--ckpt_path=last"], "set it to auto"),
        (["--train_seeds=0-1", "--ckpt_path=auto"], "needs --name"),
        (["--train_seeds=0-1", "--dry_run"], "compares runs, and --dry_run writes none: leave one out."),
        (["--train_seeds=0", "--trainer.fast_dev_run=True"], "and --trainer.fast_dev_run writes none"),
        (["--train_seeds=0", "--config={trainer: {barebones: true}}"], "and --trainer.barebones writes none"),
        (["--train_seeds=5000000000"], "--train_seeds takes whole numbers from 0 to 4294967295, not 5000000000."),
        (["--train_seeds=0-4000000000"], "names more than 1,000 seeds"),
        (["--seed_everything=-3"], "--seed_everything takes whole numbers from 0 to 4294967295, not -3."),
        (["--seed_everything=4294967296"], "not 4294967296"),
        (["--config={seed_everything: -1}"], "not -1"),
    ],
)
def test_mistaken_seeds(words, said, capsys):
    assert said in mistake(["fit", "--config", "configs/vae.yaml", *words], capsys)


def test_torchrun_trains_with_one_seed(monkeypatch, capsys):
    """With the second one its processes did not find each other."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert "is not for torchrun" in mistake(["fit", "--config=configs/vae.yaml", "--train_seeds=0-1"], capsys)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_may_take_its_time_to_stop(number, monkeypatch, tmp_path, capfd):
    """A terminal's Ctrl-C goes to both; SIGTERM came to the first process alone, and the training went on."""
    (tmp_path / "main.py").write_text(
        "import os, signal, time\n"
        "def stop(number, frame):\n    time.sleep(1)\n    print('saved', flush=True)\n    os._exit(128 + number)\n"
        f"signal.signal({number:d}, stop)\n"
        f"os.kill(os.getppid(), {number:d})\n" + f"os.kill(os.getpid(), {number:d})\n" * (number == signal.SIGINT)
        + "time.sleep(20)\n"
    )  # fmt: skip
    monkeypatch.setattr(seeds, "PACKAGE", tmp_path / "lit_gen")
    before = signal.getsignal(number)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config=configs/vae.yaml", "--train_seeds=0-1", "--name=s"])
    said = capfd.readouterr()
    assert end.value.code == 128 + number and said.out.splitlines() == ["seed 0: s-seed0", "saved"]
    assert f"seed 0 ended with exit code {128 + number}" in said.err and signal.getsignal(number) is before


def test_several_seeds_have_their_settings_printed_once(monkeypatch):
    called = []
    monkeypatch.setattr(seeds.subprocess, "call", lambda words: called.append(words) or 0)
    with pytest.raises(SystemExit) as end:
        main(["fit", "--config=configs/vae.yaml", "--train_seeds=0-2", "--print_config"])
    assert end.value.code == 0 and len(called) == 1 and "--train_seeds=0-2" not in called[0]


def test_no_training_is_told_the_seeds_or_the_name_that_were_typed_twice(monkeypatch):
    called = []
    monkeypatch.setattr(seeds.subprocess, "call", lambda words: called.append(words) or 0)
    twice = ["--train_seeds", "0-1", "--name", "a", "--train_seeds=0-2", "--name=b", "--train_seeds", "5"]
    with pytest.raises(SystemExit):
        main(["fit", "--config=configs/vae.yaml", *twice, "--print_config"])
    assert called[0][-3:] == ["fit", "--config=configs/vae.yaml", "--print_config"]


def test_what_to_do_when_a_training_fails(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(seeds, "exit_code_of", lambda words: 2)
    words = ["fit", "--config=configs/vae.yaml", "--train_seeds=0-2", "--name=s"]
    words.append(f"--trainer.default_root_dir={tmp_path}")
    for begun, said in ((False, "code 2, before anything was written"), (True, "; --name=s --ckpt_path=auto goes on")):
        if begun:
            (tmp_path / "vae" / "s-seed0").mkdir(parents=True)
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.slow  # the README has such a command, too
def test_trainings_with_two_seeds(data, runs, capfd):  # noqa: F811
    words = ["fit", *data, *TINY_VAE, *SHORT, f"--trainer.default_root_dir={runs}", "--trainer.logger=false"]
    main([*words, "--name", "both", "--train_seeds", "0,1"])
    text = capfd.readouterr().out
    assert {path.name for path in (runs / "vae").iterdir()} == {"both-seed0", "both-seed1"}
    ends = [torch.load(runs / "vae" / f"both-seed{seed}" / "checkpoints" / "last.ckpt", weights_only=True)
            for seed in (0, 1)]  # fmt: skip
    assert [end["state_dict"]["_extra_state"]["run_seed"] for end in ends] == [0, 1]
    assert "best val/loss" in text and "deviation" in text


# ----------------------------------------------------------------------------------------------------------- dry run


@pytest.mark.parametrize("model", [TINY_VAE, TINY_PROGAN], ids=["VAE", "ProGAN"])
def test_a_dry_run_times_ten_batches_and_writes_nothing(model, data, runs, caplog):  # noqa: F811
    with caplog.at_level("INFO"):
        main(["fit", "--dry_run", *data, *model, f"--trainer.default_root_dir={runs}", "--trainer.max_epochs=2"])
    (report,) = (message for message in caplog.messages if message.startswith("dry run"))
    assert "(10 batches, 160 images, in" in report and "GiB" in report and "for the whole training" in report
    assert ("at the first resolution" in report) == (model is TINY_PROGAN)
    assert not runs.exists()


@pytest.mark.parametrize(("batches", "timed"), [(1, 1), (2, 2), (8, 5)])  # three of eight come before the clock
def test_a_dry_run_of_a_short_training_times_what_there_is(batches, timed, data, runs, caplog):  # noqa: F811
    few = ["--trainer.max_epochs=1", f"--trainer.limit_train_batches={batches}"]
    with caplog.at_level("INFO"):
        main(["fit", "--dry_run", *data, *TINY_VAE, f"--trainer.default_root_dir={runs}", *few])
    (report,) = (message for message in caplog.messages if message.startswith("dry run"))
    assert f"({timed} batches, {16 * timed} images, in" in report and "for the whole training" in report
