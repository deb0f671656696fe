"""The networks whose features FID, KID, precision and recall are computed on; their inputs are images of 8 bits."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_gen.data.download import Remote, fetch, set_aside
from lit_gen.errors import UserError
from lit_gen.metrics.digits import NUM_FEATURES, load_digits
from lit_gen.metrics.processes import from_first

INCEPTION_SHA256 = "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2"


class DigitFeatures(nn.Module):
    """The 128 features of the digit classifier that comes with the project."""

    num_features = NUM_FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.network, self.title = load_digits()

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, 128) of images (B, 1, S, S) uint8."""
        return self.network.features(image.float() / 127.5 - 1)

    def shares(self, features: Tensor) -> Tensor:
        """Return the fraction (10,) of images, given their features (B, 128), that are classified as each digit."""
        return self.network.answer(features).argmax(1).bincount(minlength=10) / len(features)


class InceptionFeatures(nn.Module):
    """The 2,048 features of the Inception network that published FIDs are computed on.

    Heusel et al. (arXiv:1706.08500). torch-fidelity has TensorFlow's weights and its way to resize to 299 pixels.

    Raises:
        UserError: the weights are missing and cannot be downloaded, or are not the right ones.
    """

    num_features = 2048
    title = f"inception-{INCEPTION_SHA256[:8]}"

    def __init__(self) -> None:
        super().__init__()
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

        weights = inception_weights()
        self.network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(weights))

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, 2048) of images (B, C, H, W) uint8; grey images get three equal channels."""
        (features,) = self.network(image.expand(-1, 3, -1, -1))
        return features


class Features:
    """The feature network of `--evaluation.features`, loaded once for all evaluators of a test.

    Args:
        choice: `auto`, `digits`, `inception` or `none`, see `lit_gen.callbacks.evaluation.Evaluation`.
        image_shape: C, H, W.

    Raises:
        UserError: `digits` is chosen, but the images are not grey ones of 28 to 32 pixels.
    """

    def __init__(self, choice: str, image_shape: Sequence[int]) -> None:
        channels, *sides = image_shape
        digits = channels == 1 and all(28 <= side <= 32 for side in sides)
        if choice == "digits" and not digits:
            raise UserError(
                f"the digit classifier needs grey images of 28 to 32 pixels, these are "
                f"{'x'.join(map(str, image_shape))}. Set --evaluation.features=inception, or none."
            )
        if choice == "auto":
            choice = "digits" if digits else "inception"
        self.choice, self._tried = choice, False
        self._network: DigitFeatures | InceptionFeatures | None = None

    def load(self, device: torch.device | str) -> DigitFeatures | InceptionFeatures | None:
        """Return the network, or None if `none` is chosen or a download fails.

        All processes must call it together; all return a network, or all return None.
        """
        if not self._tried:
            self._tried = True
            problem = from_first(_inception_problem) if self.choice == "inception" else None
            if problem:
                rank_zero_info(f"warning: FID, KID, precision and recall are left out: {problem}")
            elif self.choice != "none":
                network = DigitFeatures() if self.choice == "digits" else InceptionFeatures()
                self._network = network.eval().requires_grad_(False).to(device)
        return self._network


def inception_weights() -> Path:
    """Return the path of the Inception weights, the same as torch-fidelity's; download the file if it is missing.

    Raises:
        UserError: the file cannot be downloaded, or is another file.
    """
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3

    path = Path(torch.hub.get_dir()) / "checkpoints" / URL_INCEPTION_V3.rsplit("/", 1)[-1]
    if path.is_file() and _checksum(path) != INCEPTION_SHA256:
        problem = f"{path} is not the file that {URL_INCEPTION_V3} has"
        if not set_aside(path):
            raise UserError(f"{problem}. Delete it, or set --evaluation.features=none.")
        rank_zero_info(f"{problem}; it is now {path.name}.damaged, and is downloaded again")
    try:
        fetch(Remote((URL_INCEPTION_V3,), INCEPTION_SHA256), path)
    except UserError as error:
        raise UserError(f"{error} Put {URL_INCEPTION_V3} at {path}, or set --evaluation.features=none.") from error
    return path


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _inception_problem() -> str | None:
    try:
        inception_weights()
    except UserError as error:
        return str(error)
    return None
