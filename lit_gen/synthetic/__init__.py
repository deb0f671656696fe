"""Renderers: for each dataset, one that writes the same on-disk format as the public distribution.

Every picture is a function of (seed, index) alone, so that a tree is the same however many processes write it.
"""

VERSION = 1  # in the names of the rendered folders: raise it when a renderer draws differently
