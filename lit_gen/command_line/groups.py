"""The settings that this project adds to Lightning's, in a group for each part of a run."""

from lightning.pytorch.cli import LightningArgumentParser

from lit_gen.callbacks.checkpoints import RunCheckpoints
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.loggers.of_run import LogOptions
from lit_gen.loggers.wandb import WandbOptions
from lit_gen.runs.names import RunOptions
from lit_gen.training.graphs import SpeedOptions


def add_groups(parser: LightningArgumentParser) -> None:
    """Add the groups to a command's parser, one call each: the short help reads these calls."""
    parser.add_class_arguments(SampleGrids, "samples", skip={"folder", "all_to_wandb"}, instantiate=False)
    parser.add_class_arguments(RunCheckpoints, "checkpoints", skip={"folder"}, instantiate=False)
    parser.add_class_arguments(Evaluation, "evaluation", skip={"folder"}, instantiate=False)
    parser.add_class_arguments(Health, "health", instantiate=False)
    parser.add_class_arguments(WandbOptions, "wandb", instantiate=False)
    parser.add_class_arguments(SpeedOptions, "speed", instantiate=False)
    parser.add_class_arguments(RunOptions, None, instantiate=False)
    parser.add_class_arguments(LogOptions, None, instantiate=False)
