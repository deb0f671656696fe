"""The networks whose features FID, KID, precision and recall are computed on; their inputs are images of 8 bits."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from lit_gen.data.download import Remote, fetch, set_aside
from lit_gen.data.pixel_values import as_floats
from lit_gen.errors import UserError
from lit_gen.files.checksums import sha256_of
from lit_gen.metrics.digits import NUM_FEATURES, load_digits
from lit_gen.metrics.processes import from_first

FID, KID, PRECISION = "fid", "kid", "precision"
DINOV2 = "dinov2-vit-l-14"


class Network(nn.Module):
    """A network that turns images (B, C, H, W) uint8 into features (B, F)."""

    title: str  # name with a hash of the weights: values of different weights are not comparable
    num_features: int  # F
    kept_as = torch.float32  # type of the features
    measures: tuple[str, ...] = (FID, KID, PRECISION)  # what the features are for; precision comes with recall

    def named(self, name: str) -> str:
        """Return the name of one of these metrics by this network."""
        return f"{name}_{self.title}"


class DigitFeatures(Network):
    """The 128 features of the digit classifier that comes with the project."""

    num_features = NUM_FEATURES

    def __init__(self) -> None:
        super().__init__()
        self.network, self.title = load_digits()

    def named(self, name: str) -> str:
        return f"digit_{name}"

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, 128) of images (B, 1, S, S) uint8."""
        return self.network.features(as_floats(image))

    def shares(self, features: Tensor) -> Tensor:
        """Return the fraction (10,) of images, given their features (B, 128), that are classified as each digit."""
        answer = self.network.answer
        return answer(features.to(answer.weight.device)).argmax(1).bincount(minlength=10) / len(features)


class Weights(NamedTuple):
    """A file of weights that is downloaded to the place where torch-fidelity looks for it too."""

    url: str
    sha256: str

    @property
    def path(self) -> Path:
        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rsplit("/", 1)[-1]

    def ready(self) -> Path:
        """Return the path of the file; download it if it is missing.

        Raises:
            UserError: the file cannot be downloaded, or is another file.
        """
        path = self.path
        if path.is_file() and sha256_of(path) != self.sha256:
            problem = f"{path} is not the file that {self.url} has"
            if not set_aside(path):
                raise UserError(f"{problem}. Delete it, or set --evaluation.features=none.")
            rank_zero_info(f"{problem}; it is now {path.name}.damaged, and is downloaded again")
        try:
            fetch(Remote((self.url,), self.sha256), path)
        except UserError as error:
            raise UserError(f"{error} Put {self.url} at {path}, or set --evaluation.features=none.") from error
        return path


INCEPTION_WEIGHTS = Weights(
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)
VGG16_WEIGHTS = Weights(
    "https://download.pytorch.org/models/vgg16-397923af.pth",
    "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
)


class FidelityFeatures(Network):
    """The features of a torch-fidelity extractor. Inception's resizes images as the published figures' code does."""

    def __init__(self, network: nn.Module, title: str, num_features: int, measures: tuple[str, ...]) -> None:
        super().__init__()
        self.network, self.title, self.num_features, self.measures = network, title, num_features, measures

    def named(self, name: str) -> str:
        """Return the metric's name; the Fréchet distance of DINOv2's features is called FD (arXiv:2306.04675)."""
        return super().named(name.replace("fid", "fd", 1) if self.title == DINOV2 else name)

    def forward(self, image: Tensor) -> Tensor:
        """Return features (B, F) of images (B, C, H, W) uint8; grey images get three equal channels."""
        (features,) = self.network(image.expand(-1, 3, -1, -1).contiguous())
        return features.to(self.kept_as)


def inception() -> FidelityFeatures:
    """Return the network of published FIDs and KIDs (Heusel et al., arXiv:1706.08500), with TensorFlow's weights."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], str(INCEPTION_WEIGHTS.ready()))
    return FidelityFeatures(network, f"inception-{INCEPTION_WEIGHTS.sha256[:8]}", 2048, (FID, KID, PRECISION))


def vgg16() -> FidelityFeatures:
    """Return VGG-16, as of published precision and recall (Kynkäänniemi et al., arXiv:1904.06991), with other weights.

    They are torchvision's; the authors have those of Simonyan & Zisserman. By OpenMMLab's table, StyleGAN2's precision
    on FFHQ is then 0.677 in place of 0.679, and its recall 0.555 in place of 0.493.
    """
    from torch_fidelity.feature_extractor_vgg16 import FeatureExtractorVGG16

    network = FeatureExtractorVGG16("vgg16", ["fc2_relu"], str(VGG16_WEIGHTS.ready()))
    found = FidelityFeatures(network, f"vgg16-{VGG16_WEIGHTS.sha256[:8]}", 4096, (PRECISION,))
    found.kept_as = torch.float16  # as the authors do
    return found


def dinov2() -> FidelityFeatures:
    """Return DINOv2's network, ViT-L/14, of FD-DINOv2 (Stein et al., arXiv:2306.04675), by torch.hub.

    torch-fidelity resizes bilinearly, the authors' code bicubically: their values differ.

    Raises:
        UserError: it cannot be had.
    """
    try:
        from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

        network = FeatureExtractorDinoV2(DINOV2, ["dinov2"])
    except Exception as error:  # torch.hub raises what the network, the disk or the fetched code does
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"torch.hub does not give facebookresearch/dinov2 ({reason}).") from error
    return FidelityFeatures(network, DINOV2, 1024, (FID,))


class Features:
    """The feature networks of `--evaluation.features`, loaded once for all evaluators of a test.

    The published protocol has one network per metric, and for digits the digit classifier beside them.

    Args:
        choice: `auto`, `digits`, `inception`, `dinov2` or `none`, see `lit_gen.callbacks.evaluation.Evaluation`.
        image_shape: C, H, W.
        published: whether the networks are those of the published protocol.

    Raises:
        UserError: `digits` is chosen, but the images are not grey ones of 28 to 32 pixels.
    """

    def __init__(self, choice: str, image_shape: Sequence[int], published: bool = False) -> None:
        channels, *sides = image_shape
        digits = channels == 1 and all(28 <= side <= 32 for side in sides)
        if choice == "digits" and not digits:
            raise UserError(
                f"the digit classifier needs grey images of 28 to 32 pixels, these are "
                f"{'x'.join(map(str, image_shape))}. Set --evaluation.features=inception, or none."
            )
        if choice == "auto":
            choices = ["digits"] * digits + ["inception"] * (published or not digits)
        else:
            choices = [choice] if choice != "none" else []
        self.choices = [*choices, *["vgg16"] * (published and "inception" in choices)]
        self.published = published
        self._networks: list[Network] | None = None

    def load(self, device: torch.device | str) -> list[Network]:
        """Return the networks; a line tells of those that cannot be downloaded.

        All processes must call it together; all return the same networks.
        """
        if self._networks is None:
            self._networks = []
            for choice in self.choices:
                problem = from_first(partial(_problem, choice))
                if problem:
                    names = MEASURED_BY[choice] if self.published else "FID, KID, precision and recall"
                    rank_zero_info(f"warning: {names} are left out: {problem}")
                    continue
                network: Network = LOADERS[choice]()
                if self.published and choice == "inception":
                    network.measures = (FID, KID)
                self._networks.append(network.eval().requires_grad_(False).to(device))
        return self._networks


LOADERS: dict[str, Callable[[], Network]] = {
    "digits": DigitFeatures,
    "inception": inception,
    "vgg16": vgg16,
    "dinov2": dinov2,
}
MEASURED_BY = {"inception": "FID and KID", "vgg16": "precision and recall", "dinov2": "values of FD-DINOv2"}


def _problem(choice: str) -> str | None:
    """Return why a network cannot be had, after downloading what it needs; None if it can."""
    try:
        if choice == "dinov2":
            dinov2()
        elif choice != "digits":
            {"inception": INCEPTION_WEIGHTS, "vgg16": VGG16_WEIGHTS}[choice].ready()
    except UserError as error:
        return str(error)
    return None
