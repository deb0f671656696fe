"""What a training step is made of: seeds, phases, the log of its terms, and the moving average of weights."""
