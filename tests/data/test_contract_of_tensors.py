"""Plain tensors as batches, and a data module of one's own: the example in data/README.md."""

import re
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from lightning import LightningDataModule
from torch.utils.data import DataLoader, TensorDataset

import lit_gen
from lit_gen.data.batches import AttributedImages, Images, LabelledImages, UnpairedImages
from lit_gen.data.contract import named_batch, spec_in
from lit_gen.errors import UserError
from lit_gen.models import AAE, GAN, VAE, SemiSupervisedAAE, StarGAN, base
from tests.models import tiny

X, Y = tiny.images(16), torch.arange(16) % 10


def arriving(model, batch):
    """A batch as a training step gets it."""
    model.trainer = tiny.trainer(".")
    model.trainer.training = True
    return model.on_after_batch_transfer(batch, 0)


@pytest.mark.parametrize("model", [VAE, GAN])
@pytest.mark.parametrize("bytes_", [False, True])
def test_a_loader_of_tensors_trains_a_model(model, bytes_, tmp_path):
    """As a named tuple of the same values does; what is uint8 stands for the nearest of 256 values."""
    x = ((X + 1) * 127.5).round().to(torch.uint8)
    ends = []
    for images, kind in ((x if bytes_ else x / 127.5 - 1, TensorDataset), (x / 127.5 - 1, LabelledImages)):
        found = tiny.build(model)
        assert lit_gen.spec_of(x, Y)["image_shape"] == [1, 16, 16] and lit_gen.spec_of(x, Y)["num_classes"] == 10
        rows = DataLoader(TensorDataset(images, Y), 8) if kind is TensorDataset else tiny.Batches(
            [LabelledImages(images[:8], Y[:8]), LabelledImages(images[8:], Y[8:])]
        )  # fmt: skip
        loader = rows if kind is TensorDataset else DataLoader(rows, batch_size=None)
        torch.manual_seed(0)
        found.run_seed = 5
        tiny.trainer(tmp_path).fit(found, loader)
        ends.append(tiny.parameters(found))
    assert all(torch.equal(ends[0][name], value) for name, value in ends[1].items())


def test_what_tensors_stand_for():
    model = tiny.build(GAN)
    assert type(named_batch([X], model)) is Images
    assert type(named_batch([X, Y], model)) is LabelledImages
    assert type(named_batch([X, Y[:, None].float()], model)) is AttributedImages
    unpaired = tiny.build(lit_gen.models.CycleGAN, 3)
    assert type(named_batch([tiny.images(2, 3)] * 2, unpaired)) is UnpairedImages
    assert lit_gen.spec_of(X, torch.zeros(16, 2))["attributes"] == ["attribute_0", "attribute_1"]


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (X[:, 0], None, r"images .N, C, H, W., not .16, 16, 16.. Give grey images as images.:, None."),
        ([X[0], X[1]], None, "images .N, C, H, W., not list. Give torch.stack"),
        (X, Y.tolist(), "class indices .N,. or attributes .N, A., not list. Give torch.tensor.labels."),
        (X, Y[:, None, None], "not .16, 1, 1."),
    ],
)
def test_what_spec_of_takes(images, labels, said):
    with pytest.raises(UserError, match=said):
        lit_gen.spec_of(images, labels)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ([X[:, :, :8], Y], r"shape \(1, 16, 16\), and a batch has \(1, 8, 16\)"),
        ([X[:, 0], Y], "must begin with a tensor of images"),
        (["words"], "must begin with a tensor of images"),
        ([X, Y, Y], "a batch is images, or images and labels"),
    ],
)
def test_other_tensors_are_refused(tensors, said):
    with pytest.raises(UserError, match=said):
        named_batch(tensors, tiny.build(GAN))


def test_labels_where_attributes_are_needed():
    with pytest.raises(UserError, match="StarGAN needs batches with image, attributes"):
        named_batch([tiny.images(2, 3), Y[:2]], tiny.build(lit_gen.models.StarGAN, 3))


def test_floats_from_0_to_1_are_refused(tmp_path):
    with pytest.raises(UserError, match="-1 .black. to 1 .white., and these from 0"):
        tiny.trainer(tmp_path).fit(tiny.build(VAE), DataLoader(TensorDataset((X + 1) / 2 * 0.9), 8))


@pytest.mark.parametrize("sanity", [0, 2])
@pytest.mark.parametrize("wrong", [X / 2 + 0.5, (X + 1) * 127.5], ids=["0 to 1", "0 to 255"])
def test_each_loader_of_a_training_is_looked_at(wrong, sanity, tmp_path):
    """Also that of the training after that of the sanity check, and in each validation, test and further training."""
    good, bad = (DataLoader(TensorDataset(images), 8) for images in (X, wrong))
    for loaders in ((bad, good), (good, bad)):
        with pytest.raises(UserError, match="-1 .black. to 1 .white., and these from 0"):
            tiny.trainer(tmp_path, num_sanity_val_steps=sanity).fit(tiny.build(VAE), *loaders)
    model, trainer = tiny.build(VAE), tiny.trainer(tmp_path)
    trainer.fit(model, good)
    for again in (trainer.validate, trainer.test, trainer.predict, tiny.trainer(tmp_path).fit):
        with pytest.raises(UserError, match="-1 .black. to 1 .white., and these from 0"):
            again(model, bad)


def test_a_batch_is_looked_at_once_a_stage(tmp_path, monkeypatch):
    """A look at each would wait for the GPU."""
    looks = []
    monkeypatch.setattr(base, "check_range", lambda images: looks.append(len(images)))
    loader = DataLoader(TensorDataset(X), 4)
    tiny.trainer(tmp_path, num_sanity_val_steps=2, max_epochs=3).fit(tiny.build(VAE), loader, loader)
    assert looks == [4] * 3  # sanity check, training, validation


def test_images_of_the_second_domain_are_looked_at(tmp_path):
    photos, model = tiny.images(4, 3), tiny.build(lit_gen.models.CycleGAN, 3)
    with pytest.raises(UserError, match="-1 .black. to 1 .white., and these from 0"):
        tiny.trainer(tmp_path).fit(model, DataLoader(TensorDataset(photos, photos / 2 + 0.5), 2))


def test_bright_images_of_bytes_are_in_range():
    """None of their values is below 0 as a float."""
    bright = torch.full((1, 1, 16, 16), 200, dtype=torch.uint8)
    assert arriving(tiny.build(VAE), bright).image.min() > 0


def test_batches_that_are_dictionaries_are_refused():
    with pytest.raises(UserError, match="not a dictionary of image, label. Give a tuple"):
        arriving(tiny.build(VAE), {"image": X, "label": Y})


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (Y + 1, "labels go from 0 to 9 for the 10 classes of the spec, and these from 1 to 10"),
        (Y - 2, "from -2 to 7"),
        (Y.float(), "whole numbers, not torch.float32. Give labels.long"),
        (Y - 1, None),  # some are unlabelled
    ],
)
def test_labels_that_are_no_classes_are_refused_where_they_are_read(label, said):
    conditional = {"conditional": True, "prior": "gaussian_mixture", "latent_dim": 2}
    for model in (tiny.build(SemiSupervisedAAE), tiny.build(AAE, **conditional)):
        with pytest.raises(UserError, match=said) if said else nullcontext():
            arriving(model, [X, label])
    for model in (tiny.build(VAE), tiny.build(AAE)):
        arriving(model, [X, label])


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (torch.tensor([[1, -1], [-1, 1]]), r"attributes are 0 or 1, and these go from -1 to 1. For -1 and 1: .attrib"),
        (torch.full((2, 2), 7), "from 7 to 7"),
        (torch.tensor([[0, 1], [0, float("nan")]]), "from nan to nan"),
        (torch.zeros(2, 5), r"names 2 attributes .a, b., and these have 5 columns. Give the spec"),
        (torch.zeros(2, 1), "have 1 columns"),
        (torch.tensor([[True, False], [False, False]]), None),
        (torch.tensor([[1, 0], [0, 0]]), None),
    ],
)
def test_attributes_that_are_none_are_refused_where_they_are_read(attributes, said, tmp_path):
    spec, photos = tiny.spec(3) | {"attributes": ["a", "b"]}, tiny.images(2, 3)
    small = {"attributes": ["a", "b"], "channels": 4, "residual_blocks": 1, "discriminator_channels": 4}
    for model in (StarGAN(spec, **small), VAE(spec, **tiny.SMALL["VAE"])):
        refused = said and isinstance(model, StarGAN)
        with pytest.raises(UserError, match=said) if refused else nullcontext():
            tiny.trainer(tmp_path).fit(model, DataLoader(TensorDataset(photos, attributes), 2))


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("images", [torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("labels", [torch.int32, torch.uint8])
def test_tensors_of_another_precision_train_a_model(images, labels, precision, tmp_path):
    """As numpy gives them; before, a linear layer spoke of Double and Float, a loss of Long and Int."""
    conditional = {"conditional": True, "prior": "gaussian_mixture", "latent_dim": 2}
    for model in (tiny.build(GAN), tiny.build(VAE), tiny.build(SemiSupervisedAAE), tiny.build(AAE, **conditional)):
        loader = DataLoader(TensorDataset(X.to(images), Y.to(labels)), 8)
        tiny.trainer(tmp_path, precision=precision, max_steps=1).fit(model, loader, loader)


@pytest.mark.parametrize("precision", [torch.float64, torch.float16])
def test_a_model_takes_images_of_another_precision(precision):
    with torch.no_grad():
        vae, cyclegan = tiny.build(VAE).eval(), tiny.build(lit_gen.models.CycleGAN, 3).eval()
        assert torch.equal(vae.reconstruct(X.to(precision)), vae.reconstruct(X.to(precision).float()))
        photos = tiny.images(2, 3).to(precision)
        assert torch.equal(cyclegan.translate(photos, "a_to_b"), cyclegan.translate(photos.float(), "a_to_b"))


def test_images_with_a_value_that_is_no_number_are_refused():
    broken = X.clone()
    broken[3, 0, 2, 2] = float("nan")
    with pytest.raises(UserError, match="from -1 .* to 1 .*, and these from nan to nan"):
        arriving(tiny.build(GAN), broken)


def test_stargan_on_data_without_attributes(tmp_path):
    model = StarGAN(tiny.spec(3), attributes=["Smiling"], channels=4, residual_blocks=1, discriminator_channels=4)
    data = LightningDataModule.from_datasets(TensorDataset(tiny.images(4, 3)), batch_size=2)
    data.spec = tiny.spec(3) | {"attributes": []}
    with pytest.raises(
        UserError, match="attribute editing needs data with attributes, and the spec of these names none"
    ):
        tiny.trainer(tmp_path).fit(model, datamodule=data)


def test_a_data_module_of_ones_own(tmp_path):
    """The example is short; a GAN trains on it, is validated, and its checkpoint generates."""
    (code,) = re.findall(r"```python\n(.*?)```", Path("data/README.md").read_text(), re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 25
    namespace = {"__name__": "stripes"}
    exec(code, namespace)
    data = namespace["Stripes"]()
    model = GAN(data.spec, **tiny.SMALL["GAN"])
    trainer = tiny.trainer(tmp_path)
    trainer.fit(model, datamodule=data)
    assert {"val/d_logit_real", "val/d_logit_fake"} <= trainer.callback_metrics.keys()
    trainer.test(model, datamodule=data, verbose=False)
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    assert lit_gen.load(tmp_path / "x.ckpt").generate(2).shape == (2, 1, 16, 16)


def test_what_is_missing_is_named():
    class Bare(LightningDataModule):
        pass

    with pytest.raises(UserError, match="Bare has no spec, by which a model is built: set self.spec"):
        spec_in(Bare())
    data = Bare()
    data.spec = {"image_shape": [1, 16, 16]}
    with pytest.raises(UserError, match="the spec of Bare has no num_classes, attributes"):
        spec_in(data)
