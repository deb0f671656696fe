"""Layers that more than one paper uses, or that are a paper's own layer type."""
