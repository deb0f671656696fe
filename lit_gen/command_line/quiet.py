"""Silence for what Lightning says of things that are so on purpose here."""

import logging
import warnings

ON_PURPOSE = (
    ".*does not have many workers.*",  # a batch is one read from a memory map
    ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run
    ".*callbacks used to create the checkpoint need to be provided.*",  # a trained model that is used
    ".*The dirpath has changed from.*",
    "Starting from v1.9.0, `tensorboardX` has been removed",  # a user's `logger=True` then is a CSVLogger
    ".*isinstance.treespec, LeafSpec.*",
    ".*in eval mode at the start of training.*",  # the EMA of the generator
    ".*is configured. Logging can impact raw speed.*",  # who asks for barebones mode knows
    ".*no pre-optimization state was saved.*",  # a user's ModelCheckpoint of a GAN
    ".*LightningCLI's args parameter.*",
    ".*is not supported by the model summary.*",  # which only estimates the size
    ".*have overridden `on_after_batch_transfer`.*",  # the model's is for loaders without a data module
    ".*Couldn't infer the batch indices.*",  # batches of `predict` know their sources
)


def be_quiet() -> None:
    """Filter Lightning's warnings and tips."""
    for message in ON_PURPOSE:
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
