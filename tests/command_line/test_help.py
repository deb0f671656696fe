"""Help on one screen, from the source files, before anything large is imported; and words that name no command."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import lit_gen
import lit_gen.data
import lit_gen.models
from lit_gen.cli import LitGenCLI, main
from lit_gen.command_line import export, help, sources
from lit_gen.command_line.parser import OneLineParser
from lit_gen.models.base import GenerativeModule

REPOSITORY = Path(__file__).parents[2]
OWN_MODEL = (REPOSITORY / "docs/own-model.md").read_text()


def output(words, capsys) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as end:
        main(words)
    seen = capsys.readouterr()
    return end.value.code or 0, seen.out, seen.err


@pytest.mark.parametrize("words", [["--help"], ["fit", "--model.help", "VAE"], ["runs", "."]])
def test_a_reader_that_has_read_enough_ends_a_command_quietly(words, tmp_path):
    """As `| head` does; 141 is what a shell gives for a program that a closed pipe ended."""
    (tmp_path / "vae" / "first").mkdir(parents=True)
    (tmp_path / "vae" / "first" / "run.json").write_text("{}")
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, REPOSITORY / "main.py", *words]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, timeout=120)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize(("closed", "error"), [(True, "RuntimeError"), (False, "BrokenPipeError")])
def test_a_mistake_is_told_whatever_pipe_is_closed(closed, error, tmp_path):
    """An error of a model's own is no reader that left; nor is a broken pipe of a library's."""
    code = "import sys, lit_gen.cli as cli, lit_gen.__main__ as program\n"
    code += "sys.argv = ['main.py', 'fit', '--config=x']\n"
    code += f"def fail():\n print('hello')\n raise {error}('a mistake of mine')\n"
    code += "cli.main = fail\nprogram.main()"
    reading, writing = os.pipe()
    if closed:
        os.close(reading)
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}  # or "hello" would be what fails
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, timeout=120,
                          cwd=REPOSITORY, env=buffered)  # fmt: skip
    os.close(writing)
    assert done.returncode == 1 and done.stderr.strip().endswith(f"{error}: a mistake of mine")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["help"]])
def test_the_help_of_the_program(words, capsys):
    code, text, _ = output(words, capsys)
    assert code == 0
    assert all(re.search(rf"^  {name} ", text, re.MULTILINE) for name in LitGenCLI.subcommands())


@pytest.mark.parametrize("command", LitGenCLI.subcommands())
@pytest.mark.parametrize("form", ["{} --help", "{} -h", "help {}", "{} help", "{} --config configs/vae.yaml --help"])
def test_the_help_of_a_command_is_one_screen(form, command, capsys):
    code, text, _ = output(form.format(command).split(), capsys)
    lines = text.splitlines()
    assert code == 0 and len(lines) <= 56 and max(len(line) for line in lines) <= 100
    assert [line for line in lines if line.startswith(f"  python main.py {command} ")] == lines[-3:]
    for name in (*lit_gen.models.__all__, *lit_gen.data.__all__):
        assert re.search(rf"^  {name}  +\w", text, re.MULTILINE), name
    for paper in ("Makhzani et al. 2015", "Karras et al. 2018", "Kingma & Welling 2013"):
        assert paper in text
    assert all(name in text for name in ("--config ", "--ckpt_path ", "--help=all"))


def test_every_setting_of_this_project_is_on_the_screen(capsys):
    """Those that the parser has beside Lightning's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LitGenCLI, "parse_arguments", lambda self, parser, args: (_ for _ in ()).throw(Found(self)))
        with pytest.raises(Found) as found:
            main(["fit", "--print_config"])
    parser = found.value.args[0]._subcommand_parsers["fit"]
    names = {action.dest for action in parser._actions if "." in action.dest and not action.dest.endswith("help")}
    own = sorted(name for name in names if name.partition(".")[0] not in ("trainer", "model", "data"))
    assert own
    text = output(["fit", "--help"], capsys)[1]
    for name in own:
        group, _, setting = name.partition(".")
        assert f"--{name} " in text or re.search(rf"--{group}\.\w+ .*\.{setting}\b", text), name


class Found(BaseException):
    """Carries the command line out of `main`, which knows nothing of it."""


def test_all_settings_are_the_long_list(capsys):
    code, text, _ = output(["test", "--help=all"], capsys)
    assert code == 0 and len(text.splitlines()) > 200
    assert "--trainer.limit_test_batches" in text and "--evaluation.samples" in text


@pytest.mark.parametrize("words", [["--help"], ["fit", "--help"], ["fti"], [], ["--version"], ["fit", "--model.help"]])
def test_help_imports_nothing_large(words):
    """As `python main.py` runs: what it has imported when it ends is printed by a hook."""
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print([n for n in ('torch', 'lightning', 'jsonargparse') if n in sys.modules]))\n"
        f"sys.argv = ['main.py', *{words!r}]\n"
        "runpy.run_path('main.py', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.returncode == (2 if words in (["fti"], []) else 0)


@pytest.mark.parametrize("started", ["/usr/bin/lit-gen", "/site-packages/lit_gen/__main__.py"])
def test_who_started_an_installed_program_reads_its_words(started, monkeypatch, capsys):
    """And recipes by name, since no configs/ lies there."""
    monkeypatch.setattr("sys.argv", [started])
    words = "lit-gen" if "bin" in started else "python -m lit_gen"
    for command in ([], ["fit"], ["test"], ["predict"], ["export"], ["check"], ["prepare"], ["runs"], ["new"]):
        text = output([*command, "--help"], capsys)[1]
        assert f"usage: {words} {' '.join(command)}" in text and "main.py" not in text and "configs/" not in text
    assert f"  {words} fit --config progan --config quick/progan\n" in output(["fit", "--help"], capsys)[1]
    assert f"`{words} --help` explains them" in output([], capsys)[2]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("fti", "no command 'fti'. Did you mean fit?"), ("prdict --ckpt_path=last", "Did you mean predict?"),
        ("train --config configs/vae.yaml", "Did you mean fit?"), ("sample", "Did you mean predict?"),
        ("FIT", "Did you mean fit?"), ("", "which command?"), ("--model=VAE --data=MNIST", "which command?"),
        ("fit --help=al", "--help=all"), ("--config configs/vae.yaml", "main.py fit --config configs/vae.yaml"),
        ("--config configs/vae.yaml test", "main.py test --config configs/vae.yaml"),
        ("fit --model.help Vae", "no model 'Vae'. Did you mean VAE?"),
        ("fit --model.help=stargan", "Did you mean StarGAN?"), ("test --data.help mnist", "Did you mean MNIST?"),
    ],
)  # fmt: skip
def test_words_that_are_no_command(words, expected, capsys):
    code, text, error = output(words.split(), capsys)
    assert code == 2 and not text
    assert error.startswith("error: ") and len(error.splitlines()) == 1 and expected in error


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--model.help VAE", "--model.num_importance_samples"), ("--model.help=VAE", "--model.num_importance_samples"),
        ("--model=VAE --model.help", "--model.num_importance_samples"),
        ("--model GAN --model.help", "--model.maxout_pieces"), ("--data.help MNIST", "--data.val_size"),
        ("--model.help", "  Text2Image "), ("--data.help", "  Horse2Zebra "),
        ("--model.help lit_gen.models.VAE", "--model.num_importance_samples"),
    ],
)  # fmt: skip
def test_the_settings_of_a_class(words, expected, capsys):
    code, text, _ = output(["fit", *words.split()], capsys)
    assert code == 0 and expected in text


def test_the_version(capsys):
    code, text, _ = output(["--version"], capsys)
    assert code == 0
    assert f"lit_gen {lit_gen.__version__}, torch " in text


def test_a_new_model_is_in_the_help_by_being_imported(tmp_path):
    """That of docs/own-model.md, put where the page says, and one that cannot be read."""
    shutil.copytree(REPOSITORY / "lit_gen", tmp_path / "lit_gen", ignore=shutil.ignore_patterns("*.pyc", "*.pt"))
    shutil.copy(REPOSITORY / "main.py", tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", OWN_MODEL, re.DOTALL)
    (tmp_path / "lit_gen" / "models" / "lsgan.py").write_text(code)
    (tmp_path / "lit_gen" / "models" / "broken.py").write_text("class Broken(:\n")
    with (tmp_path / "lit_gen" / "models" / "__init__.py").open("a") as file:
        file.write("\nfrom .broken import Broken\nfrom lit_gen.models.lsgan import LSGAN\n")
    done = subprocess.run([sys.executable, "main.py", "fit", "-h"], capture_output=True, text=True, cwd=tmp_path)
    assert re.search(r"^  LSGAN +Least squares GAN \(Mao et al. 2017\)$", done.stdout, re.MULTILINE), done.stderr
    assert "Broken" not in done.stdout


def test_the_names_are_those_of_the_code():
    for part, package in (("model", lit_gen.models), ("data", lit_gen.data)):
        assert sorted(package.__all__) == sorted(sources.known(part))
        for name in package.__all__:
            parser = OneLineParser()
            parser.add_class_arguments(getattr(package, name), "given", skip={"spec"})  # the command line links it
            names = {action.dest.split(".")[1] for action in parser._actions if action.dest.startswith("given.")}
            assert sources.settings_of(part, name) == names, name
    assert sources.settings_of("model", "elsewhere.VAE") is None and sources.settings_of("model", "Nothing") is None
    assert set(help.COMMANDS) == {*LitGenCLI.subcommands(), "prepare", "check", "runs", "new", "export"}
    assert issubclass(getattr(lit_gen.models, sources.known("model")[0]), GenerativeModule)


@pytest.mark.parametrize("name", [*lit_gen.models.__all__, *lit_gen.data.__all__])
def test_every_setting_is_explained(name):
    """By the class itself, or by one that it is derived from."""
    parser = OneLineParser()
    parser.add_class_arguments(
        getattr(lit_gen.models, name, None) or getattr(lit_gen.data, name), "given", skip={"spec"}
    )
    explained = {action.dest: action.help for action in parser._actions if action.dest.startswith("given.")}
    assert explained and all(text and len(text.split()) > 1 for text in explained.values()), explained


@pytest.mark.parametrize("command", [name for name in help.EXAMPLES if name not in ("runs", "new", "export")])
def test_the_examples_are_commands(command, capsys, tmp_path, monkeypatch):
    fixtures = Path("tests/fixtures/e45cbfd").resolve()
    shutil.copytree("configs", tmp_path / "configs")
    shutil.copytree(fixtures / "vae", tmp_path / "runs" / "vae" / "a")
    shutil.copy(fixtures / "text2image" / "checkpoints" / "last.ckpt", tmp_path / "model.ckpt")
    monkeypatch.chdir(tmp_path)
    for example in help.EXAMPLES[command]:
        words = [word.strip('"') for word in re.findall(r'\S*".*?"|\S+', example)]
        if "<run>" not in example:
            assert output([command, *words, "--print_config"], capsys)[0] == 0


def test_the_help_and_the_examples_of_export(capsys):
    code, text, _ = output(["export", "--help"], capsys)
    parser = export.parser()
    known = {option for action in parser._actions for option in action.option_strings}
    shown = set(re.findall(r"^  (--\w+)", text, re.MULTILINE))
    assert code == 0 and {"--ckpt_path", "--format", "--output", "--overwrite", "--resolution"} <= shown <= known
    for example in help.EXAMPLES["export"]:
        parser.parse_args(example.split())


def test_the_examples_of_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for run in ("runs/vae/first", "runs/vae/second", "elsewhere/runs/vae/third"):
        Path(run).mkdir(parents=True)
        Path(run, "config.yaml").write_text("trainer: {max_epochs: 1}\n")
    for example in help.EXAMPLES["runs"]:
        main(["runs", *example.split()])
        said = capsys.readouterr().out
        answers = {"compare": "no setting differs", "report": "written: runs/vae/first/report.html"}
        assert answers.get(example.partition(" ")[0], "without a checkpoint") in said
