"""Callbacks: checkpoints, sample grids, evaluation, predictions, health, bar, time, report; checks of a user's own."""
