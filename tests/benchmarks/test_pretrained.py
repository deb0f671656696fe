"""Weights in 16 bits with a card: images as the run's, nothing of the data; what is in `pretrained/` is in order."""

import json
import shutil

import pytest
import torch
from PIL import Image

import lit_gen
from benchmarks import pretrained
from lit_gen.cli import main
from lit_gen.errors import UserError
from lit_gen.models import GAN, VAE, CycleGAN, ProGAN, StarGAN
from tests.benchmarks.record import record_of
from tests.models import tiny
from tests.test_predict import QUIET, as_png, pixels

RECORD = record_of("GAN", "rendered MNIST", 16, {"test/swd_mean": (0.41234, 100, "")}, note="Short.", commit="abc1234")
EMA = {"ema_decay": 0.5}


def run_of(model, folder):
    """A run folder with a checkpoint of a tiny model that was trained for two batches, and its measures."""
    run = folder / "runs" / model.__name__.lower() / "a"
    settings = {} if model is VAE else EMA
    one = tiny.build(model, 3, **settings)
    trainer = tiny.trainer(folder, max_epochs=1)
    trainer.fit(one, datamodule=tiny.NoiseData(2, channels=3, kind=tiny.kind_for(model)))
    trainer.save_checkpoint(run / "checkpoints" / "last.ckpt")
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    checkpoint["datamodule_hyper_parameters"] = {"root": "/home/somebody", "synthetic": True}
    torch.save(checkpoint, run / "checkpoints" / "last.ckpt")
    (run / "measures.json").write_text(json.dumps(RECORD | {"system": model.__name__}))
    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    return {model: run_of(model, folder) for model in (GAN, VAE, ProGAN, StarGAN, CycleGAN)}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def images_of(model):
    if isinstance(model, StarGAN):
        return model.translate(tiny.images(4, 3), torch.ones(4, 5))
    if isinstance(model, CycleGAN):
        return model.translate(tiny.images(4, 3), "b_to_a")
    return model.generate(4, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("kind", [GAN, VAE, ProGAN, StarGAN, CycleGAN])
def test_images_are_those_of_the_run(kind, runs, place):
    """To the bit those of the run's averaged weights, rounded to 16 bits; and near those that are not."""
    folder = pretrained.add(runs[kind])
    assert folder == place / kind.__name__.lower() and pretrained.problems(place) == []
    old, new = lit_gen.load(runs[kind]), lit_gen.load(folder)
    assert getattr(new, "average", None) is None and next(new.parameters()).dtype == torch.float32
    exact = images_of(old)
    torch.testing.assert_close(images_of(new), exact, atol=0.02, rtol=0)
    with torch.no_grad():
        for value in (*old.parameters(), *old.buffers()):
            if value.is_floating_point():
                value.copy_(value.half())
    assert torch.equal(images_of(new), images_of(old)) and not torch.equal(images_of(new), exact)
    before, after = ((path / "last.ckpt").stat().st_size for path in (runs[kind] / "checkpoints", folder))
    assert after < before / 2


def test_nothing_of_the_data_nor_of_the_machine(runs, place):
    """CycleGAN's history of fakes is made from the data's images."""
    pools = [name for name in torch.load(runs[CycleGAN] / "checkpoints/last.ckpt")["state_dict"] if "pools" in name]
    content = torch.load(pretrained.add(runs[CycleGAN]) / "last.ckpt", weights_only=True)
    assert pools and all(len(content["state_dict"][name]) == 0 for name in pools)
    assert content["datamodule_hyper_parameters"] == {"synthetic": True}
    assert not {"optimizer_states", "loops", "callbacks"} & content.keys()


def test_predict_by_the_name_of_the_folder(runs, place, tmp_path, monkeypatch):
    pretrained.add(runs[StarGAN])
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (16, 16), "orange").save("photo.png")
    main(
        [
            "predict",
            "--ckpt_path=pretrained/stargan",
            "--images=photo.png",
            "--attributes=-Male",
            "--output=new",
            *QUIET,
        ]
    )
    old, image = lit_gen.load(runs[StarGAN]), torch.tensor(pixels("photo.png")).permute(2, 0, 1)[None] / 127.5 - 1
    target = (old.discriminator(image)[1] > 0).float()
    target[0, old.attributes.index("Male")] = 0
    difference = pixels("new/photo.png").astype(int) - as_png(old.translate(image, target)[0])
    assert abs(difference).max() <= 2


def test_the_card(runs, place):
    text = (pretrained.add(runs[StarGAN], name="faces") / "card.md").read_text()
    for said in (
        "# faces", "| system | StarGAN |", "| data | rendered MNIST, 16 pixels |", "MIT", "| commit | abc1234 |",
        "| trained by | `python main.py fit --config configs/gan.yaml` |", "| seed | 3 |", "in 16 bits", "Short.",
        "| swd_mean | 0.4123 | 100 |", "predict --ckpt_path=pretrained/faces --images=photo.png",
    ):  # fmt: skip
        assert said in text, said


def test_what_a_card_lacks_and_too_many_bytes_are_refused(runs, place, tmp_path, monkeypatch):
    shutil.copytree(runs[GAN], tmp_path / "gan")
    for change, said in (({"data": "real MNIST"}, "lacks a --licence"), ({"command": ""}, "measure with --command")):
        (tmp_path / "gan" / "measures.json").write_text(json.dumps(RECORD | change))
        with pytest.raises(UserError, match=said):
            pretrained.add(tmp_path / "gan")
    (tmp_path / "gan" / "measures.json").unlink()
    with pytest.raises(UserError, match="benchmarks.measure"):
        pretrained.add(tmp_path / "gan")
    pretrained.add(runs[GAN])
    size = (place / "gan" / "last.ckpt").stat().st_size
    monkeypatch.setattr(pretrained, "MOST", size + 1)
    pretrained.add(runs[GAN])  # in its own place
    with pytest.raises(UserError, match="with the others"):
        pretrained.add(runs[GAN], name="second")
    assert [path.name for path in place.iterdir()] == ["gan"]
    monkeypatch.setattr(pretrained, "MOST", size - 1)
    assert "all weights together" in pretrained.problems(place)[0]


def test_what_is_out_of_order_is_found(runs, place):
    folder = pretrained.add(runs[GAN])
    whole = (folder / "card.md").read_text()
    (folder / "card.md").write_text(whole.replace("| commit |", "| comit |"))
    assert [line.partition(": ")[2] for line in pretrained.problems(place)] == ["commit"]
    (folder / "card.md").write_text(whole)
    with (folder / "last.ckpt").open("ab") as file:
        file.write(b"0")
    assert "is of another file" in pretrained.problems(place)[0]
    (folder / "last.ckpt").unlink()
    (folder / "other.ckpt").write_bytes(b"")
    assert len(pretrained.problems(place)) == 2


def test_a_value_that_16_bits_cannot_have():
    with pytest.raises(UserError, match="weight has values"):
        pretrained._small("weight", torch.tensor([1e6]))


def test_a_training_cannot_go_on_with_them(runs, place, tmp_path):
    file = pretrained.add(runs[GAN]) / "last.ckpt"
    with pytest.raises(UserError, match="weights only"):
        tiny.trainer(tmp_path).fit(
            tiny.build(GAN, 3), datamodule=tiny.NoiseData(1, channels=3), ckpt_path=file, weights_only=True
        )


def test_what_is_in_the_folder_is_in_order():
    """Each file has its card and can be used; all are at most 8 MB."""
    assert pretrained.problems() == []
    for file in pretrained.FOLDER.glob("*/last.ckpt"):
        assert not lit_gen.load(file.parent).training
