"""The parts of a training step: seeds, optimizer steps, CUDA graphs, the log of its terms, and the EMA of weights.

Also what several processes exchange, the start of an output's bias, and CycleGAN's history of fakes.
"""
