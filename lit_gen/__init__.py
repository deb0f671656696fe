"""lit_gen: the classic generative models as LightningModules."""

__version__ = "0.1.0"
