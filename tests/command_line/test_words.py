"""Mistakes in the words of a command end in one line that says what to do."""

import os
import shutil
from pathlib import Path

import pytest

from lit_gen.cli import main
from lit_gen.command_line.config_files import GROUPS
from lit_gen.command_line.sources import own_settings
from lit_gen.command_line.words import check_order, check_words
from lit_gen.errors import UserError, nearest
from tests.test_cli import mistake

SYSTEMS = sorted(path.stem for path in Path("configs").glob("*.yaml"))
PAIR = ["--model=VAE", "--data=MNIST"]


def refusal(words: list[str]) -> str:
    with pytest.raises(UserError) as caught:
        check_words(words)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def configs(*names: str) -> list[str]:
    return [word for name in names for word in ("--config", f"configs/{name}.yaml")]


# ------------------------------------------------------------------------------------------------------------ overlays


@pytest.mark.parametrize("system", SYSTEMS)
def test_an_overlay_alone_names_its_base(system):
    expected = f"configs/quick/{system}.yaml is an overlay: put --config configs/{system}.yaml before it."
    for command in ("fit", "test", "predict", "validate"):
        assert refusal([command, *configs(f"quick/{system}")]) == expected
    assert refusal(["fit", *configs(f"quick/{system}", system)]) == expected  # in the wrong order
    assert refusal(["fit", f"--config=configs/quick/{system}.yaml", "--trainer.max_epochs=1"]) == expected
    assert refusal(["fit", "-c", f"configs/quick/{system}.yaml"]) == expected
    check_words(["fit", *configs(system, f"quick/{system}")])


def test_an_overlay_alone_as_the_command_line_says_it(capsys):
    line = mistake(["fit", *configs("quick/vae")], capsys)
    assert line == "error: configs/quick/vae.yaml is an overlay: put --config configs/vae.yaml before it."


def test_an_overlay_is_found_from_any_folder(tmp_path, monkeypatch):
    shutil.copytree("configs", tmp_path / "configs")
    for folder, overlay, base in (
        ("configs", "quick/vae.yaml", "vae.yaml"),
        ("configs/quick", "vae.yaml", "../vae.yaml"),
        (".", "./configs/quick/vae.yaml", "configs/vae.yaml"),
        (".", f"{tmp_path}/configs/quick/vae.yaml", "configs/vae.yaml"),
    ):
        monkeypatch.chdir(tmp_path / folder)
        assert f"put --config {base} before it" in refusal(["fit", "--config", overlay])


def test_an_own_overlay(tmp_path):
    own = tmp_path / "own.yaml"
    for text in ("model:\n  init_args:\n    beta: 4\n", "model:\n  beta: 4\n"):
        own.write_text(text)
        general = f"{own} is an overlay: put a --config that names the model, or --model=<class>, before it."
        assert refusal(["fit", "--config", str(own)]) == general
        expected = f"{own} is an overlay: put --config configs/vae.yaml before it."
        assert refusal(["fit", "--config", str(own), *configs("vae")]) == expected
        assert "put --model=VAE before it" in refusal(["fit", "--config", str(own), *PAIR])
        check_words(["fit", *PAIR, "--config", str(own)])
        check_words(["fit", *configs("vae"), "--config", str(own)])
    own.write_text("data:\n  init_args:\n    synthetic: true\n")
    assert "names the data, or --data=<class>" in refusal(["fit", "--model=VAE", "--config", str(own)])
    own.write_text("trainer:\n  max_epochs: 3\n")
    check_words(["fit", "--config", str(own), *PAIR])


def test_an_overlay_of_another_system():
    line = refusal(["fit", *configs("gan", "quick/vae")])
    assert line == (
        "GAN has no setting 'num_eval_samples', which configs/quick/vae.yaml gives: it is an overlay for "
        "configs/vae.yaml."
    )
    line = refusal(["fit", *configs("cyclegan", "quick/progan")])
    assert "CycleGAN has no setting 'latent_dim'" in line and "overlay for configs/progan.yaml" in line
    check_words(["fit", *configs("vae", "quick/autoencoder")])  # it has nothing that does not fit


# ------------------------------------------------------------------------------------------------------------ settings


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model.latent_dim=3", *PAIR], "--model.latent_dim=3 stands before any model is named: put --model=VAE"),
        (["--model.latent_dim=3", "--data=MNIST"], "put a --config that names the model, or --model=<class>, before"),
        (["--data.root", "x", *PAIR], "put --data=MNIST before it"),
        ([*PAIR, "--model.latent_dims=3"], "VAE has no setting 'latent_dims'. Did you mean latent_dim?"),
        ([*PAIR, "--model.init_args.latent_dims", "3"], "Did you mean latent_dim?"),
        ([*PAIR, "--model.n_critic=3"], "That is a setting of CycleGAN, DCGAN, GAN"),
        (["--model=lit_gen.models.VAE", "--model.n_critic=3"], "VAE has no setting 'n_critic'"),
        (
            [*PAIR, "--data.crop_size=3"],
            "MNIST has no setting 'crop_size'. That is a setting of CelebA, CelebACaptions.",
        ),
        (["--model", "{class_path: VAE, init_args: {latent_dims: 3}}"], "VAE has no setting 'latent_dims'"),
        (["--model=GAN", "--model=VAE", "--model.maxout_pieces=3"], "VAE has no setting 'maxout_pieces'"),
    ],
)
def test_settings_that_do_not_belong(words, expected):
    assert expected in refusal(["fit", *words])


def test_settings_that_belong():
    check_words(["fit", *PAIR, "--model.latent_dim", "3", "--data.root=x", "--model.encoder.hidden_sizes+=8"])
    check_words(["fit", "--model=elsewhere.Model", "--model.anything=3"])
    check_words(["fit", "--data=CelebACaptions", "--data.prompts=a man", "--data.crop_size=3", "--data.held_out=[[a]]"])
    check_words(["fit", "--model", "VAE", "--model.beta", "-1", "--trainer.max_epochs", "-1"])
    check_words(["fit", "--model.class_path=GAN", "--model.maxout_pieces=3", "--model.help", "--print_config"])


# --------------------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is empty"), ("# model: VAE\n", "is empty"), ("hello", "no config"), ("- 1\n", "no config"),
        ("model: [\n", "is no YAML: line 2"), ("model:\n\tbeta: 1\n", "is no YAML: line 2"),
        ("model: VAE\nmodel: GAN\n", "has 'model' twice, in lines 1 and 2"),
        ("model:\n  class_path: VAE\n  init_args:\n    beta: 1\n    beta: 2\n", "has 'beta' twice, in lines 4 and 5"),
        ("trainer:\n  max_time: 12:00:00:00\n", "line 2: YAML takes 12:00:00:00 for a number"),
        ("a: 2026-13-45\n", "is no YAML"), ("a: &a\n  b: *a\n", "an anchor in it holds itself"),
        (b"\xff\xfe\x00\x80", "is no text"),
    ],
)  # fmt: skip
def test_files_that_are_no_configs(content, expected, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refusal(["fit", *configs("vae"), "--config", str(path)])
    assert str(path) in line and expected in line


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("trainer: 3", "`trainer` in {} is a group of settings, such as max_epochs: 20, not a single value."),
        ("trainer: [1]", "`trainer` in {} is a group of settings, such as max_epochs: 20, not a list."),
        ("wandb: off", "`wandb` in {} is a group of settings, such as mode: disabled, not a single value."),
        ("checkpoints: 3", "`checkpoints` in {} is a group of settings, such as keep: 3, not a single value."),
        ("samples: none", "`samples` in {} is a group of settings"),
        ("speed: 1", "`speed` in {} is a group of settings"),
        ("model: 3", "`model` in {} is a class and its settings, such as class_path: VAE, not 3."),
        ("data: [MNIST]", "`data` in {} is a class and its settings, such as class_path: MNIST, not ['MNIST']."),
        ("model: {class_path: 3}", "`class_path` of `model` in {} is no name of a class, as in class_path: VAE."),
        ("model: {init_args: 3}", "`init_args` of `model` in {} is a group of settings, such as learning_rate: 0.001"),
        ("1: 2", "{} has 1 in place of a setting's name, which is a text. Correct that line."),
        ("trainer: {1: 2}", "{} has 1 in place of a setting's name"), ("off: 2", "{} has False in place of a"),
        ("fit: {trainer: 3}", "`trainer` in {} is a group of settings"),
        ("fit: 3", "`fit` in {} is a group of settings"),
    ],
)  # fmt: skip
def test_a_value_in_place_of_a_group(content, expected, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    assert expected.format(path) in refusal(["fit", *configs("vae"), "--config", str(path)])
    assert expected.format(f"{{{content}}}") in refusal(["fit", *configs("vae"), f"--config={{{content}}}"])


def test_a_value_in_place_of_a_group_among_the_words(tmp_path):
    line = "--trainer is a group of settings, such as --trainer.max_epochs=20, not a single value."
    for words in (["--trainer=3"], ["--trainer", "3"], ["--trainer="]):
        assert refusal(["fit", *PAIR, *words]) == line
    assert "such as --wandb.mode=disabled, not a single" in refusal(["fit", *PAIR, "--wandb=off"])
    (tmp_path / "own.yaml").write_text("max_epochs: 3\n")
    check_words(["fit", *PAIR, f"--trainer={tmp_path}/own.yaml", "--wandb={mode: disabled}"])
    (tmp_path / "over.yaml").write_text("trainer: own.yaml\n")  # beside it
    check_words(["fit", *PAIR, f"--config={tmp_path}/over.yaml"])
    assert "an anchor that holds itself" in refusal(["fit", "--data=MNIST", "--model={init_args: &a {beta: *a}}"])


def test_a_group_without_settings_counts_as_not_given(tmp_path, capsys):
    path, printed = tmp_path / "own.yaml", []
    for content in ("{}", "trainer:", "wandb:\nmodel:\n", "model:\n  init_args:\n", "data:\n# image_size: 64\n"):
        path.write_text(content)
        with pytest.raises(SystemExit) as end:
            main(["fit", *configs("vae"), f"--config={path}", "--print_config"])
        assert end.value.code in (0, None)
        printed.append(capsys.readouterr().out)
    assert len(set(printed)) == 1


def test_each_group_has_an_example_that_the_parser_takes(capsys):
    groups = {name.strip("-").partition(".")[0] for name, _ in own_settings() if "." in name.split()[0]}
    assert set(GROUPS) == {"model", "data", "trainer", *groups}
    text = "\n".join(f"{name}: {{{example}}}" for name, example in GROUPS.items())
    with pytest.raises(SystemExit) as end:
        main(["fit", f"--config={text}", "--print_config"])
    assert end.value.code in (0, None), capsys.readouterr().err


def test_files_that_are_not_there(tmp_path):
    assert refusal(["fit", *configs("vea")]) == "there is no config configs/vea.yaml. Did you mean configs/vae.yaml?"
    assert refusal(["fit", "--config=infogn"]) == "there is no config infogn. Did you mean infogan?"
    assert "Did you mean configs/vae.yaml?" in refusal(["fit", "--config", "configs/vae"])
    assert refusal(["fit", "--config="]) == "--config names no file: it is empty. Give it one, or leave it out."
    assert refusal(["fit", "--config", str(tmp_path)]) == f"{tmp_path} is a folder, and no config."
    (tmp_path / "config.yaml").touch()
    assert f"Did you mean {tmp_path}/config.yaml?" in refusal(["fit", "--config", str(tmp_path)])


def test_a_config_with_a_section_for_each_command(tmp_path):
    path = tmp_path / "sections.yaml"
    path.write_text("fit:\n  model: VAE\n  data: MNIST\n")
    check_words(["--config", str(path), "fit", "--model.beta=3"])
    path.write_text("model: VAE\n")
    line = refusal(["--config", str(path), "fit"])
    assert line == f"the command comes first: python main.py fit --config {path}"


# --------------------------------------------------------------------------------------- what only the parser can know


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--model=vae", "--data=MNIST"], "there is no model 'vae'. Did you mean VAE?"),
        (["--model=VAE", "--data=mnist"], "there is no data 'mnist'. Did you mean MNIST?"),
        (["--model=lit_gen.models.VEA", "--data=MNIST"], "there is no model 'VEA'. Did you mean VAE?"),
        (["--model=torch.nn.Linear", "--data=MNIST"], "torch.nn.Linear is no model of this project: derive it from"),
        (["--model=VAE", "--data=torch.nn.Linear"], "torch.nn.Linear is no data of this project: derive it from"),
        ([*PAIR, "--model.latent_dim"], "--model.latent_dim has no value: write --model.latent_dim=<value>."),
        ([*PAIR, "--data.root", "--data.image_size=32"], "--data.root has no value: write --data.root=<value>."),
        (["--model=no.such.Model", "--data=MNIST"], "there is no model 'no.such.Model': No module named 'no'."),
        (["--model=VAE"], "no data is named. Give --config configs/<system>.yaml, or --data=<class>. Data: CelebA"),
        (["--data=MNIST"], "no model is named. Give --config configs/<system>.yaml, or --model=<class>. Models: AAE"),
        ([], "no model and no data are named"),
        (["--model=VAE", "--data=ImageFolder"], "ImageFolder needs root: set --data.root."),
        ([*PAIR, "--max_epochs=3"], "Did you mean --trainer.max_epochs?"),
        ([*PAIR, "--beta=3"], "Did you mean --model.beta?"),
        ([*PAIR, "--samples.evry=3"], "Did you mean --samples.every_n_batches?"),
        ([*configs("vae"), "configs/quick/vae.yaml"], "Did you mean --config configs/quick/vae.yaml?"),
        ([*PAIR, "--trainer.max_epochs=three"], "--trainer.max_epochs must be of type integer or null, not three."),
        ([*PAIR, "--trainer.detect_anomaly=1"], "--trainer.detect_anomaly must be of type true or false, not 1."),
        ([*PAIR, "--trainer.val_check_interval=x"], "must be of type DD:HH:MM:SS or integer or number"),
        (
            [*PAIR, "--trainer.max_time=00:00:00:00.01"],
            "--trainer.max_time must be of type DD:HH:MM:SS or dict or null",
        ),
        ([*PAIR, "--samples.count=x"], "--samples.count must be of type integer from 1, not x."),
        (["--model=VAE", "--data=CelebA", "--data.attributes=Male"], "--data.attributes must be of type list or null"),
        ([*PAIR, "--config={ckpt_path: {a: 3}}"], "--ckpt_path must be of type text or path or null, not {'a': 3}."),
        ([*PAIR, "--trainer.logger=CSVLoger"], "there is no logger 'CSVLoger'. Did you mean CSVLogger?"),
        (
            [*PAIR, "--trainer.callbacks+=EarlyStoping"],
            "there is no callback 'EarlyStoping'. Did you mean EarlyStopping?",
        ),
        (
            [*PAIR, "--trainer.callbacks+=EarlyStopping"],
            "EarlyStopping needs monitor: set --trainer.callbacks.monitor.",
        ),
        (["--model=ProGAN", "--model.minibatch_sizes={4:3,8:4}", "--data=CelebA"], "all, as in '{4: 3}'."),
        ([*PAIR, "--trainer.callbacks.patience=3"], "--trainer.callbacks has no setting 'patience'."),
        ([*PAIR, "--trainer.precision.x=2"], "no option --trainer.precision.x: --trainer.precision is one value."),
        ([*PAIR, "--data.batch_size.x=2"], "no option --data.batch_size.x: --data.batch_size is one value."),
        (["--model=VAE", "--data=OwnImages", "--data.root=x"], "there is no data 'OwnImages'."),
        (["--model=AdversarialModule", "--data=MNIST"], "there is no model 'AdversarialModule'."),
    ],
)
def test_what_the_parser_refuses(words, expected, capsys):
    line = mistake(["fit", *words], capsys)
    assert expected in line and "Union subtypes" not in line


@pytest.fixture
def own_run(tmp_path, monkeypatch) -> Path:
    """The folder of a run of VAE whose path needs quotes, below `runs` of the working folder."""
    monkeypatch.chdir(tmp_path)
    main([
        "fit", *PAIR, "--data.synthetic=true", "--data.synthetic_count=100", "--data.val_size=8", "--data.batch_size=4",
        "--model.encoder.hidden_sizes=[4]", "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=0",
        "--trainer.max_epochs=1", "--trainer.logger=false", "--system=my vae", "--name=first",
    ])  # fmt: skip
    return tmp_path / "runs" / "my vae" / "first"


def test_to_go_on_without_a_config_names_that_of_the_run(own_run, capsys):
    advice = f"To go on with the run of that checkpoint, add --config='{own_run}/config.yaml' right behind fit."
    for checkpoint in ("last", "runs/my vae", "runs/my vae/first/checkpoints/last.ckpt"):
        line = mistake(["fit", f"--ckpt_path={checkpoint}", "--trainer.max_epochs=2"], capsys)
        assert line == f"error: no model and no data are named. {advice}"
    line = mistake(["fit", "--ckpt_path=last", "--model=VAE"], capsys)
    assert line == f"error: no data is named. {advice}"
    other = own_run.parents[1] / "autoencoder" / "newer"  # a run of another model, which is no answer
    shutil.copytree(own_run, other)
    config = (own_run / "config.yaml").read_text()
    (other / "config.yaml").write_text(config.replace("VAE", "AutoEncoder").replace("my vae", "autoencoder"))
    os.utime(other / "checkpoints" / "last.ckpt")
    assert mistake(["fit", "--ckpt_path=last", "--model=VAE"], capsys) == line
    shutil.rmtree(other.parent)
    assert "Give --config" in mistake(["fit", "--ckpt_path=runs/no_such"], capsys)
    main(["fit", f"--config={own_run}/config.yaml", "--ckpt_path=last", "--trainer.max_epochs=2"])  # as it says


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("trainer:\n  max_epoch: 3\n", "no setting 'trainer.max_epoch' in {}. Did you mean trainer.max_epochs?"),
        ("modle: VAE\n", "there is no setting 'modle' in {}. Did you mean model?"),
        ("modle:\n  class_path: VAE\n", "there is no setting 'modle' in {}. Did you mean model?"),
        ("trainr:\n  max_epochs: 3\n", "there is no setting 'trainr' in {}. Did you mean trainer?"),
        ("foo:\n", "there is no setting 'foo' in {}."),
        ("foo: 3\n", "there is no setting 'foo' in {}."),
        ("optimizer:\n  class_path: Adam\n  init_args: {lr: 1}\n", "there is no setting 'optimizer' in {}."),
        (
            "model:\n  class_path: VAE\n  learning_rate: 0.1\n",
            "`learning_rate` of `model` in {} stands beside class_path: put it below init_args.",
        ),
        ("fit:\n  trainer:\n    max_epochs: 3\n", "there is a section 'fit' in {}. Leave that line out"),
    ],
)
def test_names_in_files_that_are_no_settings(content, expected, tmp_path, capsys):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    assert expected.format(path) in mistake(["fit", *configs("vae"), "--config", str(path)], capsys)


@pytest.mark.parametrize(
    ("setting", "content"),
    [
        ("--trainer.max_epochs=3", "trainer:\n  max_epochs: 4\n"),
        ("--model.latent_dim=3", "model:\n  class_path: VAE\n  init_args:\n    latent_dim: 4\n"),
        ("--model.latent_dim=3", "model:\n  latent_dim: 4\n"),
        ("--model=AAE", "model: VAE\n"),
        ("--model=AAE", "model:\n  class_path: VAE\n"),
        ("--seed_everything=3", "seed_everything: 4\n"),
    ],
)
def test_a_setting_before_a_config_that_has_another_value(setting, content, tmp_path, capsys):
    """The config would take its place without a word."""
    path = tmp_path / "own.yaml"
    path.write_text(content)
    line = mistake(["fit", *PAIR, setting, "--config", str(path)], capsys)
    assert line == f"error: {setting} stands before {path}, which has another value: put it behind."
    path.write_text(content.replace("VAE", "AAE").replace("4", "3"))
    check_order(["fit", setting, "--config", str(path)])
    check_order(["fit", "--config", str(path), setting])


def test_a_hint_does_not_mind_the_case():
    assert nearest("vae", ["VAE", "AAE"]) == " Did you mean VAE?"
    assert nearest("smilling", ["Smiling"]) == " Did you mean Smiling?" and nearest("x", ["Smiling"]) == ""
