"""The data modules. The command line knows one by being imported here."""

from lit_gen.data.celeba import CelebA
from lit_gen.data.horse2zebra import Horse2Zebra
from lit_gen.data.image_folder import ImageFolder
from lit_gen.data.mnist import MNIST

__all__ = ["MNIST", "CelebA", "Horse2Zebra", "ImageFolder"]
