"""Renderers: for each dataset, one that writes the same on-disk format as the public distribution.

Every picture is a function of (seed, index) alone, so that a tree is the same however many processes write it.
"""
