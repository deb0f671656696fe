"""Files: written complete or not at all, arrays on disk, checksums, locks, MNIST's IDX format.

Also work on many files in several processes.
"""
