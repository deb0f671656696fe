"""The data modules. The command line offers every class that is imported here."""

from lit_gen.data.celeba import CelebA
from lit_gen.data.celeba_captions import CelebACaptions
from lit_gen.data.horse2zebra import Horse2Zebra
from lit_gen.data.image_folder import ImageFolder
from lit_gen.data.image_table import ImageTable
from lit_gen.data.mnist import MNIST
from lit_gen.data.mnist_captions import MNISTCaptions
from lit_gen.data.unpaired_folders import UnpairedFolders
from lit_gen.files.parallel import PRELOAD

__all__ = [
    "MNIST",
    "CelebA",
    "CelebACaptions",
    "Horse2Zebra",
    "ImageFolder",
    "ImageTable",
    "MNISTCaptions",
    "UnpairedFolders",
]

PRELOAD.append(__name__)  # worker processes share the import of torch
