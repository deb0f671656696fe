"""The models, one file a paper. The command line knows a model by being imported here."""

from lit_gen.models.aae import AAE
from lit_gen.models.autoencoder import AutoEncoder
from lit_gen.models.dcgan import DCGAN
from lit_gen.models.gan import GAN
from lit_gen.models.progan import ProGAN
from lit_gen.models.vae import VAE

__all__ = ["AAE", "DCGAN", "GAN", "VAE", "AutoEncoder", "ProGAN"]
