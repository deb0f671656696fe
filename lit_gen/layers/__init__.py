"""Layers that several papers use, and a paper's own types of layers."""
