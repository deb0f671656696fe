"""Figures of finished runs: `python -m benchmarks.measure <run folder>`, then `python -m benchmarks.pages`."""
