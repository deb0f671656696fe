"""Files: written complete or not at all, the IDX format, and work on many files in several processes."""
