"""Files: written complete or not at all, MNIST's IDX format, and work on many of them in several processes."""
