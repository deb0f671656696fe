"""The command line: `python main.py {fit,validate,test,predict} --config configs/<system>.yaml`."""

import logging
import os
import re
import signal
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import wandb
from jsonargparse import Namespace
from lightning import LightningDataModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

import lit_gen.data  # noqa: F401  so that the short names of data modules resolve
import lit_gen.models  # noqa: F401  likewise those of models
from lit_gen import leftovers
from lit_gen.arguments import check_words, explain
from lit_gen.callbacks.checkpoints import BestCheckpoint, RunCheckpoints, Stopped, WholeCheckpointIO
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.pictures import PredictionWriter, SampleSheets
from lit_gen.callbacks.timing import TrainingTime
from lit_gen.data.files import make_folder, remove_partial
from lit_gen.errors import UserError
from lit_gen.help import answer
from lit_gen.loggers import make_loggers
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.base import GenerativeModule, check_pair
from lit_gen.settings import changes_of_run, check_settings
from lit_gen.trainer import CommandLineTrainer

# The processes that DDP starts run this same command: they are told the folder.
RUN_FOLDER_VARIABLE = "LIT_GEN_RUN_FOLDER"
NO_MEMORY = re.compile("can't allocate memory|Storage size calculation overflowed")


class OneLineParser(LightningArgumentParser):
    """A parser whose errors are one line and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(str(message)) from ex


class SaveSettings(SaveConfigCallback):
    """Writes config.yaml when a training begins, so that a checkpoint that does not fit leaves the run's as it was."""

    def setup(self, trainer: Trainer, model: GenerativeModule, stage: str) -> None:
        if stage != "fit":
            super().setup(trainer, model, stage)

    def on_train_start(self, trainer: Trainer, model: GenerativeModule) -> None:
        super().setup(trainer, model, "fit")


class LitGenCLI(LightningCLI):
    """LightningCLI with one link (data.spec to model.spec), a check of the pair, and a folder for each run."""

    run_folder: Path | None = None

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.add_class_arguments(SampleSheets, "samples", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(RunCheckpoints, "checkpoints", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Evaluation, "evaluation", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Health, "health", instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        check_words(args)
        try:
            super().parse_arguments(parser, args)
        except UserError as error:  # here and not in the parser, which has parsers of its own for models and data
            command = self._subcommand_parsers.get(args[0], parser)
            names = [name.removeprefix("--") for action in command._actions for name in action.option_strings]
            raise UserError(explain(str(error), args, names)) from error

    def _parse_ckpt_path(self) -> None:
        # Lightning would let the checkpoint's settings overrule the command line; here the command line is what counts.
        settings = self.config[self.config.subcommand]
        path = settings.get("ckpt_path")
        if path is None:
            if self.config.subcommand != "fit":
                raise UserError(
                    f"{self.config.subcommand} needs a trained model: give --ckpt_path, for example "
                    "runs/<system>/<run>/checkpoints/last.ckpt."
                )
            return
        if path == "last":
            settings.ckpt_path = str(newest_checkpoint(Path(settings.trainer.default_root_dir) / _system(settings)))
        elif not Path(path).is_file():
            raise UserError(f"there is no checkpoint {path}. Look below runs/<system>/<run>/checkpoints.")

    def before_instantiate_classes(self) -> None:
        settings = self._settings
        predicting = self.subcommand == "predict"
        check_pair(_import(settings.model.class_path), _import(settings.data.class_path), predicting)
        for part in ("model", "data"):
            check_settings(part, settings[part].get("init_args", {}))
        if self.subcommand == "test":
            settings.verbose = False  # in favour of the evaluation's own table
        trainer = settings.trainer
        if trainer.strategy == "auto" and several_processes(trainer.accelerator, trainer.devices, trainer.num_nodes):
            # While D steps, G's parameters take no gradient, and the reverse.
            trainer.strategy = "ddp_find_unused_parameters_true"

    @property
    def _settings(self) -> Namespace:
        return self.config[self.subcommand]

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._settings
        # Before other processes start: an error ends the command here, and long preparations keep nobody waiting.
        if rank_zero_only.rank == 0:
            self.datamodule.prepare_data()
        trainer = settings.trainer
        if not trainer.fast_dev_run:
            leftovers.remember(Path(trainer.default_root_dir) / _system(settings))
            self.run_folder = self._make_run_folder(Path(trainer.default_root_dir) / _system(settings))
            kwargs["default_root_dir"] = str(self.run_folder)
            if trainer.logger in (None, True):
                # The other processes log nothing, and may not yet see the folder; predict has nothing to log.
                first = rank_zero_only.rank == 0 and self.subcommand != "predict"
                kwargs["logger"] = make_loggers(self.run_folder, self.config_for_loggers()) if first else False
        if isinstance(self.model, AdversarialModule):
            if trainer.accumulate_grad_batches < 1:
                raise UserError(
                    f"trainer.accumulate_grad_batches must be 1 or more, not {trainer.accumulate_grad_batches}."
                )
            # Lightning refuses both to models that take their steps themselves.
            self.model.accumulate_grad_batches = trainer.accumulate_grad_batches
            self.model.gradient_clip_val = trainer.gradient_clip_val
            kwargs |= {"accumulate_grad_batches": 1, "gradient_clip_val": None}
        self.run_callbacks = self._callbacks(trainer)
        return super().instantiate_trainer(**kwargs)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list) -> Trainer:
        try:
            trainer = super()._instantiate_trainer(config, [*callbacks, *self.run_callbacks])
        except (ValueError, TypeError) as error:
            raise UserError(f"the Trainer refuses its settings: {error}") from error
        if config["sync_batchnorm"] and trainer.world_size > 1 and isinstance(trainer.accelerator, CPUAccelerator):
            raise UserError("trainer.sync_batchnorm is for GPUs: on CPUs each process has a batch norm of its own.")
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and not one that the user chose
            trainer.strategy.checkpoint_io = WholeCheckpointIO()
        return trainer

    def config_for_loggers(self) -> dict[str, Any]:
        """The resolved settings as plain types."""
        self._dump_config()
        return self.config_dump

    def _callbacks(self, trainer: Namespace) -> list:
        if self.subcommand == "test":
            return [Evaluation(self.run_folder, **self._settings.evaluation.as_dict())]
        if self.subcommand == "validate":
            return [Evaluation()]
        if trainer.fast_dev_run:
            return []
        if self.subcommand == "predict":
            return [PredictionWriter(self.run_folder / "predictions")]
        callbacks = [Evaluation(), SampleSheets(self.run_folder / "samples", **self._settings.samples.as_dict())]
        if isinstance(self.model, AdversarialModule):
            callbacks.append(Health(**self._settings.health.as_dict()))
        if trainer.enable_checkpointing is not False:
            folder = self.run_folder / "checkpoints"
            if self.model.monitor is not None:
                # First, so that last.ckpt knows the best value so far.
                callbacks.append(BestCheckpoint(folder, self.model.monitor))
            callbacks.append(RunCheckpoints(folder, **self._settings.checkpoints.as_dict()))
            callbacks.append(TrainingTime(self.run_folder))
        return callbacks

    def _make_run_folder(self, parent: Path) -> Path:
        """A new folder below `parent`, or that of the run that is being resumed."""
        if RUN_FOLDER_VARIABLE in os.environ:
            return Path(os.environ[RUN_FOLDER_VARIABLE])
        checkpoint = self._settings.get("ckpt_path")
        folder = _folder_of(checkpoint) if checkpoint else None
        if self.subcommand != "fit" or folder is None or not (folder / "config.yaml").is_file():
            folder = parent / time.strftime("%Y%m%d-%H%M%S")
            if rank_zero_only.rank == 0:
                make_folder(parent)
                folder = _new_folder(folder)
        elif rank_zero_only.rank == 0:
            remove_partial(folder)
        os.environ[RUN_FOLDER_VARIABLE] = str(folder)
        return folder

    def before_fit(self) -> None:
        """Prints what is about to run."""
        if rank_zero_only.rank != 0:
            return  # the data may still be in the making on another machine
        trainer, model, data = self.trainer, self.model, self.datamodule
        data.setup(self.subcommand)
        counts = ", ".join(f"{len(dataset)} {split}" for split, dataset in getattr(data, "datasets", {}).items())
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        accelerator = type(trainer.accelerator).__name__.removesuffix("Accelerator")
        lines = {
            "model": f"{type(model).__name__}, {parameters / 1e6:.2f} million trainable parameters",
            "data": f"{type(data).__name__} from {getattr(data, 'source', 'its own place')}",
            "images": f"{'x'.join(str(side) for side in model.image_shape)}, {counts}",
            "devices": f"{trainer.world_size} x {accelerator}, precision {trainer.precision}",
            "run": str(self.run_folder or "none: fast_dev_run writes nothing"),
        }
        changes = self._changes()
        if changes is not None:
            lines["changed"] = ("\n" + " " * 10).join(changes) or "nothing, against the run's config.yaml"
        rank_zero_info("\n".join(f"{name:>8}: {text}" for name, text in lines.items()))

    before_validate = before_test = before_predict = before_fit

    def _changes(self) -> list[str] | None:
        """What differs from the settings of the run that is being resumed; None when there is none."""
        checkpoint = self._settings.get("ckpt_path")
        if self.subcommand != "fit" or not checkpoint:
            return None
        return changes_of_run(_folder_of(checkpoint), self.config_for_loggers())

    def after_fit(self) -> None:
        if self.run_folder:
            rank_zero_info(f"finished: checkpoints, samples and metrics are in {self.run_folder}")


def _folder_of(checkpoint: str) -> Path:
    """<run> of <run>/checkpoints/last.ckpt."""
    return Path(os.path.abspath(checkpoint)).parent.parent


def _new_folder(folder: Path) -> Path:
    """Creates `folder`, or `folder-2` and so on when it is taken."""
    for number in range(1, 10_000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        try:
            candidate.mkdir()
            return candidate
        except FileExistsError:
            continue
        except OSError as error:
            raise UserError(
                f"cannot create the run folder {candidate}: {error.strerror}. Set --trainer.default_root_dir."
            ) from error
    raise UserError(f"too many runs called {folder}.")


def newest_checkpoint(folder: Path) -> Path:
    """The newest `checkpoints/last.ckpt` of the runs below `folder`."""
    found = sorted(folder.glob("*/checkpoints/last.ckpt"), key=lambda path: path.stat().st_mtime)
    if not found:
        raise UserError(
            f"there is no run with a checkpoint below {folder}. Train one with fit first, without --ckpt_path."
        )
    newest = found[-1]
    trained = {checkpoint.parent.parent for checkpoint in found}
    for config in filter(leftovers.is_of_training, sorted(folder.glob("*/config.yaml"))):
        if config.parent not in trained and config.stat().st_mtime > newest.stat().st_mtime:
            rank_zero_info(f"{config.parent} is newer, but has no checkpoint: --ckpt_path=last is {newest}")
    return newest


def several_processes(accelerator: str, devices: Any, num_nodes: int) -> bool:
    """Whether these Trainer arguments mean more than one process."""
    if num_nodes > 1:
        return True
    if isinstance(devices, str) and re.fullmatch(r"-?\d+", devices.strip()):
        devices = int(devices)
    if devices in ("auto", -1):
        return accelerator != "cpu" and torch.cuda.device_count() > 1
    if isinstance(devices, str):
        return len([part for part in devices.split(",") if part.strip()]) > 1
    return devices > 1 if isinstance(devices, int) else len(devices) > 1


def _system(settings: Namespace) -> str:
    return settings.model.class_path.rsplit(".", 1)[-1].lower()


def _import(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    return getattr(sys.modules.get(module) or __import__(module, fromlist=[name]), name)


def _one_line(message: str) -> str:
    return re.sub(r"\s+", " ", message).strip()


def main(args: Sequence[str] | None = None) -> None:
    """Runs the command line.

    Args:
        args: the words after the program's name; those of the process by default.

    Raises:
        SystemExit: with code 2 after one line on standard error, when something is wrong that the user can mend; with
            143 or 130 when SIGTERM or Ctrl-C stopped it.
    """
    args = answer(sys.argv[1:] if args is None else args)
    _quiet()
    told = RUN_FOLDER_VARIABLE in os.environ
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it; nothing changes on a CPU
    try:
        LitGenCLI(
            GenerativeModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_class=CommandLineTrainer,
            trainer_defaults={"default_root_dir": "runs", "max_epochs": 100},
            save_config_callback=SaveSettings,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": "Train, test and use classic generative models."},
            parser_class=OneLineParser,
            args=args,
        )
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {_one_line(str(mistake))}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, Stopped) and end.code:
            print(end.message, file=sys.stderr)
        elif isinstance(end, SIGTERMException):
            raise SystemExit(128 + signal.SIGTERM) from None
        elif isinstance(end, KeyboardInterrupt) or isinstance(end.__context__, KeyboardInterrupt):
            print("stopped by Ctrl-C", file=sys.stderr)
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    finally:
        made = "" if told else os.environ.pop(RUN_FOLDER_VARIABLE, "")
        if wandb.run is not None:
            wandb.finish()
        if made and rank_zero_only.rank == 0:
            leftovers.clear(Path(made))


def _mistake(error: BaseException | None) -> UserError | MisconfigurationException | None:
    """The mistake that `error` is, or was raised from: jsonargparse wraps what constructors raise."""
    while error is not None and not isinstance(error, UserError | MisconfigurationException):
        # The CPU's allocator has no error of its own.
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_MEMORY.search(str(error)):
            return UserError(
                "there is not enough memory. Set --data.batch_size, --data.image_size or the sizes of the networks "
                "lower."
            )
        error = error.__cause__
    return error


def _quiet() -> None:
    """Silences what Lightning says of things that are so on purpose here."""
    for message in (
        ".*does not have many workers.*",  # a batch is one read from a memory map
        ".*Checkpoint directory .* exists and is not empty.*",  # a resumed run
        ".*callbacks used to create the checkpoint need to be provided.*",  # a trained model being used
        ".*The dirpath has changed from.*",
        ".*is not within the signature.*",
        ".*TensorBoard.*",
        ".*tensorboardX.*",
        ".*Starting from v1.9.0.*",
        ".*isinstance.treespec, LeafSpec.*",
        ".*in eval mode at the start of training.*",  # the averaged generator
        ".*LightningCLI's args parameter.*",
    ):
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
