"""The loggers of a run: `metrics.csv`, Weights & Biases, and those that a user chooses instead of W&B."""
