"""What metrics mean, stated once: what is measured, which direction is better, the unit, and the papers' values.

The table of `test`, `test.json`, the report of a run and the pages of docs/ read it here.
"""

import re
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Any, NamedTuple


class Meaning(NamedTuple):
    """What a metric is.

    words: in a few words.
    direction: `↑` or `↓`, where more or less of it is better; otherwise empty.
    unit: the unit, or the ideal value; empty for a number without one.
    """

    words: str = ""
    direction: str = ""
    unit: str = ""


class Paper(NamedTuple):
    """A published value.

    value: as the source prints it, in the unit of this project's metric.
    of: the data and the setting that it was measured on.
    source: paper and table, or whose measurement it is.
    """

    value: str
    of: str
    source: str


NATS, ERROR = "nats per image", "per image, pixels in [0, 1]"
PIXELS, MEAN = "pixels in [-1, 1]", "mean absolute, pixels in [-1, 1]"
MEANINGS = [
    # systems (all, where there is none), pattern of the metric, its meaning; the first that fits counts
    ("VAE", "reconstruction", "-log p(x|z)", "↓", NATS),
    ("VAE", "kl", "KL of posterior and prior", "", NATS),
    ("VAE", "loss", "negative ELBO, its KL times beta", "↓", NATS),
    ("VAE", "bound", "negative K-sample bound", "↓", NATS),
    ("AutoEncoder", "loss", "squared error", "↓", ERROR),
    ("AutoEncoder AAE", "reconstruction", "squared error", "↓", ERROR),
    ("SemiSupervisedAAE", "reconstruction", "half the squared error", "↓", ERROR),
    ("StarGAN", "reconstruction", "L1 there and back", "↓", PIXELS),
    ("StarGAN", "classification", "cross-entropy of the target attributes, by D", "↓", NATS),
    ("StarGAN", "translation", "reconstruction and classification, weighted", "↓", ""),
    ("Text2Image", "d_embedding", "ranking loss of images and sentences", "↓", ""),
    ("SemiSupervisedAAE", "classification", "cross-entropy of the known labels, weighted", "↓", "nats"),
    ("SemiSupervisedAAE", "encoder_*", "the encoder's term against a discriminator, weighted", "", "nats"),
    ("SemiSupervisedAAE", "d_*", "a discriminator's term", "", "nats"),
    ("", "nll", "NLL", "↓", NATS),
    ("", "elbo", "ELBO", "↑", NATS),
    ("", "active_units", "active units", "↑", ""),
    ("", "mig*", "MIG, training images", "↑", ""),
    ("", "dci_*", "DCI, training images", "↑", ""),
    ("", "mmd_training_ratio", "mismatch ratio, training images", "↓", "1 = ideal"),
    ("", "mmd_ratio", "mismatch ratio, test images", "↓", "1 = ideal"),
    ("", "mmd_*codes", "MMD of latents and prior", "↓", ""),
    ("", "mmd_*prior", "MMD of two sets of draws from the prior", "", ""),
    ("", "penalized_reconstruction", "squared error, times the mismatch ratio above 1", "↓", ERROR),
    ("", "classification_error", "classification error", "↓", "fraction"),
    ("", "parzen_log_likelihood", "Parzen log-likelihood", "↑", NATS),
    ("", "parzen_error", "standard error of the Parzen log-likelihood", "", NATS),
    ("", "parzen_sigma", "deviation of the Parzen windows", "", "pixels in [0, 1]"),
    ("", "mixture_digit_fid", "digit-FID of draws of a mixture fitted to the codes", "↓", ""),
    ("", "*digit_fid_real", "digit-FID of two halves of the real images", "", ""),
    ("", "*fid_real*", "FID of two halves of the real images", "", ""),
    ("", "*digit_fid*_infinity*", "digit-FID, extrapolated to infinitely many images", "↓", ""),
    ("", "*fid*_infinity*", "FID, extrapolated to infinitely many images", "↓", ""),
    ("", "*fid_digits*", "digit-FID", "↓", ""),
    ("", "digit_fid*", "digit-FID", "↓", ""),
    ("", "*fid*", "FID", "↓", ""),
    ("", "*fd_real*dinov2*", "FD of two halves of the real images", "", ""),
    ("", "*fd*dinov2*", "FD on the features of DINOv2", "↓", ""),
    ("", "*kid*_deviation*", "deviation of KID over subsets", "", ""),
    ("", "*kid*", "KID", "↓", ""),
    ("", "*swd*_real_*", "sliced Wasserstein distance of two sets of real images", "", "× 1,000"),
    ("", "*swd*_mean", "sliced Wasserstein distance", "↓", "× 1,000, mean over levels"),
    ("", "*swd*", "sliced Wasserstein distance at one level", "↓", "× 1,000"),
    ("", "sliced_wasserstein", "sliced Wasserstein distance", "↓", "× 1,000, mean over levels"),
    ("", "ms_ssim_*_scales_real", "MS-SSIM of real images, mirrored borders", "", ""),  # of older versions
    ("", "ms_ssim_*_scales", "MS-SSIM, mirrored borders", "", "ideal: that of real images"),
    ("", "*ms_ssim*real*", "MS-SSIM of real images", "", ""),
    ("", "*ms_ssim*", "MS-SSIM", "", "ideal: that of real images"),
    ("", "*least_digit*", "frequency of the rarest digit", "↑", "1 = as often as real"),
    ("", "*most_digit*", "frequency of the most frequent digit", "↓", "1 = as often as real"),
    ("", "category_accuracy", "category accuracy after matching", "↑", "fraction"),
    ("", "information_categorical", "MI bound of the categorical codes", "↑", "nats"),
    ("", "information_*", "MI bound of the continuous codes", "↑", "nats"),
    ("", "*judge_*", "accuracy of the classifier on real images, the ceiling", "", "fraction"),
    ("", "held_out_stated", "stated attributes shown, held-out combinations", "↑", "fraction"),
    ("", "held_out_all_stated", "all stated attributes shown, held-out combinations", "↑", "fraction"),
    ("", "test_stated", "stated attributes shown, test captions", "↑", "fraction"),
    ("", "test_all_stated", "all stated attributes shown, test captions", "↑", "fraction"),
    ("", "own_matching*", "contradicting captions below the right one, by the model's encoders", "↑", "fraction"),
    ("", "retrieval", "wrong images of a sentence below its own, by the model's encoders", "↑", "fraction"),
    ("", "effect_error_ratio*", "relative error of an attribute's effect", "↓", "1 = no effect"),
    ("", "effect_outside*", "effect outside the region of the change", "↓", MEAN),
    ("", "mask_iou", "mask IoU", "↑", "fraction"),
    ("", "patch_l1", "L1 inside the patches", "↓", PIXELS),
    ("", "cycle_?", "L1 there and back", "↓", PIXELS),
    ("", "*_taken_for_target", "assigned to the target domain", "↑", "fraction"),
    ("", "*_change_outside", "change outside the animal", "↓", MEAN),
    ("", "inside_error_ratio*", "relative error inside the region of the change", "↓", "1 = unchanged input"),
    ("", "*identity_error*", "error of the unchanged input", "", MEAN),
    ("", "inside_error*", "error inside the region of the change", "↓", MEAN),
    ("", "outside_error*", "change outside the region of the change", "↓", MEAN),
    ("", "*_error_ratio", "relative error to the true counterpart", "↓", "1 = unchanged input"),
    ("", "?_to_?_error", "error to the true counterpart", "↓", MEAN),
    ("", "changed_Young", "changed age recognized", "↑", "fraction"),
    ("", "changed*", "changed attribute recognized", "↑", "fraction"),
    ("", "kept*", "the model's other attributes unchanged", "↑", "fraction"),
    ("", "identity_kept*", "nearest to the true image of the same face", "↑", "fraction"),
    ("", "*precision*", "precision", "↑", "fraction"),
    ("", "*recall*", "recall", "↑", "fraction"),
    ("", "d_logit_*", "D's mean logit", "", ""),
    ("", "d_*score_*", "D's mean score", "", ""),
]

BURDAS_NETWORK = "real MNIST, binary, one layer of 50 latent units, K = 1 (with K = 50: 84.78 nats, 25 active units)"
BURDA = "Burda et al. 2015, arXiv:1509.00519, table 1"
MAKHZANI = "Makhzani et al. 2015, arXiv:1511.05644"
CHEN = "Chen et al. 2016, arXiv:1606.03657, section 7"
KARRAS = "Karras et al. 2018, arXiv:1710.10196, table 1"
MMGENERATION = "OpenMMLab's mmgeneration; the paper has none"
PAPERS = [
    # system, pattern of the metric, data module, value, what it was measured on, source
    ("AutoEncoder", "reconstruction", "MNIST", "3.00", "real MNIST, latent of 30",
     "Hinton & Salakhutdinov 2006, doi:10.1126/science.1127647, figure 2"),
    ("VAE", "nll", "MNIST", "86.76", BURDAS_NETWORK, BURDA),
    ("VAE", "active_units", "MNIST", "19", BURDAS_NETWORK, BURDA),
    ("AAE", "parzen_log_likelihood", "MNIST", "340 ± 2", "real MNIST, 10,000 samples", f"{MAKHZANI}, table 1"),
    ("SemiSupervisedAAE", "classification_error", "MNIST", "0.0190 ± 0.0010", "real MNIST, 100 labels",
     f"{MAKHZANI}, table 2"),
    ("SemiSupervisedAAE", "classification_error", "MNIST", "0.0160 ± 0.0008", "real MNIST, 1,000 labels",
     f"{MAKHZANI}, table 2"),
    ("SemiSupervisedAAE", "classification_error", "MNIST", "0.0085 ± 0.0002", "real MNIST, all labels",
     f"{MAKHZANI}, table 2"),
    ("GAN", "parzen_log_likelihood", "MNIST", "225 ± 2", "real MNIST, 10,000 samples",
     "Goodfellow et al. 2014, arXiv:1406.2661, table 1"),
    ("DCGAN", "ms_ssim", "CelebA", "0.2899", "real CelebA, 64 px of a crop of 128", MMGENERATION),
    ("InfoGAN", "category_accuracy", "MNIST", "about 0.95", "real MNIST", CHEN),
    ("InfoGAN", "information_categorical", "MNIST", "2.30", "real MNIST, one code of ten categories", CHEN),
    ("ProGAN", "swd16384_mean", "CelebA", "2.96", "real CelebA, 128 px, 16,384 images", KARRAS),
    ("ProGAN", "ms_ssim", "CelebA", "0.2828", "real CelebA, 128 px", KARRAS),
    ("CycleGAN", "a_to_b_fid*inception*", "Horse2Zebra", "62.1",
     "real horse2zebra, 256 px, 140 test zebras, with identity terms (77.2 without)", MMGENERATION),
    ("CycleGAN", "b_to_a_fid*inception*", "Horse2Zebra", "138.6",
     "real horse2zebra, 256 px, 120 test horses, with identity terms (137.1 without)", MMGENERATION),
]  # fmt: skip


def meaning(name: str, systems: Collection[str] = ()) -> Meaning:
    """Return what a metric means; nothing in particular for one that is not known.

    Args:
        name: with or without `test/` or `val/` before it.
        systems: name of the model's class, and of those that it is derived from; see `names`.
    """
    name = name.rpartition("/")[2]
    for of, pattern, *means in MEANINGS:
        if (not of or set(of.split()) & set(systems)) and fnmatchcase(name, pattern):
            return Meaning(*means)
    return Meaning()


def paper_value(name: str, systems: Collection[str], data: Collection[str]) -> Paper | None:
    """Return the published value of a system's metric on a dataset, if there is one; `of` says how far it compares.

    Where there are several, it is the first, and `of` has the others.

    Args:
        name: of the metric, as for `meaning`.
        systems: as for `meaning`.
        data: name of the data module's class, and of those that it is derived from.
    """
    name = name.rpartition("/")[2]
    if re.search("_(real|infinity|deviation)", name):  # which no paper has
        return None
    found = [
        Paper(*paper)
        for system, pattern, module, *paper in PAPERS
        if system in systems and module in data and fnmatchcase(name, pattern)
    ]
    others = "".join(f"; {other.value} on {other.of}" for other in found[1:])
    return found[0]._replace(of=found[0].of + others) if found else None


def names(thing: Any) -> list[str]:
    """Return the names of an object's class and of those that it is derived from."""
    return [kind.__name__ for kind in type(thing).__mro__]
