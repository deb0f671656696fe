"""`export`: files that give what the model gives, without it; the card and the example beside them.

The checkpoints are tiny ones of e45cbfd, one per model.
"""

import ast
import errno
import hashlib
import json
import os
import subprocess
import sys
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import lit_gen
from lit_gen.cli import main
from lit_gen.command_line import export, network_files
from lit_gen.errors import UserError
from lit_gen.layers import coders
from lit_gen.models import GAN, AutoEncoder, SemiSupervisedAAE
from tests.extras import needs_extra
from tests.models import tiny
from tests.test_predict import FIXTURES, as_png, checkpoint, pixels

SYSTEMS = sorted(path.name for path in FIXTURES.iterdir())


@pytest.fixture(scope="module")
def semi_supervised(tmp_path_factory):
    """A checkpoint of the model that e45cbfd did not have."""
    folder = tmp_path_factory.mktemp("semi")
    trainer = tiny.trainer(folder, limit_train_batches=1)
    trainer.fit(tiny.build(SemiSupervisedAAE), datamodule=tiny.NoiseData(1))
    trainer.save_checkpoint(folder / "last.ckpt")
    return folder / "last.ckpt"


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    """33 pixels wide and 20 high, where EXIF says so."""
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    noise = np.random.default_rng(0).integers(0, 255, (5, 4, 3), dtype=np.uint8)
    turned = Image.fromarray(np.rot90(Image.fromarray(noise).resize((33, 20))))
    exif = turned.getexif()
    exif[0x112] = 6  # a quarter to the right
    turned.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def as_onnx(tmp_path_factory):
    """A GAN with an EMA, as ONNX; and what was printed."""
    folder = tmp_path_factory.mktemp("onnx") / "gan"
    with redirect_stdout(StringIO()) as said:
        main(["export", f"--ckpt_path={checkpoint('gan')}", "--format=onnx", f"--output={folder}"])
    return folder, said.getvalue().splitlines()


def run_example(folder, *arguments):
    """The images that the example makes, in a process that finds neither this project nor anything of the user's."""
    code = "import runpy, sys; runpy.run_path(sys.argv.pop(1)); assert 'lit_gen' not in sys.modules"
    words = [sys.executable, "-I", "-c", code, folder / "example.py", *arguments]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [pixels(path) for path in sorted(folder.glob("image-*.png"))]


def assert_alike(found, images):
    """To a level, of images (N, C, H, W) in [-1, 1]: a value may lie at the middle between two."""
    assert len(found) == len(images)
    for shown, image in zip(found, images, strict=True):
        assert shown.shape == as_png(image).shape and np.abs(shown.astype(int) - as_png(image)).max() <= 1


@needs_extra("export")
def test_the_files_of_a_generator_as_onnx(as_onnx):
    folder, said = as_onnx
    files = ["example.py", "export.json", "generator.onnx", "inputs.npz"]
    assert sorted(path.name for path in folder.iterdir() if path.suffix != ".png") == files
    parity, end = said
    assert parity.startswith("generator: latent (batch, 8) -> image (batch, 1, 16, 16); largest difference ")
    assert parity.endswith(" on batches of 1, 2, 5") and float(parity.split(" on ")[0].split()[-1]) < 1e-5
    assert end.startswith(f"exported to {folder}: ")
    card = json.loads((folder / "export.json").read_text())
    assert card["checkpoint"]["sha256"] == hashlib.sha256(checkpoint("gan").read_bytes()).hexdigest()
    assert card["weights"] == "EMA of the generator" and card["format"] == "onnx"
    assert card["networks"]["generator"]["inputs"]["latent"]["values"].endswith(GAN.prior_in_words)
    assert card["networks"]["generator"]["outputs"]["image"]["shape"] == ["batch", 1, 16, 16]


@needs_extra("export")
def test_onnx_gives_what_the_average_gives_for_any_batch(as_onnx):
    import onnxruntime

    session = onnxruntime.InferenceSession(as_onnx[0] / "generator.onnx")
    model = lit_gen.load(checkpoint("gan"))
    for count in (1, 7, 64):
        latent = model.sample_latent(count, torch.Generator().manual_seed(count))
        with torch.no_grad():
            average, other = model.average.module(latent).clamp(-1, 1), model.generator(latent).clamp(-1, 1)
        (given,) = session.run(None, {"latent": latent.numpy()})
        np.testing.assert_allclose(given, average.numpy(), atol=1e-5)
        assert np.abs(given - other.numpy()).max() > 1e-3


@needs_extra("export")
def test_the_example_of_onnx_makes_the_models_images(as_onnx):
    """In few lines, of packages that have nothing to do with this project."""
    folder = as_onnx[0]
    text = (folder / "example.py").read_text()
    lines = [line for line in text.partition('"""\n\n')[2].splitlines() if line.strip()]
    assert len(lines) <= 12
    imported = {node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
                for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)}  # fmt: skip
    assert imported == {"pathlib", "numpy", "onnxruntime", "PIL"}
    assert_alike(run_example(folder), lit_gen.load(checkpoint("gan")).generate(8, torch.Generator().manual_seed(8)))


def test_weights_as_safetensors(tmp_path, capsys):
    """Under the names that they have in the model's networks."""
    main(["export", f"--ckpt_path={checkpoint('text2image')}", "--format=safetensors", f"--output={tmp_path}/x"])
    assert capsys.readouterr().out.count("largest difference 0.0e+00") == 2
    model = lit_gen.load(checkpoint("text2image"))
    networks = {"generator": model.sampler, "text_encoder": model.discriminator["text_encoder"]}
    assert {path.stem for path in (tmp_path / "x").glob("*.safetensors")} == set(networks)
    for name, network in networks.items():
        given = load_file(tmp_path / "x" / f"{name}.safetensors")
        assert given.keys() == network.state_dict().keys()
        assert all(torch.equal(given[key], value) for key, value in network.state_dict().items())


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_system_exports(system, tmp_path, capsys):
    """By the format that takes no time; all others are slow."""
    main(["export", f"--ckpt_path={checkpoint(system)}", "--format=safetensors", f"--output={tmp_path}/x"])
    networks = json.loads((tmp_path / "x" / "export.json").read_text())["networks"]
    two = {"aae": "encoder", "autoencoder": "encoder", "vae": "encoder", "cyclegan": "b_to_a", "infogan": "recognizer",
           "stargan": "classifier", "text2image": "text_encoder"}  # fmt: skip
    assert len(networks) == 1 + (system in two) and two.get(system, "generator") in networks
    assert capsys.readouterr().out.count("largest difference") == len(networks)
    model = lit_gen.load(checkpoint(system))
    for part in model.task.exports(model, {}).values():  # all weights are those of the one network
        assert part.state_dict().keys() == {f"network.{name}" for name in part.network.state_dict()}


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_network_goes_through_torch_export(system, tmp_path):
    """Nothing on the way asks for values: a puzzle's patches were once looked at, as those of a caller."""
    model = lit_gen.load(checkpoint(system)).requires_grad_(False)
    for name, part in model.task.exports(model, {}).items():
        network_files.save(part, tmp_path / f"{name}.pt2", "torch_export")


def test_a_translators_sizes_stay_free(tmp_path):
    """Which its model looks at, where it is called by itself."""
    model = lit_gen.load(checkpoint("stargan")).requires_grad_(False)
    network_files.save(model.task.exports(model, {})["generator"], tmp_path / "x.pt2", "torch_export")
    with pytest.raises(UserError, match=r"a tensor of attributes, shape \(2, 5\), not \(1, 5\)"):
        model(tiny.images(2, 3), torch.ones(1, 5))


def test_a_lower_resolution_by_torch_export(tmp_path, capsys):
    content = torch.load(checkpoint("progan"), weights_only=True)
    content["state_dict"]["_extra_state"] |= {"stage": 1, "alpha": 0.5}  # of 8 pixels, fading in
    torch.save(content, tmp_path / "x.ckpt")
    words = ["export", f"--ckpt_path={tmp_path}/x.ckpt", "--format=torch_export"]
    main([*words, "--resolution=4", f"--output={tmp_path}/4"])
    network = torch.export.load(tmp_path / "4" / "generator.pt2").module()
    model = lit_gen.load(tmp_path / "x.ckpt")
    latent = model.sample_latent(6, torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.sampler(latent, 0, 1.0).clamp(-1, 1)
    torch.testing.assert_close(network(latent)[0], expected)
    assert "at most 8" in refused_export([*words[1:], "--resolution=16"], capsys)


def refused_export(words, capsys):
    with pytest.raises(SystemExit) as end:
        main(["export", *words])
    (line,) = capsys.readouterr().err.splitlines()
    assert end.value.code == 2 and line.startswith("error: ")
    return line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format=safetensors"], "export needs a trained model: give --ckpt_path"),
        (["--ckpt_path=last", "--format=safetensors"], "there is no run with a checkpoint below runs"),
        (["--ckpt_path=auto", "--format=safetensors"], "is for fit"),
        (["--ckpt_path=x.ckpt", "--format=tflite"], "invalid choice: 'tflite'"),
        (["--ckpt_path=x.ckpt", "--count=3"], "unrecognized arguments: --count=3"),
        (["--ckpt_path=x.ckpt", "--resolution=8", "--format=safetensors"], "--resolution is for models that grow"),
        (["--ckpt_path=x.ckpt", "--overwrite", "--format=safetensors"], "--overwrite is for the folder that --output"),
        (["--ckpt_path=x.ckpt", "--output=x.ckpt", "--format=safetensors"], "x.ckpt is a file"),
        (["--ckpt_path=x.ckpt", "--output=.", "--format=safetensors"], "is not empty"),
        (["--ckpt_path=x.ckpt", "--model=Gan", "--format=safetensors"], "Did you mean GAN?"),
    ],
)
def test_one_line_for_a_mistake(words, said, tmp_path, monkeypatch, capsys):
    """And nothing is left behind."""
    (tmp_path / "x.ckpt").write_bytes(checkpoint("gan").read_bytes())
    monkeypatch.chdir(tmp_path)
    assert said in refused_export(words, capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_without_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(export, "find_spec", lambda name: None if name == "onnxruntime" else object())
    words = [f"--ckpt_path={checkpoint('gan')}", f"--output={tmp_path}/x"]
    assert refused_export(words, capsys).endswith('pip install "lit-gen[export]"')
    main(["export", *words, "--format=safetensors"])


@pytest.mark.parametrize("form", ["safetensors", "torch_export"])
def test_a_full_disk_is_told_in_a_line(form, monkeypatch, tmp_path, capsys):
    """Torch's own writer of torch_export ended the process there."""

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", refuse)
    line = refused_export([f"--ckpt_path={checkpoint('gan')}", f"--format={form}", f"--output={tmp_path}/x"], capsys)
    assert "No space left on device. Make room." in line and "cannot be exported" not in line
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("output", [[], ["--output=here/there"]])
def test_a_file_that_gives_something_else_is_not_kept(output, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    opened = network_files.opened
    monkeypatch.setattr(
        network_files, "opened", lambda *given: lambda inputs: [2e-4 + out for out in opened(*given)(inputs)]
    )
    line = refused_export([f"--ckpt_path={checkpoint('gan')}", "--format=safetensors", *output], capsys)
    assert "something else than the model: 2.0e-04 is above" in line
    assert not list(tmp_path.iterdir())


def test_the_folder_below_runs_and_one_of_ones_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["export", f"--ckpt_path={checkpoint('gan')}", "--format=safetensors"]
    main(words)
    (folder,) = tmp_path.glob("runs/gan/2*/export")
    assert f"exported to {folder.relative_to(tmp_path)}: example.py, generator" in capsys.readouterr().out
    (folder / "mine.txt").write_text("mine")
    assert "add --overwrite" in refused_export([*words[1:], f"--output={folder}"], capsys)
    main([*words, f"--output={folder}", "--overwrite"])
    files = ["example.py", "export.json", "generator.safetensors", "mine.txt"]
    assert sorted(path.name for path in folder.iterdir()) == files
    (tmp_path / "empty").mkdir()
    main([*words, "--output=empty"])
    assert (tmp_path / "empty" / "export.json").is_file()


def of_a_person(folder):
    """Change an exported file."""
    (folder / "example.py").write_text("of a person")


def without_a_card(folder):
    (folder / "export.json").unlink()


def with_a_card_of_another_program(folder):
    """One that lists files too, and one of a person among them."""
    (folder / "export.json").write_text(json.dumps({"files": ["mine.txt", "sub", *os.listdir(folder)]}))


def with_a_card_that_lists_more(folder):
    """A file of a person in place of an exported one."""
    card = json.loads((folder / "export.json").read_text())
    card["files"] |= dict.fromkeys(["mine.txt", "sub", "../mine.txt"], card["files"]["example.py"])
    (folder / "export.json").write_text(json.dumps(card))
    (folder / "generator.safetensors").write_text("of a person")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (of_a_person, "example.py"),
        (without_a_card, "example.py"),
        (with_a_card_of_another_program, "example.py"),
        (with_a_card_that_lists_more, "generator.safetensors"),
    ],
)
def test_what_no_export_wrote_is_not_replaced(change, named, tmp_path, capsys):
    folder = tmp_path / "x"
    words = ["export", f"--ckpt_path={checkpoint('gan')}", "--format=safetensors", f"--output={folder}"]
    main(words)
    (folder / "sub").mkdir()
    for place in (folder, tmp_path):
        (place / "mine.txt").write_text("mine")
    change(folder)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")}
    line = refused_export([*words[1:], "--overwrite"], capsys)
    assert f"{folder / named} is not of an earlier export, or was changed since. Move it away" in line
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob("*")} == before


def test_a_class_of_ones_own(tmp_path):
    torch.save(torch.load(checkpoint("gan"), weights_only=True), tmp_path / "x.ckpt")
    main(["export", "--model=tests.command_line.test_export.Mine", f"--ckpt_path={tmp_path}/x.ckpt",
          "--format=safetensors", f"--output={tmp_path}/x"])  # fmt: skip
    assert json.loads((tmp_path / "x" / "export.json").read_text())["model"]["class"].endswith("test_export.Mine")


def test_a_network_of_ones_own_is_that_of_the_config(tmp_path, capsys):
    encoder = partial(Own, hidden_sizes=[7])
    trainer = tiny.trainer(tmp_path, limit_train_batches=1)
    trainer.fit(AutoEncoder(tiny.spec(), latent_dim=3, encoder=encoder), datamodule=tiny.NoiseData(1))
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    words = ["export", f"--ckpt_path={tmp_path}/x.ckpt", "--format=safetensors", f"--output={tmp_path}/x"]
    assert "Name it yourself: by --config=<run>/config.yaml" in refused_export(words[1:], capsys)
    settings = {"latent_dim": 3, "encoder": coders.network(Own, hidden_sizes=[7])}
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": {"class_path": "AutoEncoder", "init_args": settings}}))
    main([*words, f"--config={config}"])
    assert load_file(tmp_path / "x" / "encoder.safetensors")["1.weight"].shape[0] == 7


class Own(coders.MLPEncoder):
    """A network that no checkpoint may name."""


class Mine(GAN):
    """A class that no checkpoint names."""


# ----------------------------------------------------------------------------------------------- every system, as files


def made_by(model, system, photo):
    """The images that the example is to make, by the model itself and what lies beside the example."""
    size = model.image_shape[-1]
    upright = Image.fromarray(np.rot90(Image.open(photo), -1))
    image = upright.resize((size, size), Image.Resampling.LANCZOS, (6.5, 0, 26.5, 20))
    image = torch.tensor(np.asarray(image)).permute(2, 0, 1)[None] / 127.5 - 1
    random = torch.Generator().manual_seed(8)
    if system == "cyclegan":
        return model.translate(image, "a_to_b")
    if system == "stargan":
        torch.rand(8, *model.image_shape, generator=random)
        return model.translate(image.expand(8, -1, -1, -1), torch.randint(2, (8, 5), generator=random).float())
    if system == "puzzlegan":
        patches = 2 * torch.rand(24, *model.image_shape, generator=random) - 1
        return model.assemble(patches.unflatten(0, (8, 3)), model.sample_latent(8, random))[0]
    if system == "text2image":
        return model.draw(["a smiling woman"] * 8, random)
    return model.generate(8, random)


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param("onnx", marks=needs_extra("export")), "torch_export"])
@pytest.mark.parametrize("system", [*SYSTEMS, "semi_supervised"])
def test_the_example_of_every_system(system, form, tmp_path, photo, semi_supervised, capsys):
    path = semi_supervised if system == "semi_supervised" else checkpoint(system)
    main(["export", f"--ckpt_path={path}", f"--format={form}", f"--output={tmp_path}/x"])
    print(capsys.readouterr().out)
    model = lit_gen.load(path)
    arguments = [photo] if system in ("cyclegan", "stargan") else []
    assert_alike(run_example(tmp_path / "x", *arguments), made_by(model, system, photo))
    if form == "onnx" and (tmp_path / "x" / "encoder.onnx").exists():
        assert_encodes(tmp_path / "x" / "encoder.onnx", model)


def assert_encodes(file, model):
    """The codes are those by which the model makes its reconstructions."""
    import onnxruntime

    model.binarize = False
    image = tiny.images(7)
    codes, *_ = onnxruntime.InferenceSession(file).run(None, {"image": image.numpy()})
    with torch.no_grad():
        torch.testing.assert_close(model.decode(torch.tensor(codes)), model.reconstruct(image), atol=1e-5, rtol=0)
