"""The command line: `python main.py {fit,test,predict,export,prepare,check, ...} --config configs/<system>.yaml`."""

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning import LightningDataModule, Trainer
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_info

import lit_gen.data  # noqa: F401  so that the short names of data modules resolve
import lit_gen.models  # noqa: F401  likewise those of models
from lit_gen.callbacks.checkpoints import RunCheckpoints, last_words
from lit_gen.callbacks.dry_run import DryRun
from lit_gen.callbacks.evaluation import Evaluation
from lit_gen.callbacks.health import Health
from lit_gen.callbacks.of_run import callbacks_of_run
from lit_gen.callbacks.of_user import check_callbacks, prepare_callbacks
from lit_gen.callbacks.predictions import Command, PredictionWriter
from lit_gen.callbacks.sample_grids import SampleGrids
from lit_gen.command_line.asked import complete, prepare_pictures
from lit_gen.command_line.check import check
from lit_gen.command_line.config_files import with_shipped_configs
from lit_gen.command_line.data_of_run import prepare_data
from lit_gen.command_line.endings import one_line_endings
from lit_gen.command_line.export import export
from lit_gen.command_line.help import answer
from lit_gen.command_line.line_of_run import line_of_run
from lit_gen.command_line.new import new
from lit_gen.command_line.parser import OneLineParser
from lit_gen.command_line.paths import check_path, with_home
from lit_gen.command_line.prepare import prepare
from lit_gen.command_line.quiet import be_quiet
from lit_gen.command_line.refusals import explain
from lit_gen.command_line.runs import runs
from lit_gen.command_line.seeds import SEEDS, check_seed, train_seeds
from lit_gen.command_line.sources import PARTS, options_of_predict
from lit_gen.command_line.summary import summary
from lit_gen.command_line.trainer import CommandLineTrainer, arguments_for, check_amounts, check_devices
from lit_gen.command_line.words import check_order, check_words, first_config, options_of
from lit_gen.data.base import ImageData
from lit_gen.data.contract import check_pair, spec_in
from lit_gen.errors import UserError
from lit_gen.lightning_compat import let_unfinished_profilers_end, option_names, rank
from lit_gen.loggers.of_run import LogOptions, check_loggers, loggers_of_run
from lit_gen.loggers.of_user import defer
from lit_gen.loggers.wandb import WandbOptions, finish_wandb
from lit_gen.models.base import GenerativeModule
from lit_gen.runs import folders, locks, processes
from lit_gen.runs.changes import Change, changes_of_run
from lit_gen.runs.checkpoint_files import check_weights_only, heed_no_unsafe_loading
from lit_gen.runs.commands import line_of
from lit_gen.runs.names import ROOT, RunOptions, check_name, system_of
from lit_gen.runs.settings import SaveSettings, read_settings
from lit_gen.tasks.pictures import base_seed, switch
from lit_gen.training.graphs import SpeedOptions

DRY_RUN = "--dry_run"


class LitGenCLI(LightningCLI):
    """LightningCLI with one link (data.spec to model.spec), a check of the pair, and a folder for each run."""

    subcommand: str
    run_folder: Path | None = None
    dry_run = False
    last_words: Sequence[str] = ()  # printed after all others

    def __init__(self, model: type, data: type, args: Sequence[str], **settings: Any) -> None:
        every = self.subcommands()
        if args[0] in every:  # to declare the settings of the others too takes half a second
            self.subcommands = partial(dict, {args[0]: every[args[0]]})  # type: ignore[method-assign]
        try:
            super().__init__(model, data, args=list(args), **settings)
        finally:
            finish_wandb()  # before the last words, or an error's: W&B may have much to say

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.link_arguments("data", "model.init_args.spec", spec_in, apply_on="instantiate")
        parser.add_class_arguments(SampleGrids, "samples", skip={"folder", "all_to_wandb"}, instantiate=False)
        parser.add_class_arguments(RunCheckpoints, "checkpoints", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Evaluation, "evaluation", skip={"folder"}, instantiate=False)
        parser.add_class_arguments(Health, "health", instantiate=False)
        parser.add_class_arguments(WandbOptions, "wandb", instantiate=False)
        parser.add_class_arguments(SpeedOptions, "speed", instantiate=False)
        parser.add_class_arguments(RunOptions, None, instantiate=False)
        parser.add_class_arguments(LogOptions, None, instantiate=False)

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.dry_run = args[0] == "fit" and DRY_RUN in args
        args = [word for word in args if not (self.dry_run and word == DRY_RUN)]
        self.words = args
        check_order(args)
        self.asked, args = complete(args)
        check_words(args)
        self.seed_typed = any(option.name == "seed_everything" for option in options_of(args))
        self.base_config = first_config(args)
        try:
            super().parse_arguments(parser, args)
        except UserError as error:  # here and not in the parser, which has parsers of its own for models and data
            known = [*option_names(self, args[0]), *(options_of_predict() if args[0] == "predict" else ())]
            raise UserError(explain(str(error), args, known)) from error
        if self.dry_run:
            self.settings.trainer.update(Namespace(DryRun.trainer_settings))
            self.save_config_callback = None
        check_seed("seed_everything", self.settings.seed_everything)
        check_path("ckpt_path", self.settings.get("ckpt_path"))
        check_path("trainer.default_root_dir", self.settings.trainer.default_root_dir)
        check_path("output", self.asked.options.get("output"))
        check_weights_only(self.settings.get("weights_only"))
        # In the command's words. Out of Lightning's sight: it would let the checkpoint's settings overrule these.
        self.start = self.settings.get("ckpt_path")
        if self.start is not None:
            self.settings.ckpt_path = None

    @property
    def settings(self) -> Namespace:
        """The command's settings."""
        return self.config[self.config.subcommand]

    # Before anything is built

    def before_instantiate_classes(self) -> None:
        settings, command = self.settings, self.subcommand
        settings.system = system_of(settings.system, self.base_config, settings.model.class_path)
        check_name("name", settings.name)
        check_name("system", settings.system)
        told = processes.told()
        named = self.start if told is None else told[1]
        if (found := folders.find_checkpoint(named, self.parent_of_runs, command)) is not None:
            settings.ckpt_path = found
        self.makes_pictures = command == "predict" and prepare_pictures(settings, self.asked)
        model_class, data_class = (resolve_name(settings[part].class_path) for part in PARTS)
        check_pair(model_class, data_class, command == "predict")
        check_amounts(command, settings)
        check_devices(settings.trainer)
        if command == "test":
            settings.verbose = False  # in favour of the evaluation's own table
        if self.writes:
            check_loggers(settings.logger, settings.trainer.logger, self.wandb_options, command, self.training)
        if command == "fit" and told is None:
            if self.writes:
                self.find_run()
            else:
                folders.check_epochs(settings.get("ckpt_path"), settings.trainer.as_dict())
        self.parser.add_instantiator(defer, Logger)
        self.parser.add_instantiator(self.fitting_data, LightningDataModule)
        let_unfinished_profilers_end()

    def fitting_data(self, kind: type, *arguments: Any, **settings: Any) -> LightningDataModule:
        """Return the data module, if the model can read its batches: of some data, only an object knows their type."""
        data = kind(*arguments, **settings)
        check_pair(resolve_name(self.settings.model.class_path), data, self.subcommand == "predict")
        return data

    @property
    def parent_of_runs(self) -> Path:
        return folders.parent_of_runs(self.settings.trainer.default_root_dir, self.settings.system)

    @property
    def training(self) -> Path | None:
        """The folder of the training that the command goes on with or uses."""
        checkpoint = self.settings.get("ckpt_path")
        return folders.run_of(checkpoint) if checkpoint else None

    @property
    def wandb_options(self) -> WandbOptions:
        return WandbOptions(**self.settings.wandb.as_dict())

    @property
    def writes(self) -> bool:
        """Whether the command writes anything: a training in barebones mode does not."""
        trainer = self.settings.trainer
        return not (trainer.fast_dev_run or self.dry_run or (trainer.barebones and self.subcommand == "fit"))

    def saved_settings(self) -> dict[str, Any]:
        """Return the settings as config.yaml will hold them."""
        return yaml.safe_load(self.parser.dump(self.config, skip_none=False))[self.subcommand]

    def find_run(self) -> None:
        """Take the run that this training goes on with, if there is one."""
        try:
            checkpoint = self.settings.get("ckpt_path")
            name = self.settings.name
            found = folders.going_on(self.parent_of_runs, self.saved_settings, checkpoint, self.start, name)
        except folders.FinishedError as finished:
            rank_zero_info(str(finished))
            raise SystemExit(0) from None
        if found is not None:
            self.run_folder, self.settings.ckpt_path = found

    # The Trainer

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings = self.settings.trainer
        check_callbacks(self.given_callbacks, self.model, self.subcommand, settings)
        if self.seed_typed:  # and not the default, or that of a config.yaml
            self.model.new_run_seed = self.settings.seed_everything
        self.model.graphs_when = self.settings.speed.graphs
        prepare_data(self.datamodule, self.subcommand, self.settings, self.config_dump)
        if self.makes_pictures:
            self.datamodule.plan = self.model.task.plan(self.model, self.asked.options)
        if self.writes and "output" in self.asked.options:  # which has a manifest
            self.save_config_callback = None
        elif self.writes:
            kwargs["default_root_dir"] = str(self.make_run_folder())
        elif settings.barebones:
            self.save_config_callback = None
        processes.tell(self.run_folder, self.settings.get("ckpt_path"))
        if settings.logger is not False and not settings.barebones:
            given = self.config_init[self.subcommand].trainer.logger
            folder = self.run_folder or (self.training if self.writes else None)  # None for `predict --output`
            own = self.wandb_options, self.settings.logger, self.training
            kwargs["logger"] = loggers_of_run(given, folder, self.subcommand, self.config_dump, *own)
        kwargs |= arguments_for(self.model, settings)
        if self.dry_run:
            kwargs["callbacks"] = [DryRun()]
        else:
            given = prepare_callbacks(self.given_callbacks, self.run_folder, self.model)
            writer, line = self.prediction_writer(), None
            if self.run_folder is not None and rank() == 0:
                line = line_of_run(self.parser, self.words, self.settings, self.base_config, self.saved_settings)
            brought = callbacks_of_run(self.subcommand, self.settings, self.model, self.run_folder, given, writer, line)
            kwargs["callbacks"] = given + brought
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UserError(f"the Trainer refuses its settings: {error}") from error

    def prediction_writer(self) -> PredictionWriter | None:
        if self.subcommand != "predict" or not self.writes:
            return None
        options = self.asked.options
        folder = Path(options["output"]) if "output" in options else (self.run_folder or Path()) / "predictions"
        command = Command(line_of(self.words), options, base_seed(options), self.settings.ckpt_path)
        return PredictionWriter(folder, command, switch(options, "overwrite"), self.wandb_options.images == "all")

    @property
    def given_callbacks(self) -> list:
        """The callbacks that the user added."""
        given = self.config_init[self.subcommand].trainer.callbacks or []
        return list(given) if isinstance(given, list) else [given]

    def make_run_folder(self) -> Path | None:
        if (told := processes.told()) is not None:
            self.run_folder = told[0]
        elif self.run_folder is None:
            training, name = self.subcommand == "fit", self.settings.name
            self.run_folder = folders.new_folder(self.parent_of_runs, training, self.start, name)
        return self.run_folder

    # Around the run

    def before_fit(self) -> None:
        if rank() != 0:
            return  # the data may still be in the making on another machine
        if not isinstance(self.datamodule, ImageData):  # which is set up already
            self.datamodule.setup(self.subcommand)
        mode = "fast_dev_run" if self.settings.trainer.fast_dev_run else "dry_run" if self.dry_run else "barebones"
        run = str(self.run_folder or self.asked.options.get("output") or f"none: {mode} writes nothing")
        rank_zero_info(summary(self.trainer, self.model, self.datamodule, run, self.changes()))

    before_validate = before_test = before_predict = before_fit

    def changes(self) -> list[Change] | None:
        """Return what differs from the settings of the run that goes on; None for a new run."""
        folder = self.training if self.subcommand == "fit" else None
        changes = None if folder is None else changes_of_run(read_settings(folder), self.config_dump)
        own = {f"trainer.{name}" for name in DryRun.trainer_settings} if self.dry_run else ()
        return changes and [change for change in changes if change.name not in own]

    def after_fit(self) -> None:
        locks.finish()
        if self.run_folder and rank() == 0:
            self.last_words = last_words(self.trainer, self.run_folder)

    def after_test(self) -> None:
        if self.run_folder:
            self.last_words = [f"written to {self.run_folder / 'test.json'}"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: the words after the program's name; those of the process by default.

    Raises:
        SystemExit: with code 2 after one line on standard error, when something is wrong that the user can mend; with
            143 or 130 when SIGTERM or Ctrl-C stopped it.
    """
    args = with_shipped_configs(answer(with_home(sys.argv[1:] if args is None else args)))
    be_quiet()
    heed_no_unsafe_loading()
    torch.set_float32_matmul_precision("high")  # TF32 where the GPU has it; nothing changes on a CPU
    with one_line_endings():
        others = {"prepare": prepare, "check": check, "runs": runs, "new": new, "export": export}
        if args[0] in others:
            return others[args[0]](args)
        if any(option.name == SEEDS for option in options_of(args)):
            return train_seeds(args)
        cli = LitGenCLI(
            GenerativeModule,
            LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,
            seed_everything_default=0,
            trainer_class=CommandLineTrainer,
            trainer_defaults={"default_root_dir": ROOT, "max_epochs": 100},
            save_config_callback=SaveSettings,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"description": "Train, test and use classic generative models."},
            parser_class=OneLineParser,
            args=args,
        )
        for line in cli.last_words:
            rank_zero_info(line)
