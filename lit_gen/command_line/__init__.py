"""The words of a command: the short help, the check of config files and settings, and each mistake in one line.

`lit_gen/cli.py` puts it together. This file imports nothing, for the short help must not wait for torch.
"""
