"""The parts of a training step: seeds, optimizer steps, the log of its terms, and the EMA of weights."""
