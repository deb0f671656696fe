"""The command line: `python main.py {fit,validate,test,predict} --config configs/<system>.yaml`."""

import logging
import re
import signal
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
from jsonargparse import Namespace
from lightning import LightningDataModule, Trainer
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.loggers.logger import DummyLogger
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only
from lightning.pytorch.utilities.exceptions import MisconfigurationException, SIGTERMException

import lit_gen.data  # noqa: F401  so that the short names of data modules resolve
import lit_gen.models  # noqa: F401  likewise those of models
from lit_gen import runs, slurm, user_loggers
from lit_gen.arguments import check_words, explain
from lit_gen.callbacks.checkpoints import BestCheckpoint, RunCheckpoints, Stopped, WholeCheckpointIO, last_words
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.foreign import (
    check_callbacks,
    explain_choice,
    explain_error,
    explain_monitor,
    prepare_callbacks,
)
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.predictions import PredictionWriter
from lit_gen.callbacks.rehearsal import Rehearsal
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.callbacks.timing import TrainingTime
from lit_gen.data.base import ImageData
from lit_gen.data.contract import check_pair
from lit_gen.errors import UserError
from lit_gen.help import answer
from lit_gen.lightning_compat import option_names, set_requeue_handler
from lit_gen.loggers import (
    AppendingCSVLogger,
    WandbOptions,
    check_wandb,
    finish_wandb,
    make_loggers,
    wandb_mistake,
)
from lit_gen.models.adversarial import AdversarialModule
from lit_gen.models.base import GenerativeModule
from lit_gen.settings import changes_of_run, check_amounts, check_settings
from lit_gen.trainer import CommandLineTrainer

NO_MEMORY = re.compile("can't allocate memory|Storage size calculation overflowed")


class OneLineParser(LightningArgumentParser):
    """A parser whose errors are one line and exit code 2."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        raise UserError(str(message)) from ex

    def validate(self, namespace: Namespace, *arguments: Any, **options: Any) -> None:
        subcommand = namespace.get("subcommand")  # none when the settings are those of one
        user_loggers.add_missing_folders(namespace[subcommand] if subcommand else namespace)
        super().validate(namespace, *arguments, **options)

    def parse_path(self, path: str, *arguments: Any, **options: Any) -> Namespace:
        settings = super().parse_path(path, *arguments, **options)
        runs.drop_checkpoint(settings, path)
        return settings


class LitGenCLI(LightningCLI):
    """LightningCLI with one link (data.spec to model.spec), a check of the pair, and a folder for each run."""

    run_folder: Path | None = None
    last_words: Sequence[str] = ()  # printed when all others have said what they had to say

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        try:
            super().__init__(*arguments, **settings)
        finally:
            finish_wandb()  # before the last words, or an error's: W&B may have much to say

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data.spec", "model.init_args.spec", apply_on="instantiate")
        parser.add_class_arguments(SampleGrids, "samples", skip={"folder", "all_to_wandb"}, instantiate=False)
        parser.add_class_arguments(RunCheckpoints, "checkpoints", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Evaluation, "evaluation", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Health, "health", instantiate=False)
        parser.add_class_arguments(WandbOptions, "wandb", instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Sequence[str]) -> None:
        check_words(args)
        self._seed_typed = any(str(word).partition("=")[0] == "--seed_everything" for word in args)
        try:
            super().parse_arguments(parser, args)
        except UserError as error:  # here and not in the parser, which has parsers of its own for models and data
            said = str(error)
            raise UserError(explain_choice(said) or explain(said, args, option_names(self, args[0]))) from error

    def _parse_ckpt_path(self) -> None:
        # Lightning would let the checkpoint's settings overrule the command line; here the command line is what counts.
        settings = self.config[self.config.subcommand]
        self._start = settings.get("ckpt_path")  # in the command's words
        if runs.told() is not None:
            settings.ckpt_path = runs.told()[1]
        path = settings.get("ckpt_path")
        if path is None:
            if self.config.subcommand != "fit":
                raise UserError(
                    f"{self.config.subcommand} needs a trained model: give --ckpt_path, for example "
                    "runs/<system>/<run>/checkpoints/last.ckpt."
                )
            return
        if path in ("last", "best"):
            settings.ckpt_path = str(runs.newest_checkpoint(_parent(settings), path))
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
        check_amounts(self.subcommand, trainer.as_dict())
        writes = not trainer.fast_dev_run and not self._only_speed
        if self.subcommand != "predict" and writes:
            check_wandb(self._wandb, trainer.logger)
        if self.subcommand == "fit" and writes and runs.told() is None:
            self._find_run(settings)
        self.parser.add_instantiator(user_loggers.defer, Logger)

    def _find_run(self, settings: Namespace) -> None:
        """Takes the run that this training goes on with, if it is one that was there before."""
        try:
            found = runs.going_on(_parent(settings), settings, self._parser("fit"), self._start)
        except runs.Finished as finished:
            rank_zero_info(str(finished))
            raise SystemExit(0) from None
        if found is not None:
            self.run_folder, settings.ckpt_path = found

    @property
    def _settings(self) -> Namespace:
        return self.config[self.subcommand]

    @property
    def _wandb(self) -> WandbOptions:
        return WandbOptions(**self._settings.wandb.as_dict())

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self._settings
        self._check_additions(settings.trainer)
        if self._seed_typed:  # and not the default, or that of a config.yaml
            self.model.new_run_seed = settings.seed_everything
        # Before other processes start: an error ends the command here, and long preparations keep nobody waiting.
        self.datamodule.predicting = self.subcommand == "predict"
        if rank_zero_only.rank == 0:
            self.datamodule.prepare_data()
            if isinstance(self.datamodule, ImageData):
                self.datamodule.setup(self.subcommand)
                self.datamodule.check_split(self.subcommand)
        trainer = settings.trainer
        told = runs.told()
        if self._only_speed:
            self.save_config_callback = None
        elif not trainer.fast_dev_run:
            if told is not None:
                self.run_folder = told[0]
            elif self.run_folder is None:
                self.run_folder = runs.new_folder(_parent(settings), self.subcommand == "fit", self._start)
            kwargs["default_root_dir"] = str(self.run_folder)
        runs.tell(self.run_folder, settings.get("ckpt_path"))
        if trainer.logger is not False and not trainer.barebones:
            kwargs["logger"] = self._loggers(self.config_init[self.subcommand].trainer.logger)
        if isinstance(self.model, AdversarialModule):
            if trainer.accumulate_grad_batches < 1:
                raise UserError(
                    f"trainer.accumulate_grad_batches must be 1 or more, not {trainer.accumulate_grad_batches}."
                )
            # Lightning refuses both to models that take their steps themselves.
            self.model.accumulate_grad_batches = trainer.accumulate_grad_batches
            self.model.gradient_clip_val = trainer.gradient_clip_val
            kwargs |= {"accumulate_grad_batches": 1, "gradient_clip_val": None}
        several = several_processes(trainer.accelerator, trainer.devices, trainer.num_nodes)
        if trainer.strategy == "auto" and several and not self.model.automatic_optimization:
            # While D steps, G's parameters take no gradient, and the reverse.
            kwargs["strategy"] = "ddp_find_unused_parameters_true"
        kwargs["callbacks"] = prepare_callbacks(self._given_callbacks, self.run_folder)
        self.run_callbacks = self._callbacks(trainer)
        return super().instantiate_trainer(**kwargs)

    def _loggers(self, given: Any) -> Any:
        """What logs: the project's loggers, or `metrics.csv` and what the user has given instead of W&B."""
        if self.run_folder is None:
            return given and True  # for fast_dev_run Lightning has one that does nothing
        first = runs.is_first_process()  # the others log nothing, and may not yet see the folder
        if given not in (None, True):
            own = [AppendingCSVLogger(self.run_folder)] if first and self.subcommand != "predict" else []
            return own + user_loggers.build(given, self.run_folder)
        # No logger at all would be refused by callbacks that need one. To predict there is nothing to log.
        if not first or self.subcommand == "predict":
            return DummyLogger()
        return make_loggers(self.run_folder, self.config_for_loggers(), self._wandb)

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list) -> Trainer:
        try:
            trainer = super()._instantiate_trainer(config, [*callbacks, *self.run_callbacks])
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UserError(f"the Trainer refuses its settings: {error}") from error
        if config["sync_batchnorm"] and trainer.world_size > 1 and isinstance(trainer.accelerator, CPUAccelerator):
            raise UserError("trainer.sync_batchnorm is for GPUs: on CPUs each process has a batch norm of its own.")
        if type(trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # and not one that the user chose
            trainer.strategy.checkpoint_io = WholeCheckpointIO()
        # Lightning's own handler saves a checkpoint in the middle of a step. While a model trains, see RunCheckpoints.
        set_requeue_handler(trainer, _requeue)
        return trainer

    @property
    def _given_callbacks(self) -> list:
        """Those that the user added."""
        given = self.config_init[self.subcommand].trainer.callbacks or []
        return list(given) if isinstance(given, list) else [given]

    def _check_additions(self, trainer: Namespace) -> None:
        """Refuses what cannot work before anything is downloaded or written."""
        if trainer.barebones and self.subcommand in ("validate", "test"):
            raise UserError(
                "in barebones mode nothing is logged, and so nothing measured: leave --trainer.barebones=true out of "
                f"{self.subcommand}."
            )
        logs = trainer.logger not in (False, []) and not trainer.barebones
        check_callbacks(self._given_callbacks, self.model, self.subcommand, logs)

    @property
    def _only_speed(self) -> bool:
        """Whether this is a training in Lightning's barebones mode, which logs and writes nothing."""
        return self.subcommand == "fit" and self._settings.trainer.barebones

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
            return [Rehearsal()] if self.subcommand == "fit" else []
        if self._only_speed:
            return []
        if self.subcommand == "predict":
            return [PredictionWriter(self.run_folder / "predictions")]
        grids = self._settings.samples.as_dict() | {"all_to_wandb": self._wandb.images == "all"}
        callbacks = [Evaluation(), SampleGrids(self.run_folder / "samples", **grids)]
        if isinstance(self.model, AdversarialModule):
            callbacks.append(Health(**self._settings.health.as_dict()))
        if trainer.enable_checkpointing is not False:
            folder = self.run_folder / "checkpoints"
            if self.model.task.monitor is not None:
                # First, so that last.ckpt knows the best value so far.
                callbacks.append(BestCheckpoint(folder, self.model.task.monitor))
            callbacks.append(RunCheckpoints(folder, **self._settings.checkpoints.as_dict()))
            callbacks.append(TrainingTime(self.run_folder))
        return callbacks

    def before_fit(self) -> None:
        """Prints what is about to run."""
        if rank_zero_only.rank != 0:
            return  # the data may still be in the making on another machine
        trainer, model, data = self.trainer, self.model, self.datamodule
        if not isinstance(data, ImageData):  # which is set up already
            data.setup(self.subcommand)
        counts = [f"{len(dataset)} {split}" for split, dataset in getattr(data, "datasets", {}).items()]
        parameters = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
        accelerator = type(trainer.accelerator).__name__.removesuffix("Accelerator")
        lines = {
            "model": f"{type(model).__name__}, {parameters / 1e6:.2f} million trainable parameters",
            "data": f"{type(data).__name__} from {getattr(data, 'source', 'its own place')}",
            "images": ", ".join(["x".join(map(str, model.image_shape)), *counts, *getattr(data, "remarks", [])]),
            "devices": f"{trainer.world_size} x {accelerator}, precision {trainer.precision}",
            "run": str(
                self.run_folder or f"none: {'barebones' if self._only_speed else 'fast_dev_run'} writes nothing"
            ),
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
        folder = runs.run_of(checkpoint)
        return None if folder is None else changes_of_run(folder, self.config_for_loggers())

    def after_fit(self) -> None:
        runs.finish()
        if self.run_folder and rank_zero_only.rank == 0:
            self.last_words = last_words(self.trainer, self.run_folder)

    def after_test(self) -> None:
        if self.run_folder:
            self.last_words = [f"written to {self.run_folder / 'test.json'}"]


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


def _requeue(number: int, frame: Any) -> None:
    """Handles the signal by which SLURM says that the time of the job is running out."""
    rank_zero_info(slurm.requeue())


def _parent(settings: Namespace) -> Path:
    """Where the runs of a system are."""
    return Path(settings.trainer.default_root_dir or ".").expanduser() / _system(settings)


def _system(settings: Namespace) -> str:
    return settings.model.class_path.rsplit(".", 1)[-1].lower()


def _import(class_path: str) -> type:
    module, _, name = class_path.rpartition(".")
    return getattr(sys.modules.get(module) or __import__(module, fromlist=[name]), name)


def _one_line(message: str) -> str:
    return re.sub(r"\s*\n\s*", " ", message).strip()  # but not spaces in a path


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
    told, requeue = runs.told() is not None, False
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it; nothing changes on a CPU
    try:
        cli = LitGenCLI(
            GenerativeModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_class=CommandLineTrainer,
            trainer_defaults={"default_root_dir": "runs", "max_epochs": 100},
            save_config_callback=runs.SaveSettings,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": "Train, test and use classic generative models."},
            parser_class=OneLineParser,
            args=args,
        )
        for line in cli.last_words:
            rank_zero_info(line)
    except Exception as error:
        mistake = _mistake(error)
        if mistake is None:
            raise
        print(f"error: {_one_line(str(mistake))}", file=sys.stderr)
        raise SystemExit(2) from None
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, Stopped) and end.code:
            print(end.message, file=sys.stderr)
            requeue = end.requeue
        elif isinstance(end, SIGTERMException):
            raise SystemExit(128 + signal.SIGTERM) from None
        elif isinstance(end, KeyboardInterrupt) or isinstance(end.__context__, KeyboardInterrupt):
            print("stopped by Ctrl-C", file=sys.stderr)
            raise SystemExit(128 + signal.SIGINT) from None
        raise
    finally:
        runs.end(told)
        if requeue:  # last, since SLURM then kills what is left of the job
            print(slurm.requeue(), file=sys.stderr)


def _mistake(error: BaseException | None) -> UserError | MisconfigurationException | None:
    """The mistake that `error` is, or was raised from: jsonargparse wraps what constructors raise."""
    first = error
    if known := explain_monitor(error):
        return known
    while error is not None and not isinstance(error, UserError | MisconfigurationException):
        # The CPU's allocator has no error of its own.
        if refused := wandb_mistake(error):
            return refused
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or NO_MEMORY.search(str(error)):
            return UserError(
                "there is not enough memory. Set --data.batch_size, --data.image_size or the sizes of the networks "
                "lower."
            )
        error = error.__cause__
    return error or explain_error(first)


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
        ".*is configured. Logging can impact raw speed.*",  # who asks for barebones mode knows
        ".*no pre-optimization state was saved.*",  # a user's ModelCheckpoint of a GAN
        ".*LightningCLI's args parameter.*",
    ):
        warnings.filterwarnings("ignore", message)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(_is_no_tip)


def _is_no_tip(record: logging.LogRecord) -> bool:
    return "Tip:" not in record.getMessage()
