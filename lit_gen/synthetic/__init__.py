"""Rendered data: the project's own drawings and sentences in place of datasets.

Each renderer writes the files of the public dataset that it stands for. An image is a function of (seed, index) alone,
so that the files do not depend on the number of processes that write them.
"""

VERSION = 1  # part of the rendered folders' names: raise it when a renderer draws differently
