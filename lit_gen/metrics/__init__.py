"""Metrics of generated images, latents and likelihoods, independent of the model."""
