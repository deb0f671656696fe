"""Which sample grids leave the machine: W&B gets pictures of the data only where they may be passed on."""

import pytest
import torch
import wandb
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from PIL import Image

import lit_gen.data
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.cli import main
from lit_gen.data import MNIST, CelebA, Horse2Zebra, ImageFolder
from lit_gen.data.base import ImageData
from lit_gen.errors import UserError
from lit_gen.loggers.wandb import ContinuingWandbLogger
from lit_gen.models import AAE, VAE, CycleGAN
from tests.models import tiny

# --------------------------------------------------------------------------------------------------- what a grid shows


def grids_of(model, seed):
    """Grids for images of that seed, with the same sentences, and by the same noise."""
    kind = tiny.kind_for(type(model))
    data, others = tiny.batch(8, 3, kind=kind, seed=seed), tiny.batch(8, 3, kind=kind)
    fields = [getattr(data if name.startswith("image") else others, name) for name in kind._fields]
    torch.manual_seed(0)
    with torch.no_grad():
        return tiny.grids(model, kind(*fields), 8)


@pytest.mark.parametrize(
    "model",
    [pytest.param(lambda kind=kind: tiny.build(kind, channels=3), id=kind.__name__) for kind in tiny.ALL]
    + [pytest.param(lambda: tiny.build(AAE, channels=3, latent_dim=2), id="AAE with codes in the plane")],
)
def test_grids_that_are_said_to_show_no_data_do_not_depend_on_any(model):
    """And those that depend on images are not said to; the others are none that anybody needs to hold back."""
    model = model()
    one, other = grids_of(model, 0), grids_of(model, 1)
    depends = {name for name in one if not torch.equal(one[name], other[name])} - {"codes"}  # points in a plane
    assert depends == {name for name in one if model.task.shows_data(name)}


# ------------------------------------------------------------------------------------------------ what may be passed on


def test_which_data_may_be_passed_on(tmp_path):
    class Own(ImageData):
        pass

    class Derived(MNIST):
        pass

    class Public(ImageData):
        public = True

    shared = [MNIST(tmp_path), Horse2Zebra(tmp_path), Horse2Zebra(tmp_path, "apple2orange"), Public(tmp_path)]
    shared += [lit_gen.data.MNISTCaptions(root=tmp_path)]
    rendered = [kind(root=tmp_path, synthetic=True) for kind in (MNIST, CelebA, Horse2Zebra, Derived)]
    rendered += [Horse2Zebra(tmp_path, "holidays", synthetic=True)]
    rendered += [lit_gen.data.CelebACaptions(root=tmp_path, synthetic=True)]
    kept = [
        CelebA(tmp_path),
        Horse2Zebra(tmp_path, "holidays"),
        ImageFolder(tmp_path),
        Own(tmp_path),
        Derived(tmp_path),
    ]
    kept += [lit_gen.data.CelebACaptions(root=tmp_path)]
    assert all(data.may_be_shared for data in shared + rendered)
    assert not any(data.may_be_shared for data in kept)


# ----------------------------------------------------------------------------------------------------- what loggers get


class Recording(Logger):
    """A logger that is told nothing but images."""

    def __init__(self, **settings):
        self.images, self._log_model = [], settings.get("log_model", False)

    name, version, save_dir = "own", 0, None

    def log_metrics(self, metrics, step=None):
        pass

    def log_hyperparams(self, params, *arguments, **settings):
        pass

    def save(self):
        pass

    def finalize(self, status):
        pass

    def after_save_checkpoint(self, checkpoint_callback):
        pass

    def log_graph(self, model, input_array=None):
        pass


class OwnWandb(Recording, WandbLogger):
    experiment = None

    def log_image(self, key, images, step=None, **settings):
        self.images.append(key)


class RunsWandb(OwnWandb, ContinuingWandbLogger):
    pass


class OwnTensorBoard(Recording, TensorBoardLogger):
    root_dir = log_dir = None

    @property
    def experiment(self):
        return self

    def add_image(self, tag, image, global_step):
        assert image.shape[0] in (1, 3) and 0 <= image.min() <= image.max() <= 1 and global_step == 5
        self.images.append(tag)


def train(tmp_path, loggers, model=VAE, may_be_shared=None, **settings):
    data = tiny.NoiseData(5, kind=tiny.kind_for(model))
    if may_be_shared is not None:
        data.may_be_shared = may_be_shared
    grids = SampleGrids(tmp_path / "samples", count=8, **settings)
    trainer = tiny.trainer(tmp_path, callbacks=[grids], logger=loggers, max_epochs=1)
    trainer.fit(tiny.build(model), datamodule=data)
    return sorted(path.stem.split("-")[0] for path in (tmp_path / "samples").iterdir())


ALL, GENERATED = ["samples/samples", "samples/reconstructions"], ["samples/samples"]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, GENERATED), ({"may_be_shared": False}, GENERATED), ({"may_be_shared": True}, ALL),
        ({"may_be_shared": False, "all_to_wandb": True}, ALL),
    ],
)  # fmt: skip
def test_local_files_and_loggers_get_all(settings, expected, tmp_path, caplog):
    """W&B's loggers, ours or the user's, what may leave the machine; that is said once."""
    loggers = [OwnWandb(), RunsWandb(), OwnTensorBoard()]
    with caplog.at_level("INFO"):
        assert train(tmp_path, loggers, **settings) == ["reconstructions", "samples"]
    assert [logger.images for logger in loggers] == [expected, expected, ALL]
    said = [message for message in caplog.messages if "--wandb.images=all" in message]
    assert len(said) == (expected == GENERATED)
    assert all("reconstructions" in line and str(tmp_path / "samples") in line for line in said)


def test_nothing_is_said_where_w_and_b_has_no_part(tmp_path, caplog):
    with caplog.at_level("INFO"):
        train(tmp_path, [OwnTensorBoard()])
    assert "--wandb.images" not in caplog.text


def test_tensorboards_pictures_that_w_and_b_copies_are_held_back_too(tmp_path, monkeypatch):
    class Run:
        class settings:
            sync_tensorboard = True

    monkeypatch.setattr(wandb, "run", Run)
    board = OwnTensorBoard()
    train(tmp_path, [board])
    assert board.images == GENERATED


def test_checkpoints_that_hold_pictures_are_not_uploaded(tmp_path):
    """CycleGAN's hold its last translations."""
    with pytest.raises(UserError, match="log_model.*--wandb.images=all"):
        train(tmp_path, [OwnWandb(log_model="all")], CycleGAN)
    train(tmp_path, [OwnWandb(log_model="all")], CycleGAN, all_to_wandb=True)
    train(tmp_path, [OwnWandb(log_model="all")], CycleGAN, may_be_shared=True)
    train(tmp_path, [OwnWandb(log_model="all")], VAE)


# ----------------------------------------------------------------------------------------------------- the command line


@pytest.fixture
def own_pictures(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    for number in range(12):
        Image.new("RGB", (16, 16), (number * 20,) * 3).save(folder / f"{number}.png")
    return ["--data=ImageFolder", f"--data.root={folder}", "--data.val_fraction=0.3"]


def offline_pictures(data, tmp_path, *words):
    """The sample grids in the run's folder, and those in W&B's offline log, which `wandb sync` would upload."""
    main(["fit", *data, "--data.batch_size=4", "--data.image_size=16", "--model=VAE",
          "--model.encoder.hidden_sizes=[8]", "--trainer.max_epochs=1",
          "--trainer.limit_train_batches=1", "--trainer.limit_val_batches=1",
          f"--trainer.default_root_dir={tmp_path}/runs", *words])  # fmt: skip
    (run,) = (tmp_path / "runs").glob("vae/*")
    logged = tmp_path.rglob("offline-run-*/files/media/images/samples/*.png")
    return [
        sorted(path.name.split(separator)[0] for path in paths)
        for separator, paths in (("-", (run / "samples").iterdir()), ("_", logged))
    ]


def test_pictures_of_ones_own_stay(own_pictures, tmp_path):
    assert offline_pictures(own_pictures, tmp_path) == [["reconstructions", "samples"], ["samples"]]


def test_pictures_of_ones_own_go_where_they_are_told_to(own_pictures, tmp_path):
    both = ["reconstructions", "samples"]
    assert offline_pictures(own_pictures, tmp_path, "--wandb.images=all") == [both, both]


def test_pictures_of_ones_own_stay_from_a_logger_of_ones_own(own_pictures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = [
        "--trainer.logger=WandbLogger",
        f"--trainer.logger.save_dir={tmp_path}/own-log",
        "--trainer.logger.offline=true",
    ]
    assert offline_pictures(own_pictures, tmp_path, *own)[1] == ["samples"]


def test_faces_of_celeba_stay(celeba_root, tmp_path):
    data = ["--data=CelebA", f"--data.root={celeba_root}", "--data.download=false"]
    assert offline_pictures(data, tmp_path)[1] == ["samples"]


def test_rendered_faces_go(rendered, tmp_path):
    data = ["--data=CelebA", f"--data.root={rendered}", "--data.synthetic=true", "--data.synthetic_count=100"]
    assert offline_pictures(data, tmp_path)[1] == ["reconstructions", "samples"]
