"""The models, one file per paper. The command line knows a model by being imported here."""

from lit_gen.models.aae import AAE
from lit_gen.models.aae_semi_supervised import SemiSupervisedAAE
from lit_gen.models.autoencoder import AutoEncoder
from lit_gen.models.cyclegan import CycleGAN
from lit_gen.models.dcgan import DCGAN
from lit_gen.models.gan import GAN
from lit_gen.models.infogan import InfoGAN
from lit_gen.models.progan import ProGAN
from lit_gen.models.puzzle_gan import PuzzleGAN
from lit_gen.models.stargan import StarGAN
from lit_gen.models.text2image import Text2Image
from lit_gen.models.vae import VAE

__all__ = [
    "AAE",
    "DCGAN",
    "GAN",
    "VAE",
    "AutoEncoder",
    "CycleGAN",
    "InfoGAN",
    "ProGAN",
    "PuzzleGAN",
    "SemiSupervisedAAE",
    "StarGAN",
    "Text2Image",
]
