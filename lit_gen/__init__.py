"""lit_gen: the classic generative models as LightningModules."""
