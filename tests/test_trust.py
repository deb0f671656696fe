"""Runs and checkpoints of somebody else: nothing in them runs code, and each refusal is one line.

What tries to is `Payload`: whoever loads it as pickle does has made a file.
"""

import functools
import http.server
import json
import os
import pickle
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from lit_gen.callbacks.best import BestCheckpoint
from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.loggers.metrics_file import rows_of_log
from lit_gen.loggers.wandb import WandbOptions, wandb_logger
from lit_gen.models import AAE, VAE, AutoEncoder
from lit_gen.runs.checkpoint_files import read_checkpoint

ROOT = Path(__file__).parents[1]
COMMANDS = ("fit", "validate", "test", "predict")
OBJECTS = "holds objects that could run code"
UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


class Payload:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.fixture
def marker(tmp_path):
    """A path that appears when a payload has run; it must not."""
    path = tmp_path / "payload-was-here"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def words(mnist_root):
    data = ["--data=MNIST", f"--data.root={mnist_root}", "--data.download=false", "--data.val_size=100"]
    small = ["--trainer.limit_val_batches=1", "--trainer.logger=false", "--trainer.enable_progress_bar=false"]
    return [
        *data,
        "--data.batch_size=16",
        "--model=VAE",
        "--model.latent_dim=2",
        "--model.encoder.hidden_sizes=[8]",
        *small,
    ]


@pytest.fixture(scope="module")
def good(words, tmp_path_factory):
    """A run as its owner left it."""
    runs = tmp_path_factory.mktemp("good")
    main(
        [
            "fit",
            *words,
            f"--trainer.default_root_dir={runs}",
            "--trainer.max_epochs=1",
            "--trainer.limit_train_batches=3",
        ]
    )
    (run,) = runs.glob("vae/*")
    return run


@pytest.fixture
def run(good, tmp_path):
    """A copy of that run, as it comes from somebody else."""
    return Path(shutil.copytree(good, tmp_path / "runs" / "vae" / "foreign"))


def as_zip(path: Path, marker: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"beside": Payload(marker)}, path)


def as_zip_of_before(path: Path, marker: Path) -> None:
    checkpoint = torch.load(path, weights_only=True) | {"beside": Payload(marker)}
    torch.save(checkpoint, path, _use_new_zipfile_serialization=False)


def as_pickle(path: Path, marker: Path, protocol: int = pickle.DEFAULT_PROTOCOL) -> None:
    path.write_bytes(pickle.dumps({"state_dict": {}, "beside": Payload(marker)}, protocol))


def as_script(path: Path, marker: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), path)


def as_module(path: Path, marker: Path) -> None:
    torch.save(nn.Linear(1, 1), path)


FORMS = [as_zip, as_zip_of_before, as_pickle, as_script, as_module]
FORMS += [functools.partial(as_pickle, protocol=protocol) for protocol in (0, 2, 4)]


def evil(run: Path, marker: Path, **settings) -> list[str]:
    """Put a payload into a run, and return how its owner says that it is to be used."""
    as_zip(run / "checkpoints" / "last.ckpt", marker)
    config = yaml.safe_load((run / "config.yaml").read_text()) | settings
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return [f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]


def line(words: list[str], capsys) -> str:
    with pytest.raises(SystemExit) as end:
        main(words)
    assert end.value.code == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    return line


# ------------------------------------------------------------------------------------------------- the command line


@pytest.mark.parametrize(
    "command", [pytest.param(command, marks=[] if command == "predict" else pytest.mark.slow) for command in COMMANDS]
)
def test_a_run_from_elsewhere_as_a_user_uses_it(command, run, marker, tmp_path):
    """In a process of its own, and with the variable that has torch load anything."""
    words = evil(run, marker, **({} if command in ("fit", "test") else {"weights_only": False}))
    environment = os.environ | {UNSAFE: "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, ROOT / "main.py", command, *words],
        capture_output=True,
        text=True,
        env=environment,
        cwd=tmp_path,
    )
    said = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert done.returncode == 2 and len(said) == 1 and "Traceback" not in done.stderr
    assert (OBJECTS if command in ("fit", "test") else "weights_only is false") in said[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_weights_only_cannot_be_false(command, words, run, marker, capsys):
    foreign = evil(run, marker, weights_only=False)
    assert "weights_only is false, which would let a checkpoint run code" in line([command, *foreign], capsys)
    given = [command, *words, foreign[1], "--weights_only=false"]
    assert "weights_only is false, which would let a checkpoint run code" in line(given, capsys)


@pytest.mark.parametrize("value", ["null", "true"])
def test_weights_only_may_be_what_it_is(value, words, run, tmp_path):
    checkpoint = run / "checkpoints" / "last.ckpt"
    root = f"--trainer.default_root_dir={tmp_path}"
    main(["validate", *words, root, f"--ckpt_path={checkpoint}", f"--weights_only={value}"])


@pytest.mark.parametrize("variable", ["1", "True", "yes"])
def test_torchs_variable_has_no_effect(variable, words, run, marker, monkeypatch, capsys, caplog):
    foreign = evil(run, marker)
    monkeypatch.setenv(UNSAFE, variable)
    with caplog.at_level("INFO"):
        assert OBJECTS in line(["predict", *foreign], capsys)
    assert f"{UNSAFE} has no effect" in caplog.text


@pytest.fixture
def server(tmp_path):
    """A server of files below `tmp_path/served`, and a list of what was asked for."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

        def log_message(self, *_):
            pass

    (tmp_path / "served").mkdir()
    serving = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Handler, directory=tmp_path / "served")
    )
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{serving.server_port}", tmp_path / "served", asked
    serving.shutdown()
    serving.server_close()


@pytest.mark.parametrize("command", [*COMMANDS, "load_from_checkpoint"])
def test_a_path_that_looks_like_an_address_is_a_path(command, words, run, marker, server, tmp_path, monkeypatch):
    """There is a file of that name, and another one on a server, which Lightning would take: with its objects."""
    address, served, asked = server
    shutil.copy(run / "checkpoints" / "last.ckpt", served / "last.ckpt")
    as_zip(served / "last.ckpt", marker)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    path = f"{address}/last.ckpt"
    Path(path).parent.mkdir(parents=True)
    shutil.copy(run / "checkpoints" / "last.ckpt", path)
    if command == "load_from_checkpoint":
        assert torch.equal(
            VAE.load_from_checkpoint(path).state_dict()["encoder.1.weight"],
            read_checkpoint(path)["state_dict"]["encoder.1.weight"],
        )
    else:
        main(
            [
                command,
                *words,
                f"--ckpt_path={path}",
                f"--trainer.default_root_dir={tmp_path / 'mine'}",
                "--trainer.max_epochs=1",
                *(
                    ["--trainer.limit_test_batches=1", "--evaluation.features=none", "--evaluation.samples=8"]
                    if command == "test"
                    else []
                ),
            ]
        )
    assert not asked


def test_a_word_that_is_an_address_is_not_fetched(words, server, marker, capsys):
    address, served, asked = server
    as_pickle(served / "last.ckpt", marker)
    assert "there is no checkpoint http://" in line(["predict", *words, f"--ckpt_path={address}/last.ckpt"], capsys)
    assert not asked


def test_a_run_that_goes_on_loads_no_objects_from_its_best_checkpoint(words, run, marker, caplog):
    """`fit` reads its best value, to say it last."""
    as_zip(run / "checkpoints" / "best.ckpt", marker)
    with caplog.at_level("INFO"):
        main(["fit", *words, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "--trainer.max_epochs=2",
              "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0"])  # fmt: skip
    (said,) = [message for message in caplog.messages if message.startswith("best.ckpt")]
    assert OBJECTS in said and "\n" not in said
    assert OBJECTS in BestCheckpoint(run / "checkpoints", "val/loss").summary()


def test_a_checkpoint_does_not_say_what_is_removed(words, run):
    """Lightning's ModelCheckpoint takes the place of its former best from the checkpoint, and removes what is there."""
    precious = run.parent / "precious"
    precious.mkdir()
    path, best = run / "checkpoints" / "last.ckpt", run / "checkpoints" / "best.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    (key,) = (key for key in checkpoint["callbacks"] if "BestCheckpoint" in key)
    there = str(run / "checkpoints" / ".." / ".." / "precious")
    checkpoint["callbacks"][key] |= {"best_k_models": {there: torch.tensor(1e9)}, "best_model_score": torch.tensor(1e9)}
    checkpoint["callbacks"][key] |= {
        "kth_best_model_path": there,
        "best_model_path": there,
        "kth_value": torch.tensor(1e9),
    }
    checkpoint["callbacks"][key] |= {"dirpath": str(best.parent), "best_k_models": {there: torch.tensor(1e9)}}
    torch.save(checkpoint, path)
    best.unlink()
    main(["fit", *words, f"--ckpt_path={path}", "--trainer.max_epochs=2", "--trainer.limit_train_batches=1"])
    assert precious.is_dir() and best.is_file()


def test_a_checkpoint_io_of_the_users_own(words, run, marker, capsys):
    as_zip(run / "checkpoints" / "last.ckpt", marker)
    chosen = "--trainer.plugins=lightning.pytorch.plugins.io.AsyncCheckpointIO"
    words = ["predict", *words, chosen, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}"]
    assert "the checkpoint holds objects that could run code" in line(words, capsys)


# ------------------------------------------------------------------------------------------------- what it is called


@pytest.mark.parametrize("form", FORMS)
def test_what_could_run_code_is_called_that(form, run, marker, monkeypatch, capsys, words):
    monkeypatch.setenv(UNSAFE, "1")
    path = run / "checkpoints" / "last.ckpt"
    form(path, marker)
    for load in (read_checkpoint, VAE.load_from_checkpoint):
        with pytest.raises(UserError, match=f"last.ckpt {OBJECTS}") as caught:
            load(path)
        assert "\n" not in str(caught.value) and "truncated" not in str(caught.value)
    assert OBJECTS in line(["test", *words, f"--ckpt_path={path}"], capsys)


def test_the_object_is_named(run, marker):
    as_zip(run / "checkpoints" / "last.ckpt", marker)
    with pytest.raises(UserError, match=rf"{OBJECTS} \({os.mkdir.__module__}.mkdir\), so it was not loaded"):
        read_checkpoint(run / "checkpoints" / "last.ckpt")


@pytest.mark.parametrize(
    "content",
    [b"", b"not a checkpoint", b"checkpoints:\n  none\n", b"<html>", b"\x80\x04\x95", b"PK\x03\x04", b"{}", bytes(99)],
)
def test_what_is_no_checkpoint_is_called_that(content, tmp_path):
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match="last.ckpt is truncated or no checkpoint. A run's checkpoints are in <run>/ch"):
        read_checkpoint(path)


def test_for_another_file_of_a_run_its_checkpoint_is_named(run):
    with pytest.raises(UserError) as caught:
        read_checkpoint(run / "config.yaml")
    assert str(caught.value).endswith(f"Instead of it: --ckpt_path={run / 'checkpoints' / 'last.ckpt'}")


def test_a_checkpoint_cut_short_is_called_that(run, tmp_path):
    whole = (run / "checkpoints" / "last.ckpt").read_bytes()
    for length in (*range(1, 6000, 500), *range(6000, len(whole), len(whole) // 20), len(whole) - 1):
        (tmp_path / "last.ckpt").write_bytes(whole[:length])
        with pytest.raises(UserError, match="last.ckpt is truncated or no checkpoint"):
            read_checkpoint(tmp_path / "last.ckpt")


@pytest.mark.parametrize(
    "changed",
    [{"state_dict": [1]}, {"state_dict": torch.ones(1)}, {"hyper_parameters": [1]}, {"pytorch-lightning_version": 2}],
)
def test_what_looks_like_a_checkpoint(changed, run, words, capsys):
    path = run / "checkpoints" / "last.ckpt"
    torch.save(torch.load(path, weights_only=True) | changed, path)
    assert "last.ckpt is no checkpoint of a run" in line(["predict", *words, f"--ckpt_path={path}"], capsys)


def test_a_missing_checkpoint(tmp_path):
    with pytest.raises(UserError, match="cannot read the checkpoint .*none.ckpt: No such file"):
        VAE.load_from_checkpoint(tmp_path / "none.ckpt")
    with pytest.raises(UserError, match="cannot read the checkpoint .*: Is a directory"):
        VAE.load_from_checkpoint(tmp_path)


# ------------------------------------------------------------------------------------------- classes that it names


def test_load_from_checkpoint_cannot_be_told_otherwise(run, marker):
    path = run / "checkpoints" / "last.ckpt"
    as_zip(path, marker)
    with pytest.raises(UserError, match="weights_only is false"):
        VAE.load_from_checkpoint(path, weights_only=False)


MODULE = "payload_of_somebody_else"


@pytest.fixture
def module(tmp_path, monkeypatch, marker):
    """The name of a module that would run a payload when it is imported."""
    (tmp_path / f"{MODULE}.py").write_text(
        f"import os\nos.mkdir({str(marker)!r})\nclass Encoder: pass\nclass VAE: pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield MODULE
    assert sys.modules.pop(MODULE, None) is None


def popen(marker: Path) -> dict:
    """A network that is a process: its first arguments, image_shape and out_features, are the command and a number."""
    return {"class_path": "subprocess.Popen", "init_args": {"args": ["mkdir", str(marker)]}}


@pytest.mark.parametrize("place", ["hyper_parameters", "hparams", "module_arguments", "named", "nested", "decoder"])
@pytest.mark.parametrize("what", ["module", "Popen", "lit_gen"])
@pytest.mark.parametrize("model", [AutoEncoder, VAE, AAE])
def test_a_checkpoint_names_no_class_of_elsewhere(model, what, place, run, module, marker, tmp_path):
    """Wherever Lightning, now or long ago, looks for the settings of a model."""
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    settings = checkpoint["hyper_parameters"]
    evil = {
        "module": {"class_path": f"{module}.Encoder", "init_args": {}},
        "Popen": popen(marker),
        "lit_gen": {"class_path": "lit_gen.files.atomic.make_folder", "init_args": {"path": str(marker)}},
    }[what]
    if place in ("hparams", "module_arguments"):
        del settings["encoder"]
        checkpoint[place] = {"encoder": evil, "_instantiator": f"{module}.VAE"}
    elif place == "named":
        checkpoint |= {"hparams_name": "encoder", "hyper_parameters": settings | evil, "hparams_type": f"{module}.VAE"}
    elif place == "nested":
        settings["encoder"] = {"class_path": "lit_gen.layers.coders.MLPEncoder", "init_args": {"hidden_sizes": [evil]}}
    else:
        settings["decoder" if place == "decoder" else "encoder"] = evil
    settings |= {"_class_path": f"{module}.VAE", "_instantiator": f"{module}.VAE"}
    torch.save(checkpoint, path)
    refused = pytest.raises(UserError) if place in ("hyper_parameters", "nested", "decoder") else suppress(UserError)
    with refused as caught:
        model.load_from_checkpoint(path)
    assert caught is None or "\n" not in str(caught.value)


def test_a_class_that_is_none(run):
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    for kind, why in (
        ("lit_gen.nowhere.Encoder", "cannot import the network lit_gen.nowhere.Encoder"),
        ("lit_gen.layers.coders.Nothing", "is no network"),
        ("lit_gen.layers.coders.nn", "is no network"),
        ("lit_gen.models.vae.VAE", "which is no encoder or decoder"),
        ("lit_gen..os.system", "cannot import the network"),
        (7, "encoder is 7, not of lit_gen. Name it yourself: by --config=<run>/config.yaml, or in Python by encoder="),
        (None, "encoder is None, not of lit_gen"),
    ):
        checkpoint["hyper_parameters"]["encoder"] = {"class_path": kind}
        torch.save(checkpoint, path)
        with pytest.raises(UserError, match=why):
            VAE.load_from_checkpoint(path)
    with pytest.raises(UserError, match="subprocess.Popen is no network"):
        VAE(checkpoint["hyper_parameters"]["spec"], encoder=popen(Path("nowhere")))


@pytest.mark.parametrize("command", COMMANDS)
def test_the_command_line_takes_no_class_from_a_checkpoint(command, run, words, module, tmp_path):
    """Model, networks, callbacks and data are those of the command; a checkpoint adds their states."""
    path = run / "checkpoints" / "last.ckpt"
    checkpoint = torch.load(path, weights_only=True)
    named = {"class_path": f"{module}.VAE", "init_args": {}}
    checkpoint["hyper_parameters"] |= {
        "_class_path": f"{module}.VAE",
        "_instantiator": f"{module}.VAE",
        "encoder": named,
    }
    checkpoint |= {"hparams": named, "datamodule_hyper_parameters": named, f"{module}.VAE": named}
    checkpoint |= {"hparams_name": "encoder", "datamodule_hparams_name": "root"}
    checkpoint["callbacks"] = {f"{module}.VAE": named, f"{module}.VAE{{'monitor': 'x'}}": named}
    torch.save(checkpoint, tmp_path / "foreign.ckpt")
    more = {"fit": ["--trainer.max_epochs=1"], "test": ["--trainer.limit_test_batches=1", "--evaluation.features=none"]}
    main([command, *words, f"--ckpt_path={tmp_path / 'foreign.ckpt'}", f"--trainer.default_root_dir={tmp_path}",
          *more.get(command, []), *(["--evaluation.samples=8"] if command == "test" else [])])  # fmt: skip


# ------------------------------------------------------------------------------------------- the rest of its folder


def test_a_foreign_page_of_wandb_does_not_say_where_the_log_is_sent(tmp_path):
    """W&B would take the address of a server from it, and send the user's key there."""
    options = WandbOptions(mode="offline")
    page = {"project": "theirs", "settings": {"base_url": "http://127.0.0.1:9"}}
    (tmp_path / "wandb-page.json").write_text(json.dumps(page))
    with pytest.raises(UserError, match="wandb-page.json does not say where a run's page is"):
        wandb_logger(tmp_path, {}, options)
    (tmp_path / "wandb-page.json").write_text(json.dumps({"project": "theirs", "tags": ["a"]}))
    assert wandb_logger(tmp_path, {}, options)._wandb_init["project"] == "theirs"


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"[1]", b"{", b'{"mode": 1}', b""])
def test_a_page_that_is_none(content, tmp_path):
    (tmp_path / "wandb-page.json").write_bytes(content)
    with pytest.raises(UserError, match="wandb-page.json does not say where a run's page is. Remove it"):
        wandb_logger(tmp_path, {}, WandbOptions(mode="offline"))


@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\n", b"a,b\n1,2\n", b"step\none\n", b"step\n" + b"1" * 200_000 + b"\n"]
)
def test_a_log_that_is_none(content, tmp_path):
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(UserError, match="metrics.csv is not the log of a run .*Move it away"):
        rows_of_log(tmp_path / "metrics.csv")


def test_files_that_are_no_text(run, words, capsys):
    """Each in its turn: the run goes on, or one line says which file it is."""
    words = ["fit", *words, f"--ckpt_path={run / 'checkpoints' / 'last.ckpt'}", "--trainer.limit_train_batches=1"]
    words = [word for word in words if "logger" not in word]
    for epochs, name in enumerate(("config.yaml", "run.json", "time.json", "wandb-id", "hparams.yaml"), 2):
        (run / name).write_bytes(b"\xff\xfe\x00\xe4")
        main([*words, f"--trainer.max_epochs={epochs}", "--wandb.mode=disabled"])
    (run / "metrics.csv").write_bytes(b"\xff\xfe\x00\xe4")
    assert "metrics.csv is not the log of a run" in line(
        [*words, "--trainer.max_epochs=9", "--wandb.mode=disabled"], capsys
    )
