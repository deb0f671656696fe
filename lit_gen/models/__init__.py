"""The models, one file a paper. The command line knows a model by being imported here."""

from lit_gen.models.progan import ProGAN

__all__ = ["ProGAN"]
