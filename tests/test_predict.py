"""`predict`, `test` and `validate` by a checkpoint alone, as a user types them; what comes out, to the pixel.

The checkpoints are tiny ones of e45cbfd, one per model, copied to places where no config lies beside them.
"""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image

import lit_gen
from lit_gen.callbacks import predictions
from lit_gen.callbacks.predictions import Command, PredictionWriter
from lit_gen.cli import main
from lit_gen.command_line.asked import NOT_SAID
from lit_gen.errors import UserError
from lit_gen.import_paths import import_path
from lit_gen.models import CycleGAN, StarGAN, Text2Image
from lit_gen.models.of_checkpoint import is_of
from lit_gen.tasks.pictures import Picture, Pictures, Plan, different, image_paths, image_seeds, of_classes, slerp
from tests.models import tiny

FIXTURES = Path(__file__).parent / "fixtures" / "e45cbfd"
QUIET = ["--trainer.logger=false", "--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]


def checkpoint(model):
    return FIXTURES / model / "checkpoints" / "last.ckpt"


def predict(words, folder, *more):
    main(["predict", *shlex.split(words), f"--output={folder}", *more, *QUIET])
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def refused(words, capsys):
    with pytest.raises(SystemExit) as end:
        main([*words, *QUIET])
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error: "))
    assert end.value.code == 2
    return line


def pixels(path):
    return np.asarray(Image.open(path))


def as_png(image):
    """The pixels (H, W) or (H, W, C) of an image (C, H, W) in [-1, 1]."""
    shown = ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
    return shown[..., 0] if shown.shape[-1] == 1 else shown


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Images of many sizes and modes, two of one name, one within a folder, one that EXIF turns by a quarter."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "sub").mkdir()
    noise = np.random.default_rng(0).integers(0, 255, (4, 4, 3), dtype=np.uint8)

    def picture(width, height, mode="RGB"):
        return Image.fromarray(noise).resize((width, height)).convert(mode)

    picture(50, 40).save(folder / "a.jpg")
    picture(20, 20).save(folder / "a.png")
    picture(31, 63, "L").save(folder / "sub" / "grey.png")
    picture(33, 20, "RGBA").save(folder / "sub" / "a.png")
    turned = picture(60, 30)
    exif = turned.getexif()
    exif[0x112] = 6
    turned.save(folder / "turned.jpg", exif=exif)
    return folder


IMAGES = ["a-2.png", "a.png", "sub/a.png", "sub/grey.png", "turned.png"]
BESIDE = ["grid.png", "manifest.json"]


# -------------------------------------------------------------------------------------------------------------- samples


def test_samples_without_config_and_data(tmp_path, monkeypatch):
    """A file copied elsewhere is enough; an image is a function of its own seed."""
    copied = tmp_path / "gan.ckpt"
    shutil.copy(checkpoint("gan"), copied)
    monkeypatch.chdir(tmp_path)
    names = predict(f"--ckpt_path={copied} --count=3", tmp_path / "all")
    assert names == ["000000.png", "000001.png", "000002.png", *BESIDE]
    assert predict(f"--ckpt_path={copied} --image_seeds=7,1-2", tmp_path / "some")[:3] == [
        "000001.png", "000002.png", "000007.png",
    ]  # fmt: skip
    for name in ("000001.png", "000002.png"):
        assert (pixels(tmp_path / "all" / name) == pixels(tmp_path / "some" / name)).all()
    model = lit_gen.load(copied)
    expected = as_png(model.generate(1, torch.Generator().manual_seed(7))[0])
    assert (pixels(tmp_path / "some" / "000007.png") == expected).all()
    manifest = json.loads((tmp_path / "some" / "manifest.json").read_text())
    assert manifest["checkpoint"]["sha256"] == hashlib.sha256(copied.read_bytes()).hexdigest()
    assert [entry["seed"] for entry in manifest["images"]] == [7, 1, 2]
    assert manifest["model"]["settings"]["latent_dim"] == 8
    assert shlex.split(manifest["command"])[:4] == ["python", "main.py", "predict", f"--ckpt_path={copied}"]
    assert not (tmp_path / "runs").exists()


def test_the_last_words_are_on_lines_of_their_own(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predictions, "rank_zero_info", print)
    words = f"--ckpt_path={checkpoint('gan')} --count=1 --output={tmp_path} --trainer.logger=false"
    main(["predict", *words.split(), "--trainer.accelerator=cpu"])
    assert f"\n1 image is in {tmp_path}\n" in capsys.readouterr().out


def test_the_average_makes_the_samples(tmp_path):
    model = lit_gen.load(checkpoint("gan"))
    assert model.average is not None and not model.training
    predict(f"--ckpt_path={checkpoint('gan')} --count=1", tmp_path)
    latent = model.sample_latent(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        shown, other = as_png(model.average.module(latent)[0]), as_png(model.generator(latent)[0])
    assert (pixels(tmp_path / "000000.png") == shown).all() and (shown != other).any()


def test_the_last_run_of_all_and_the_folder_below_runs(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(FIXTURES / "dcgan", tmp_path / "runs" / "dcgan" / "a")
    with caplog.at_level("INFO"):
        main(["predict", "--ckpt_path=last", "--count=2", "--seed=3", *QUIET])
    (folder,) = (tmp_path / "runs" / "dcgan").glob("2*/predictions")
    assert f"2 images are in {folder.relative_to(tmp_path)}" in caplog.text
    assert {path.name for path in folder.iterdir()} == {"3000000.png", "3000001.png", *BESIDE}
    with caplog.at_level("INFO"):
        predict("--ckpt_path=runs/dcgan --count=1", tmp_path / "one")
    assert f"1 image is in {tmp_path}/one" in caplog.text
    for named in ("runs/dcgan/a", "runs/dcgan"):
        predict(f"--ckpt_path={named} --count=1", tmp_path / named.replace("/", "-"))


def test_a_folder_is_not_written_over(tmp_path, capsys):
    words = f"--ckpt_path={checkpoint('gan')} --count=2"
    predict(words, tmp_path)
    (tmp_path / "mine.txt").write_text("mine")
    line = refused(["predict", *words.split(), f"--output={tmp_path}"], capsys)
    assert "is not empty" in line and "--overwrite" in line
    names = predict(f"--ckpt_path={checkpoint('gan')} --image_seeds=5", tmp_path, "--overwrite")
    assert names == ["000005.png", "grid.png", "manifest.json", "mine.txt"]


def test_a_walk_is_frames_and_a_moving_picture(tmp_path):
    names = predict(f"--ckpt_path={checkpoint('dcgan')} --interpolate --image_seeds=4,9 --count=5", tmp_path)
    assert names == [*(f"frame-{n:04d}.png" for n in range(5)), "grid.png", "interpolation.gif", "manifest.json"]
    model = lit_gen.load(checkpoint("dcgan"))
    for seed, name in ((4, "frame-0000.png"), (9, "frame-0004.png")):
        assert (pixels(tmp_path / name) == as_png(model.generate(1, torch.Generator().manual_seed(seed))[0])).all()
    with Image.open(tmp_path / "interpolation.gif") as moving:
        assert moving.n_frames == 2 * 5 - 2


def test_the_arc_between_gaussian_latents():
    """A quarter of the circle in equal angles; the straight line where there is no arc."""
    start, end = torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 2.0]])
    third = slerp(start, end, 1 / 3)
    torch.testing.assert_close(third, 2 * torch.tensor([[3**0.5 / 2, 0.5]]))
    torch.testing.assert_close(slerp(start, 2 * start, 0.5), 1.5 * start)


def test_a_code_swept_and_classes(tmp_path, capsys):
    names = predict(f"--ckpt_path={checkpoint('infogan')} --sweep=c0 --count=2", tmp_path / "sweep")
    assert len(names) == 2 * 10 + 2
    names = predict(f"--ckpt_path={checkpoint('infogan')} --classes=3,7 --count=3", tmp_path / "classes")
    assert names[:3] == ["000000-class-3.png", "000001-class-7.png", "000002-class-3.png"]
    # The same noise and the same class, whichever option says so.
    assert (pixels(tmp_path / "sweep" / "c0-000000-03.png") == pixels(tmp_path / "classes" / names[0])).all()
    assert "c0, c1, c2" in refused(["predict", f"--ckpt_path={checkpoint('infogan')}", "--sweep=c3"], capsys)


def test_classes_lie_side_by_side_in_about_a_square():
    def heads(classes, count=64, head="class {}"):
        plan = of_classes({"classes": classes, "count": str(count)}, 10, str, head)
        assert len(plan.pictures) == count and plan.columns == len(plan.heads)
        return plan.heads

    assert heads("3,7") == ["class 3", "class 7"] * 4
    assert heads("3,7", 2, "c0 = {}") == ["c0 = 3", "c0 = 7"]
    assert heads("0,1,2", 2) == ["class 0", "class 1"]  # none above nothing
    assert len(heads("0,1,2,3,4,5,6,7,8,9", 1000)) == 10


def test_a_lower_resolution(tmp_path, capsys):
    content = torch.load(checkpoint("progan"), weights_only=True)
    content["state_dict"]["_extra_state"] |= {"stage": 1, "alpha": 0.5}  # of 8 pixels, fading in
    torch.save(content, tmp_path / "x.ckpt")
    model = lit_gen.load(tmp_path / "x.ckpt")
    predict(f"--ckpt_path={tmp_path}/x.ckpt --count=1 --resolution=4", tmp_path / "out")
    latent = model.sample_latent(1, torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = as_png(model.sampler(latent, 0, 1.0)[0])
    assert (pixels(tmp_path / "out" / "000000.png") == expected).all() and expected.shape[0] == 4
    line = refused(["predict", f"--ckpt_path={tmp_path}/x.ckpt", "--resolution=16"], capsys)
    assert "at most 8" in line


def test_the_plane_of_codes(tmp_path, capsys):
    names = predict(f"--ckpt_path={checkpoint('aae')} --plane --count=9", tmp_path)
    assert names[2:] == [f"plane-{row:02d}-{column:02d}.png" for row in range(3) for column in range(3)]
    with torch.no_grad():
        middle = as_png(lit_gen.load(checkpoint("aae")).decode(torch.zeros(1, 2))[0])
    assert np.abs(pixels(tmp_path / "plane-01-01.png").astype(int) - middle).max() <= 1
    assert "two dimensions" in refused(["predict", f"--ckpt_path={checkpoint('vae')}", "--plane"], capsys)


# --------------------------------------------------------------------------------------------------------------- images


def test_translations_have_their_own_size_and_name(photos, tmp_path):
    """And do not depend on what else is translated."""
    words = f"--ckpt_path={checkpoint('cyclegan')} --images={photos} --direction=b_to_a"
    assert predict(words, tmp_path / "all") == sorted([*IMAGES, *BESIDE])
    sizes = [Image.open(tmp_path / "all" / name).size for name in IMAGES]
    assert sizes == [(20, 20), (48, 40), (32, 20), (32, 64), (32, 60)]
    predict(words.replace(str(photos), f"{photos}/turned.jpg"), tmp_path / "one")
    assert (pixels(tmp_path / "one" / "turned.png") == pixels(tmp_path / "all" / "turned.png")).all()
    model = lit_gen.load(checkpoint("cyclegan"))
    image = torch.tensor(pixels(photos / "a.png")).permute(2, 0, 1)[None] / 127.5 - 1
    shown = as_png(model.translate(image, "b_to_a")[0])
    assert (pixels(tmp_path / "all" / "a-2.png") == shown).all()
    assert (shown != as_png(model.translate(image, "a_to_b")[0])).any()


def test_attributes_are_set_as_asked(photos, tmp_path, capsys):
    words = f"--ckpt_path={checkpoint('stargan')} --images={photos}/a.png"
    predict(f"{words} --attributes=+Blond_Hair,-Male", tmp_path)
    model = lit_gen.load(checkpoint("stargan"))
    small = Image.open(photos / "a.png").resize((16, 16), Image.Resampling.LANCZOS)
    image = torch.tensor(np.asarray(small)).permute(2, 0, 1)[None] / 127.5 - 1
    young = float(model.discriminator(image)[1][0, 4] > 0)
    target = torch.tensor([[0.0, 1.0, 0.0, 0.0, young]])  # black, blond, brown, male, young
    assert (pixels(tmp_path / "a.png") == as_png(model.translate(image, target)[0])).all()
    assert "Did you mean Blond_Hair?" in refused(["predict", *words.split(), "--attributes=+Blond"], capsys)
    for wrong, said in (("Male", "not Male"), ("+Male,-Male", "twice"), ("", "empty")):
        with pytest.raises(UserError, match=said):
            model.task.plan(model, {"images": f"{photos}/a.png", "attributes": wrong})


def test_reconstructions_and_a_walk_between_two(photos, tmp_path, capsys):
    words = f"--ckpt_path={checkpoint('vae')} --images={photos}"
    assert predict(words, tmp_path / "all") == sorted([*IMAGES, *BESIDE])
    two = f"{words}/a.jpg,{photos}/turned.jpg --interpolate --count=3"
    predict(two, tmp_path / "walk")
    for frame, name in (("frame-0000.png", "a.png"), ("frame-0002.png", "turned.png")):
        assert (pixels(tmp_path / "walk" / frame) == pixels(tmp_path / "all" / name)).all()
    assert "names 5" in refused(["predict", *words.split(), "--interpolate"], capsys)


def test_a_puzzle_of_loose_patches(photos, tmp_path, capsys):
    words = f"--ckpt_path={checkpoint('puzzlegan')} --patches={photos}/a.jpg,{photos}/a.png,{photos}/turned.jpg"
    assert predict(words, tmp_path) == ["grid.png", "manifest.json", "puzzle.png"]
    assert Image.open(tmp_path / "puzzle.png").size == (5 * 16 + 4 * 2, 16)
    assert "three images, not 5" in refused(
        ["predict", f"--ckpt_path={checkpoint('puzzlegan')}", f"--patches={photos}"], capsys
    )


# ------------------------------------------------------------------------------------------------------------ sentences


def test_prompts_of_a_file(tmp_path):
    (tmp_path / "prompts.txt").write_text("A smiling woman\n\na man\n", encoding="utf-16")
    words = f"--ckpt_path={checkpoint('text2image')} --prompts={tmp_path}/prompts.txt --image_seeds=0,4"
    names = predict(words, tmp_path / "out")
    assert names[:4] == [
        f"{sentence}-{seed}.png" for sentence in ("01-a-smiling-woman", "02-a-man") for seed in ("000000", "000004")
    ]
    model = lit_gen.load(checkpoint("text2image"))
    shown = as_png(model.draw("a man", torch.Generator().manual_seed(4))[0])
    assert np.abs(pixels(tmp_path / "out" / "02-a-man-000004.png").astype(int) - shown).max() <= 1
    wrongs = {"": "no sentence", "no.txt": "no file no.txt", "x" * 202: "longer than 201", "你": "你"}
    wrongs |= {str(tmp_path): "is a folder. Give a sentence, or a text file with one per line."}
    for wrong, said in wrongs.items():
        with pytest.raises(UserError, match=said):
            model.task.plan(model, {"prompts": wrong})


# ---------------------------------------------------------------------------------------- whose files are in the folder


@pytest.fixture
def mine(photos, tmp_path):
    """A folder of somebody's images, and what is in it, by name."""
    (tmp_path / "mine" / "sub").mkdir(parents=True)
    for name in ("me.png", "sub/3.png"):
        shutil.copy(photos / "a.png", tmp_path / "mine" / name)
    return tmp_path / "mine"


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("stargan", "--images={} --attributes=+Male"),
        ("stargan", "--images={}/me.png"),
        (
            "vae",
            "--data=ImageFolder --data.root={} --data.image_size=16 --data.channels=1 --data.cache_folder={}-cache",
        ),
    ],
)
def test_what_it_reads_is_not_written_over(model, words, mine, capsys):
    before = content(mine)
    words = ["predict", f"--ckpt_path={checkpoint(model)}", *words.replace("{}", str(mine)).split()]
    for _ in range(2):
        assert f"predict reads {mine}/" in refused([*words, f"--output={mine}", "--overwrite"], capsys)
        assert content(mine) == before


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("vae", "--images={0}/a.png"),
        ("vae", "--images={0}/a.png,{0}/a-2.png --interpolate"),
        ("puzzlegan", "--patches={0}/a.png,{0}/a-2.png,{0}/turned.png"),
    ],
)
def test_earlier_pictures_that_it_reads_are_kept(model, words, photos, tmp_path, capsys):
    predict(f"--ckpt_path={checkpoint('vae')} --images={photos}", tmp_path)
    before = content(tmp_path)
    words = f"--ckpt_path={checkpoint(model)} {words.format(tmp_path)} --output={tmp_path} --overwrite"
    assert "predict reads" in refused(["predict", *words.split()], capsys)
    assert content(tmp_path) == before


def test_a_file_that_no_predict_has_written_stays(photos, tmp_path, capsys):
    """Whatever it is that has its name, and whatever a manifest of another program lists."""
    words = f"--ckpt_path={checkpoint('gan')} --count=1"
    others = {
        "000000.png": b"mine",
        "grid.png": b"mine",
        "manifest.json": b'{"others": [], "images": [{"file": "x.png"}]}',
    }
    for name, text in others.items():
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_bytes(text)
        (folder / "x.png").write_bytes(b"mine")
        before = content(folder)
        line = refused(["predict", *words.split(), f"--output={folder}", "--overwrite"], capsys)
        assert f"{folder}/{name} is there already" in line and content(folder) == before
    predict(words, tmp_path / "made")
    shutil.copy(photos / "a.png", tmp_path / "a.png")
    (tmp_path / "made" / "000000.png").unlink()
    (tmp_path / "made" / "000000.png").symlink_to(tmp_path / "a.png")
    assert "is there already" in refused(
        ["predict", *words.split(), f"--output={tmp_path}/made", "--overwrite"], capsys
    )
    assert (tmp_path / "a.png").is_file() and (tmp_path / "made" / "000000.png").is_symlink()


def test_the_pictures_of_a_predict_that_was_broken_off_are_known(photos, mnist_root, tmp_path, monkeypatch, capsys):
    """Those that have names, those that are numbered, and half of one; a later file of a planned name is not ours."""
    saved = predictions.save_picture

    def fail(image, path):
        if len(list(path.parent.glob("*.png"))) == 2:
            path.with_name(f".{path.name}.0123abcd.partial").touch()  # as of a process that is killed
            raise MemoryError
        saved(image, path)

    data = f"--data=MNIST --data.root={mnist_root} --data.val_size=100 --data.image_size=16"
    for number, words in enumerate(
        (f"--ckpt_path={checkpoint('gan')} --count=5", f"--ckpt_path={checkpoint('vae')} {data}")
    ):
        folder = tmp_path / str(number)
        monkeypatch.setattr(predictions, "save_picture", fail)
        refused(["predict", *words.split(), f"--output={folder}"], capsys)
        monkeypatch.setattr(predictions, "save_picture", saved)
        assert len(list(folder.glob("*.png"))) == 2 and not (folder / "manifest.json").exists()
        (folder / "000004.png").write_text("mine")
        (folder / "2024-12-05.png").write_text("mine")
        names = predict(f"--ckpt_path={checkpoint('gan')} --image_seeds=9", folder, "--overwrite")
        assert names == ["000004.png", "000009.png", "2024-12-05.png", *BESIDE]


class Name(str):
    copies = 0

    def __deepcopy__(self, memo):
        Name.copies += 1
        return self


def test_a_thousand_classes_cost_no_time():
    """The parser copied all names for each of them: two seconds of a command."""
    parser, names = ArgumentParser(), [Name(f"class {number}") for number in range(100)]
    parser.add_subclass_arguments(Pictures, "data")
    settings = parser.parse_object({"data": {"class_path": import_path(Pictures), "init_args": NOT_SAID}})
    settings.data.init_args.spec |= {"num_classes": 100, "classes": names}
    parser.validate(settings)
    assert Name.copies < 10 * len(names)
    assert parser.instantiate(settings).data.spec["classes"] == names


def test_images_that_predict_has_made(tmp_path):
    """The grid and the moving picture beside them are none of them."""
    words, made = f"--ckpt_path={checkpoint('vae')}", tmp_path / "made"
    names = predict(f"{words} --interpolate --image_seeds=1,2 --count=2", made)
    assert names == ["frame-0000.png", "frame-0001.png", "grid.png", "interpolation.gif", "manifest.json"]
    assert predict(f"{words} --images={made}", tmp_path / "again") == [*names[:2], *BESIDE]
    (made / "manifest.json").unlink()  # as in a folder of one's own
    assert len(predict(f"{words} --images={made}", tmp_path / "all")) == 6


def test_a_folder_may_be_called_as_an_image(photos, tmp_path, capsys):
    """But not as a file that stands beside the pictures, and no file may lie where it is to be."""
    folder = tmp_path / "in"
    (folder / "x.png").mkdir(parents=True)
    shutil.copy(photos / "a.jpg", folder / "x.jpg")
    shutil.copy(photos / "a.png", folder / "x.png" / "a.png")
    words = f"--ckpt_path={checkpoint('vae')} --images={folder}"
    assert predict(words, tmp_path / "out") == ["grid.png", "manifest.json", "x-2.png", "x.png/a.png"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x.png").write_text("mine")
    command = ["predict", *words.split(), "--overwrite"]
    assert "mine/x.png is there already" in refused([*command, f"--output={tmp_path}/mine"], capsys)
    (folder / "x.png").rename(folder / "grid.png")
    line = refused([*command, f"--output={tmp_path}/none"], capsys)
    assert "grid.png is a file that predict writes. Rename the folder" in line and not (tmp_path / "none").exists()


def test_a_name_may_be_as_long_as_the_disk_takes(photos, tmp_path):
    folder, name = tmp_path / "in", "n" * 251 + ".png"
    folder.mkdir()
    shutil.copy(photos / "a.png", folder / name)
    assert name in predict(f"--ckpt_path={checkpoint('vae')} --images={folder}", tmp_path / "out")


def test_the_folder_for_the_pictures_is_no_source(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copytree(photos, tmp_path / "in")
    (tmp_path / "in" / "out").mkdir()
    shutil.copy(photos / "a.png", tmp_path / "in" / "out" / "old.png")
    options = {"images": "~/in", "output": "~/in/out"}
    assert [name for name, _ in image_paths(options)] == ["a", "a-2", "sub/a", "sub/grey", "turned"]


def test_a_panorama_among_images_does_not_widen_the_grid(photos, tmp_path):
    for number in range(3):
        shutil.copy(photos / "a.png", tmp_path / f"{number}.png")
    Image.new("RGB", (1200, 20)).save(tmp_path / "wide.png")
    predict(f"--ckpt_path={checkpoint('cyclegan')} --images={tmp_path}", tmp_path / "out")
    assert Image.open(tmp_path / "out" / "wide.png").width == 1200
    assert Image.open(tmp_path / "out" / "grid.png").width < 1200
    predict(f"--ckpt_path={checkpoint('stargan')} --images={tmp_path}/0.png", tmp_path / "strip")
    assert Image.open(tmp_path / "strip" / "grid.png").width % (6 * 16 + 2) == 0


def test_a_grid_of_strips_has_an_end(tmp_path):
    """A folder of a thousand photos, a strip each, would be gigabytes; the manifest has all."""
    names = [f"{number:03d}" for number in range(100)]
    for name in names:
        Image.new("L", (60, 10)).save(tmp_path / f"{name}.png")
    writer = PredictionWriter(tmp_path, Command("", {}, 0, str(checkpoint("gan"))))
    writer.note(0, *(f"{name}.png" for name in names))
    plan = Plan([Picture(name, lambda _: None) for name in names], columns=1, heads=["head"] * 6, lines=names)
    writer.plan = plan
    writer.finish(lit_gen.load(checkpoint("gan")), writer.command)
    assert Image.open(tmp_path / "grid.png").height < 75 * 64 * 3  # enlarged, with a line above each
    assert len(json.loads((tmp_path / "manifest.json").read_text())["images"]) == 100
    assert not list(tmp_path.glob(".*"))


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("model", "words", "said"),
    [
        ("gan", "--images=x", "predict with GAN has no --images. It has --count, --image_seeds, --interpolate"),
        ("gan", "--count=0", "--count must be a whole number from 1"),
        ("gan", "--count", "--count needs a value"),
        ("gan", "--image_seeds=5-2", "--image_seeds must be numbers"),
        ("gan", "--image_seeds=1 --count=3", "leave --count out"),
        ("gan", "--seed=-1", "--seed must be a whole number"),
        ("gan", "--count=1 --count=2", "twice"),
        ("gan", "--image_seeds=3,2-4", "names 3 twice"),
        ("infogan", "--sweep=c2,c1", "--sweep must be one of c0, c1, c2, not c2, c1"),
        ("progan", "--resolution=16,8", "--resolution must be one of 4, 8, 16"),
        ("vae", "--images=x.ckpt --interpolate --image_seeds=nonsense", "leave it or --images out"),
        ("gan", "--overwrite", "--overwrite is for the folder that --output names"),
        ("vae", "--images=x.ckpt --seed=3", "--seed sets what is drawn, and here nothing is: leave it out."),
        ("aae", "--plane --seed=3", "--seed sets what is drawn"),
        ("cyclegan", "--images=x.ckpt --seed=3", "--seed sets what is drawn"),
        ("stargan", "--images=x.ckpt --attributes=+Male --seed=3", "--seed sets what is drawn"),
        ("infogan", "--classes=3,10", "--classes must be among 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, not 10."),
        ("cyclegan", "--images=nowhere", "there is no image or folder nowhere"),
        ("cyclegan", "--direction=a_to_b", "give --images"),
        ("stargan", "", "what is StarGAN to make images of? Give --images=<image file or folder>."),
    ],
)
def test_one_line(model, words, said, tmp_path, monkeypatch, capsys):
    """And nothing is left behind."""
    shutil.copy(checkpoint(model), tmp_path / "x.ckpt")
    monkeypatch.chdir(tmp_path)
    assert said in refused(["predict", "--ckpt_path=x.ckpt", *words.split()], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_an_image_that_cannot_be_read_stops_it_before_the_first(photos, tmp_path, capsys):
    shutil.copytree(photos, tmp_path / "in")
    (tmp_path / "in" / "z.jpg").write_bytes((photos / "a.jpg").read_bytes()[:200])
    words = ["predict", f"--ckpt_path={checkpoint('vae')}", f"--images={tmp_path}/in", f"--output={tmp_path}/out"]
    assert "z.jpg" in refused(words, capsys)
    assert not (tmp_path / "out").exists()


def test_an_image_is_tried_with_the_channels_of_the_model(photos, tmp_path, monkeypatch, capsys):
    """One that can be read in colour only, too, stops it before the first."""
    convert = Image.Image.convert

    def refuse(self, mode=None, *more, **others):
        if mode == "L" and max(self.size) == 60:  # the last one
            raise ValueError("no grey")
        return convert(self, mode, *more, **others)

    monkeypatch.setattr(Image.Image, "convert", refuse)
    words = f"predict --ckpt_path={checkpoint('vae')} --images={photos} --output={tmp_path}/out"
    assert "turned.jpg (no grey)" in refused(words.split(), capsys)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_names_no_foreign_class(tmp_path, capsys):
    content = torch.load(checkpoint("gan"), weights_only=True)
    content["hyper_parameters"]["_class_path"] = "antigravity.Model"
    torch.save(content, tmp_path / "x.ckpt")
    assert "a class of your own" in refused(["predict", f"--ckpt_path={tmp_path}/x.ckpt"], capsys)
    with pytest.raises(UserError, match=r"lit_gen.load\(path, model=Model\)"):
        lit_gen.load(tmp_path / "x.ckpt")
    content["hyper_parameters"]["_class_path"] = "lit_gen.models.base.GenerativeModule"
    torch.save(content, tmp_path / "x.ckpt")
    assert "which lit_gen does not have" in refused(["predict", f"--ckpt_path={tmp_path}/x.ckpt"], capsys)


def test_names_and_seeds():
    assert different(["a", "A", "a", "grid"]) == ["a", "A-2", "a-3", "grid-2"]
    assert different(["a", "A.PNG/b/c", "a.png/b"]) == ["a-2", "A.PNG/b/c", "a.png/b"]
    assert different(["b/a", "b/a.png/c", "a"]) == ["b/a-2", "b/a.png/c", "a"]
    assert image_seeds({"seed": "2", "count": "2"}) == [2_000_000, 2_000_001]
    assert image_seeds({"image_seeds": "3,5,3", "interpolate": "true"}) == [3, 5, 3]  # there and back


# -------------------------------------------------------------------------------------------------------- with its data


@pytest.fixture(scope="module")
def trained(tmp_path_factory, mnist_root):
    """A run of a VAE with two-dimensional codes."""
    place = tmp_path_factory.mktemp("trained")
    words = ["--model=VAE", "--model.latent_dim=2", "--model.encoder=MLPEncoder", "--model.encoder.hidden_sizes=[8]"]
    words += ["--model.num_eval_samples=2", "--data=MNIST", f"--data.root={mnist_root}", "--data.val_size=100"]
    words += ["--data.image_size=16", "--data.batch_size=10", "--trainer.max_epochs=1"]
    limits = [f"--trainer.limit_{split}_batches=1" for split in ("train", "val")]
    main(["fit", *words, *limits, f"--trainer.default_root_dir={place}", *QUIET])
    (run,) = (place / "vae").iterdir()
    return run


def test_test_and_validate_take_the_data_from_the_checkpoint(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(trained / "checkpoints" / "last.ckpt", "copied.ckpt")
    main(["test", "--ckpt_path=copied.ckpt", "--evaluation.features=none", "--data.batch_size=50", *QUIET])
    (found,) = tmp_path.glob("runs/vae/*/test.json")
    assert json.loads(found.read_text())["figures"]["test/elbo"]["samples"] == 100
    main(["validate", "--ckpt_path=copied.ckpt", *QUIET])
    capsys.readouterr()
    shutil.copy(checkpoint("vae"), "old.ckpt")
    line = refused(["test", "--ckpt_path=old.ckpt"], capsys)
    assert "old.ckpt does not say which data test is to read: add --data=<class>" in line
    own = torch.load("copied.ckpt", weights_only=True)
    del own["datamodule_hyper_parameters"]
    torch.save(own | {"classes": own["classes"] | {"data": "stripes.Stripes"}}, "own.ckpt")
    line = refused(["test", "--ckpt_path=own.ckpt"], capsys)
    assert "own.ckpt is of data of your own, whose settings it does not bring: add --data=stripes.Stripes, and" in line


def test_predict_with_the_data_named_reads_them(trained, mnist_root, tmp_path):
    """As always: an image for each of the test set."""
    data = f"--data=MNIST --data.root={mnist_root} --data.val_size=100 --data.image_size=16"
    names = predict(f"--ckpt_path={trained} {data}", tmp_path / "data", "--trainer.limit_predict_batches=1")
    assert len(names) > 10 and names[0] == "0-000000.png"
    assert len(predict(f"--ckpt_path={trained} --plane", tmp_path / "plane")) == 256 + 2


def test_other_data_have_the_size_and_channels_of_the_checkpoint(trained, own_images, tmp_path, caplog, capsys):
    other = ["--data=ImageFolder", f"--data.root={own_images}", "--data.val_fraction=0.3", "--evaluation.features=none"]
    other += [f"--trainer.default_root_dir={tmp_path}"]
    with caplog.at_level("INFO"):
        main(["test", f"--ckpt_path={trained}", *other, *QUIET])
    assert "images as the checkpoint says: --data.image_size=16 --data.channels=1" in caplog.text
    (found,) = tmp_path.glob("vae/*/test.json")
    assert json.loads(found.read_text())["figures"]["test/elbo"]["samples"] > 0
    for typed in ("--data.channels=3", "--config={data: {init_args: {channels: 3}}}"):
        line = refused(["test", f"--ckpt_path={trained}", *other, typed], capsys)
        assert "data.spec.image_shape [1, 16, 16] -> [3, 16, 16]" in line


def test_images_of_a_folder_named_as_data_keep_their_names(photos, tmp_path):
    """And are to the pixel those of --images; samples are of no file, and numbered."""
    data = f"--data=ImageFolder --data.root={photos} --data.image_size=16 --data.channels=1 --data.batch_size=2"
    data += f" --data.cache_folder={tmp_path}/cache"
    assert predict(f"--ckpt_path={checkpoint('vae')} {data}", tmp_path / "data") == sorted([*IMAGES, *BESIDE])
    predict(f"--ckpt_path={checkpoint('vae')} --images={photos}", tmp_path / "images")
    for name in IMAGES:
        assert np.abs(pixels(tmp_path / "data" / name).astype(int) - pixels(tmp_path / "images" / name)).max() <= 1
    entries, others = (
        json.loads((tmp_path / folder / "manifest.json").read_text())["images"] for folder in ("data", "images")
    )
    assert entries == [{name: value for name, value in one.items() if name != "seed"} for one in others]
    names = predict(f"--ckpt_path={checkpoint('gan')} {data}", tmp_path / "new")
    assert names[:2] == ["0-000000.png", "0-000001.png"]


@pytest.fixture(scope="module")
def own_images(tmp_path_factory):
    """Twelve images in two folders, which are labels, or two domains."""
    root, rng = tmp_path_factory.mktemp("own") / "images", np.random.default_rng(0)
    for number in range(40):
        path = root / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (16, 16, 3), np.uint8)).save(path)
    return root


OWN = {
    "ImageFolder": ("GAN", ["--data.root={}", "--data.val_fraction=0.3"], ["--count=2"]),
    "ImageTable": ("GAN", ["--data.root={}", "--data.val_fraction=0.3"], ["--count=2"]),
    "UnpairedFolders": (
        "CycleGAN --model.channels=2 --model.residual_blocks=0 --model.discriminator_channels=2"
        " --model.discriminator_layers=1",
        ["--data.folder_a={}/a", "--data.folder_b={}/b", "--data.val_fraction=0.3"],
        ["--images={}/a"],
    ),
}


@pytest.mark.parametrize("data", OWN)
def test_the_checkpoint_of_a_training_on_own_images_is_enough(data, own_images, tmp_path):
    """`validate` and `test` read the same images, `predict` needs none of them."""
    model, settings, asked = OWN[data]
    root = f"--trainer.default_root_dir={tmp_path}/runs"
    words = [f"--data={data}", *(setting.format(own_images) for setting in settings), "--data.image_size=16"]
    words += ["--data.batch_size=2", "--trainer.max_steps=1", "--name=own", "--checkpoints.every_n_minutes=0", root]
    main(["fit", *f"--model={model}".split(), *words, *QUIET])
    (run,) = (tmp_path / "runs").glob("*/own")
    for command in ("validate", "test"):
        main([command, f"--ckpt_path={run}", "--evaluation.features=none", root, *QUIET])
    asked = [word.format(own_images) for word in asked]
    assert len(predict(f"--ckpt_path={run}", tmp_path / "out", *asked)) > 3


class OwnGAN(lit_gen.models.GAN):
    """A class that no checkpoint brings."""


@pytest.mark.parametrize("named", ["{}", "last"])
def test_the_class_and_the_checkpoint_of_an_own_model_are_enough(named, own_images, tmp_path, capsys):
    """Its settings are the checkpoint's, but for those that are typed."""
    root = f"--trainer.default_root_dir={tmp_path}/runs"
    words = ["--data=ImageFolder", f"--data.root={own_images}/a", "--data.image_size=16", "--data.batch_size=2"]
    words += ["--data.val_fraction=0.3", "--trainer.max_steps=1", "--name=own", "--checkpoints.every_n_minutes=0", root]
    own = f"--model={__name__}.OwnGAN"
    main(["fit", own, "--model.latent_dim=5", "--model.generator_sizes=[4]", *words, *QUIET])
    (run,) = (tmp_path / "runs").glob("*/own")
    checkpoint = named.format(run)
    main(["test", own, f"--ckpt_path={checkpoint}", "--evaluation.features=none", root, *QUIET])
    assert len(predict(f"--ckpt_path={checkpoint}", tmp_path / "out", own, root, "--count=2")) > 2
    line = refused(["predict", own, f"--ckpt_path={checkpoint}", "--model.latent_dim=6", root, "--count=2"], capsys)
    assert "model.latent_dim 5 -> 6" in line
    assert f"--model={__name__}.OwnGAN" in refused(["predict", f"--ckpt_path={run}", "--count=2"], capsys)


def test_the_last_run_of_an_own_class_is_found_below_any_systems_name(own_images, tmp_path, capsys):
    """A config named the class, so that the folder is called as the config; a newer run is of another class."""
    root = f"--trainer.default_root_dir={tmp_path}/runs"
    words = ["--data=ImageFolder", f"--data.root={own_images}/a", "--data.image_size=16", "--data.batch_size=2"]
    words += ["--data.val_fraction=0.3", "--trainer.max_steps=1", "--checkpoints.every_n_minutes=0", root]
    own, small = f"--model={__name__}.OwnGAN", "--model.generator_sizes=[4]"
    config = tmp_path / "my_gan.yaml"
    config.write_text(f"model: {__name__}.OwnGAN\n")
    main(["fit", f"--config={config}", small, *words, "--name=own", *QUIET])
    main(["fit", "--model=GAN", small, *words, "--name=newer", *QUIET])
    checkpoint_of_own = tmp_path / "runs" / "my_gan" / "own" / "checkpoints" / "last.ckpt"
    line = refused(["test", f"--ckpt_path={tmp_path}/runs/my_gan", root], capsys)
    assert f"name it, by {own}, or" in line
    main(["test", own, "--ckpt_path=last", "--evaluation.features=none", root, *QUIET])  # as it says
    assert len(list(tmp_path.glob("runs/my_gan/*/test.json"))) == 1
    assert len(predict("--ckpt_path=last", tmp_path / "out", own, root, "--count=2")) > 2
    exported = tmp_path / "exported"
    words = [f"--output={exported}", "--format=safetensors", root]
    main(["export", own, "--ckpt_path=last", *words])
    card = json.loads((exported / "export.json").read_text())
    assert card["checkpoint"]["sha256"] == hashlib.sha256(checkpoint_of_own.read_bytes()).hexdigest()
    line = refused(["test", own, "--ckpt_path=last", "--system=gan", root], capsys)
    assert f"last.ckpt is of lit_gen.models.gan.GAN, not of {__name__}.OwnGAN: name that class, or add --data" in line


def test_an_own_class_may_have_been_asked_for_by_a_shorter_path():
    """`my_package.OwnGAN`, which `my_package/__init__.py` imports from where it is defined."""
    checkpoint = {"hyper_parameters": {"_class_path": "tests.OwnGAN"}, "classes": {"model": f"{__name__}.OwnGAN"}}
    assert is_of(checkpoint, OwnGAN) and not is_of(checkpoint, lit_gen.models.GAN) and not is_of({}, OwnGAN)


def test_predictions_beside_no_run_leave_no_log(tmp_path, monkeypatch):
    """Lightning's own logger wrote to runs/lightning_logs, wherever the command was typed."""
    monkeypatch.chdir(tmp_path)
    main(["predict", f"--ckpt_path={checkpoint('gan')}", "--count=2", "--output=out", *QUIET[1:]])
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_images_in_need_images_and_render_none(capsys, tmp_path):
    """The data of the checkpoint are not what a person wants changed."""
    line = refused(["predict", "--ckpt_path=pretrained/stargan", f"--output={tmp_path}/out"], capsys)
    assert "what is StarGAN to make images of? Give --images=<image file or folder" in line


def test_sentences_need_none_of_the_data_that_a_table_was(tmp_path):
    content = torch.load(checkpoint("text2image"), weights_only=True)
    content["classes"] = {"model": "lit_gen.models.Text2Image", "data": "lit_gen.data.ImageTable"}
    content["datamodule_hyper_parameters"] = {"root": str(tmp_path / "nowhere"), "image_size": 16}
    torch.save(content, tmp_path / "x.ckpt")
    assert len(predict(f'--ckpt_path={tmp_path}/x.ckpt --prompts="a man" --count=1', tmp_path / "out")) == 3


@pytest.mark.slow
def test_two_processes_share_the_pictures(photos, tmp_path):
    """And fewer pictures than processes are refused in one line; before, the processes hung or crashed."""
    started = [sys.executable, "main.py", "predict", "--trainer.devices=2", *QUIET]
    data = ["--data=ImageFolder", f"--data.root={photos}", "--data.image_size=16", "--data.channels=1"]
    data += [f"--data.cache_folder={tmp_path}/cache", "--data.batch_size=1"]
    for name, words in {"gan": ["--count=3"], "vae": data}.items():
        words = [f"--ckpt_path={checkpoint(name)}", *words]
        subprocess.run([*started, *words, f"--output={tmp_path}/{name}-2"], check=True, capture_output=True)
        main(["predict", *words, f"--output={tmp_path}/{name}-1", *QUIET])
        one, two = (
            {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*.png")}
            for folder in (tmp_path / f"{name}-1", tmp_path / f"{name}-2")
        )
        assert len(one) > 3 and one.keys() == two.keys()
        for path in one:
            assert (
                np.abs(pixels(tmp_path / f"{name}-1" / path).astype(int) - pixels(tmp_path / f"{name}-2" / path)).max()
                <= 1
            )
    few = [*started, f"--ckpt_path={checkpoint('gan')}", "--count=1", f"--output={tmp_path}/few"]
    done = subprocess.run(few, capture_output=True, text=True)
    assert (
        done.returncode == 2 and "2 processes cannot share 1 pictures" in done.stderr and "Traceback" not in done.stderr
    )
    assert not (tmp_path / "few").exists()


# --------------------------------------------------------------------------------------------------------------- labels


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Checkpoints of autoencoders that were told labels."""
    folder = tmp_path_factory.mktemp("told")
    for kind, settings in {
        lit_gen.models.SemiSupervisedAAE: {},
        lit_gen.models.AAE: {"conditional": True, "prior": "gaussian_mixture", "latent_dim": 2},
    }.items():
        trainer = tiny.trainer(folder, limit_train_batches=1)
        trainer.fit(tiny.build(kind, **settings), datamodule=tiny.NoiseData(1))
        trainer.save_checkpoint(folder / f"{kind.__name__}.ckpt")
    return folder


@pytest.mark.parametrize("name", ["SemiSupervisedAAE", "AAE"])
def test_new_images_of_classes(name, told, tmp_path):
    names = predict(f"--ckpt_path={told}/{name}.ckpt --classes=3,7 --count=3", tmp_path)
    assert names[:3] == ["000000-class-3.png", "000001-class-7.png", "000002-class-3.png"]
    model = lit_gen.load(told / f"{name}.ckpt")
    for seed, label in enumerate((3, 7, 3)):
        random = torch.Generator().manual_seed(seed)
        if name == "AAE":
            latent = model.prior.sample(torch.tensor([label]), random)
        else:
            latent = torch.cat([torch.eye(10)[label], torch.randn(4, generator=random)])[None]
        with torch.no_grad():
            expected = as_png(model.decode(latent)[0])
        assert np.abs(pixels(tmp_path / names[seed]).astype(int) - expected).max() <= 1


def test_images_through_class_and_style(told, photos, tmp_path):
    """A walk begins and ends with the reconstructions, whose codes are a class and a style."""
    words = f"--ckpt_path={told}/SemiSupervisedAAE.ckpt"
    assert predict(f"{words} --images={photos}", tmp_path / "all") == sorted([*IMAGES, *BESIDE])
    two = f"{words} --images={photos}/a.jpg,{photos}/turned.jpg --interpolate --count=3"
    predict(two, tmp_path / "walk")
    for frame, name in (("frame-0000.png", "a.png"), ("frame-0002.png", "turned.png")):
        assert (pixels(tmp_path / "walk" / frame) == pixels(tmp_path / "all" / name)).all()
    with torch.no_grad():
        model = lit_gen.load(told / "SemiSupervisedAAE.ckpt")
        start, end = (model.sample_latent(1, torch.Generator().manual_seed(seed)) for seed in (4, 9))
        middle = as_png(model.decode((start + end) / 2)[0])  # an arc is for Gaussian latents, which classes are not
    predict(f"{words} --interpolate --image_seeds=4,9 --count=3", tmp_path / "new")
    assert np.abs(pixels(tmp_path / "new" / "frame-0001.png").astype(int) - middle).max() <= 1


def test_classes_need_labels(told, capsys):
    model = tiny.build(lit_gen.models.AAE)
    with pytest.raises(UserError, match="a model that was told labels"):
        model.task.plan(model, {"classes": "3"})
    words = ["predict", f"--ckpt_path={told}/AAE.ckpt", "--classes=3"]
    assert "--classes must be among 0, 1, " in refused([*words[:2], "--classes=10"], capsys)
    assert "leave --plane out" in refused([*words, "--plane"], capsys)


# --------------------------------------------------------------------------------------------------------------- Python


def test_changes_in_words():
    """Of what D sees in each image by itself."""
    model, images = lit_gen.load(checkpoint("stargan")), tiny.images(3, 3)
    target = (model.discriminator(images)[1] > 0).float()
    target[:, :3], target[:, 3] = torch.tensor([0.0, 1.0, 0.0]), 0.0
    assert torch.equal(model.translate(images, "+Blond_Hair,-Male"), model.translate(images, target))
    with pytest.raises(UserError, match="Did you mean Blond_Hair"):
        model.translate(images, "+Blond")


def test_a_model_says_which_images_it_takes():
    """In one line, whatever it is called with; before, a convolution spoke of channels, or the sum of two sizes."""
    stargan, cyclegan = lit_gen.load(checkpoint("stargan")), lit_gen.load(checkpoint("cyclegan"))
    images, target = tiny.images(2, 3), torch.ones(2, 5)
    for model, given, said in (
        (stargan, (images, torch.ones(2, 4)), "shape (2, 5), not (2, 4): a column each for Black_Hair"),
        (stargan, (images[0], "+Male"), "(B, 3, 16, 16), not (3, 16, 16). Give one image as image[None]"),
        (stargan, (images[..., :12], "+Male"), "(B, 3, 16, 16), not (2, 3, 16, 12)"),
        (stargan, (images[..., :13], target), "multiples of 4 from 8 on, not (2, 3, 16, 13)"),
        (stargan, (images, "+Nope"), "the target must be"),
        (stargan, (images, np.ones((2, 5))), "a tensor of attributes, shape (2, 5), not ndarray: a column each"),
        (stargan, (images.numpy(), "+Male"), "a tensor of images, not ndarray. Make one by torch.from_numpy"),
        (cyclegan, (images, "x"), "direction must be a_to_b or b_to_a, not x"),
        (cyclegan, (images[..., :13, :], "a_to_b"), "multiples of 4 from 8 on, not (2, 3, 13, 16)"),
        (cyclegan, (images[:, :1], "a_to_b"), "not (2, 1, 16, 16)"),
        (cyclegan, (images.long(), "a_to_b"), "not torch.int64"),
    ):
        with pytest.raises(UserError, match=re.escape(said)):
            model.translate(*given)
    assert stargan.translate(tiny.images(2, 3)[..., :12], torch.ones(2, 5)).shape == (2, 3, 16, 12)


@pytest.mark.parametrize(
    ("name", "verb"),
    [
        ("stargan", lambda model, images: model.translate(images, "+Male")),
        ("cyclegan", lambda model, images: model.translate(images, "a_to_b")),
        ("vae", lambda model, images: model.reconstruct(images)),
        ("infogan", lambda model, images: model.recognize(images)),
        ("puzzlegan", lambda model, images: model.assemble(images[None])),
    ],
)
def test_floats_from_0_to_1_are_warned_of(name, verb):
    """They are what `to_tensor` of torchvision gives; before, they were taken for bright images without a word."""
    model = lit_gen.load(checkpoint(name))
    images = tiny.images(3, model.image_shape[0])
    assert images.min() < 0  # as images in [-1, 1] are
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("error")
        verb(model, images)
        verb(model, ((images + 1) * 127.5).to(torch.uint8))
        for wrong in ((images + 1) / 2, (images + 1) * 127.5):
            with pytest.raises(UserWarning, match=r"go from -1 \(black\) to 1 \(white\), and these from \d.*\* 2 - 1"):
                verb(model, wrong)


@pytest.mark.parametrize(
    ("name", "lists"),
    [
        ("stargan", "AttributeEditor"),
        ("cyclegan", "Translator"),
        ("text2image", "Painter"),
        ("puzzlegan", "PatchAssembler"),
    ],
)
def test_a_model_of_images_or_sentences_says_that_noise_is_not_enough(name, lists):
    """Before, that it has no latent_dim, or that an argument of forward is missing."""
    with pytest.raises(UserError, match=rf"makes no images of noise alone\. .*\.{lists} lists"):
        lit_gen.load(checkpoint(name)).generate(4)


@pytest.mark.parametrize("name", ["aae", "autoencoder", "vae", "stargan", "cyclegan", "infogan", "puzzlegan"])
def test_bytes_are_the_images_that_they_stand_for(name):
    model = lit_gen.load(checkpoint(name))
    latent = model.sample_latent(1) if name == "puzzlegan" else None
    verb = {
        "stargan": lambda images: model.translate(images, "+Male"),
        "cyclegan": lambda images: model.translate(images, "a_to_b"),
        "infogan": lambda images: model.recognize(images)[1],
        "puzzlegan": lambda images: model.assemble(images[None], latent)[0],
    }.get(name, getattr(model, "reconstruct", None))
    images = torch.randint(256, (3, *model.image_shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(verb(images), verb(images.float() / 127.5 - 1))


@pytest.mark.parametrize("name", sorted(path.name for path in FIXTURES.iterdir()))
def test_load(name):
    model = lit_gen.load(FIXTURES / name)
    assert type(model).__name__.lower() == name and not model.training
    if hasattr(model, "generate") and not isinstance(model, CycleGAN | StarGAN | Text2Image) and name != "puzzlegan":
        assert model.generate(3).shape == (3, *model.image_shape)


def test_load_a_model_of_ones_own(tmp_path):
    class Mine(lit_gen.models.GAN):
        """A class that no checkpoint may name."""

    trainer = tiny.trainer(tmp_path, limit_train_batches=1)
    trainer.fit(Mine(tiny.spec(), **tiny.SMALL["GAN"]), datamodule=tiny.NoiseData(1))
    trainer.save_checkpoint(tmp_path / "mine.ckpt")
    with pytest.raises(UserError, match="Mine, a class of your own"):
        lit_gen.load(tmp_path / "mine.ckpt")
    assert isinstance(lit_gen.load(tmp_path / "mine.ckpt", model=Mine), Mine)
