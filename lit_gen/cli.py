"""The command line: `python main.py {fit,test,predict,export,prepare,check, ...} --config configs/<system>.yaml`."""

import sys
from collections.abc import Sequence
from functools import partial
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
from lit_gen.callbacks.checkpoints import last_words
from lit_gen.callbacks.dry_run import DryRun
from lit_gen.callbacks.of_run import callbacks_of_run, prediction_writer
from lit_gen.callbacks.of_user import check_callbacks, prepare_callbacks
from lit_gen.command_line.asked import complete, prepare_pictures
from lit_gen.command_line.config_files import with_shipped_configs
from lit_gen.command_line.data_of_run import prepare_data
from lit_gen.command_line.endings import one_line_endings
from lit_gen.command_line.groups import add_groups
from lit_gen.command_line.help import answer
from lit_gen.command_line.line_of_run import line_of_run
from lit_gen.command_line.others import OTHERS
from lit_gen.command_line.parser import OneLineParser
from lit_gen.command_line.paths import check_path, with_home
from lit_gen.command_line.quiet import be_quiet
from lit_gen.command_line.refusals import explain
from lit_gen.command_line.run_of_command import RunOfCommand
from lit_gen.command_line.seeds import SEEDS, check_seed, train_seeds
from lit_gen.command_line.sources import PARTS, check_no_base, options_of_predict
from lit_gen.command_line.summary import summary
from lit_gen.command_line.trainer import CommandLineTrainer, arguments_for, check_amounts, check_devices
from lit_gen.command_line.words import check_order, check_words, first_config, options_of
from lit_gen.data.base import ImageData
from lit_gen.data.contract import check_pair, spec_in
from lit_gen.errors import UserError
from lit_gen.lightning_compat import let_unfinished_profilers_end, option_names, rank
from lit_gen.loggers.of_run import check_loggers, loggers_of_run
from lit_gen.loggers.of_user import defer
from lit_gen.loggers.wandb import WandbOptions, finish_wandb
from lit_gen.models.base import GenerativeModule
from lit_gen.runs import folders, locks, processes
from lit_gen.runs.checkpoint_files import check_weights_only, heed_no_unsafe_loading
from lit_gen.runs.names import ROOT
from lit_gen.runs.settings import SaveSettings

DRY_RUN = "--dry_run"


class LitGenCLI(LightningCLI):
    """LightningCLI with one link (data.spec to model.spec), a check of the pair, and a folder for each run."""

    subcommand: str
    run: RunOfCommand
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
        add_groups(parser)

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
        check_seed("seed_everything", self.settings.seed_everything)
        check_path("ckpt_path", self.settings.get("ckpt_path"))
        check_path("trainer.default_root_dir", self.settings.trainer.default_root_dir)
        check_path("output", self.asked.options.get("output"))
        check_weights_only(self.settings.get("weights_only"))
        self.start = self.settings.get("ckpt_path")  # in the command's words
        if self.start is not None:  # out of Lightning's sight: it would let the checkpoint's settings overrule these
            self.settings.ckpt_path = None

    @property
    def settings(self) -> Namespace:
        """The command's settings."""
        return self.config[self.config.subcommand]

    # Before anything is built

    def before_instantiate_classes(self) -> None:
        settings, command = self.settings, self.subcommand
        self.run = RunOfCommand(command, settings, self.start, self.base_config)
        self.run.find_checkpoint()
        self.makes_pictures = command == "predict" and prepare_pictures(settings, self.asked)
        model, data = (resolve_name(check_no_base(part, settings[part].class_path)) for part in PARTS)
        check_pair(model, data, command == "predict")
        check_amounts(command, settings)
        check_devices(settings.trainer)
        if command == "test":
            settings.verbose = False  # in favour of the evaluation's own table
        if self.writes:
            check_loggers(settings.logger, settings.trainer.logger, self.wandb_options, command, self.run.training)
        if command == "fit" and processes.told() is None:
            if self.writes:
                self.run.go_on(self.saved_settings)
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

    # The Trainer

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        settings, objects = self.settings.trainer, self.config_init[self.subcommand].trainer
        given = objects.callbacks or []
        given = given if isinstance(given, list) else [given]
        check_callbacks(given, self.model, self.subcommand, settings)
        if self.seed_typed:  # and not the default, or that of a config.yaml
            self.model.new_run_seed = self.settings.seed_everything
        self.model.graphs_when = self.settings.speed.graphs
        prepare_data(self.datamodule, self.subcommand, self.settings, self.config_dump)
        if self.makes_pictures:
            self.datamodule.plan = self.model.task.plan(self.model, self.asked.options)
        if self.writes and "output" not in self.asked.options:
            kwargs["default_root_dir"] = str(self.run.make_folder())
        else:  # the folder of --output has a manifest
            self.save_config_callback = None
        processes.tell(self.run.folder, self.settings.get("ckpt_path"))
        if settings.logger is not False and not settings.barebones:
            folder = self.run.folder or (self.run.training if self.writes else None)  # None for `predict --output`
            of_log = self.config_dump, self.wandb_options, self.settings.logger, self.run.training
            kwargs["logger"] = loggers_of_run(objects.logger, folder, self.subcommand, *of_log)
        kwargs |= arguments_for(self.model, settings)
        if self.dry_run:
            kwargs["callbacks"] = [DryRun()]
        else:
            given = prepare_callbacks(given, self.run.folder, self.model)
            writer, line = None, None
            if self.subcommand == "predict" and self.writes:
                writer = prediction_writer(self.words, self.asked.options, self.settings, self.run.folder)
            if self.run.folder is not None and rank() == 0:
                line = line_of_run(self.parser, self.words, self.settings, self.base_config, self.saved_settings)
            brought = callbacks_of_run(self.subcommand, self.settings, self.model, self.run.folder, given, writer, line)
            kwargs["callbacks"] = given + brought
        try:
            return super().instantiate_trainer(**kwargs)
        except (ValueError, TypeError, RuntimeError, ImportError) as error:
            raise UserError(f"the Trainer refuses its settings: {error}") from error

    # Around the run

    def before_fit(self) -> None:
        if rank() != 0:
            return  # the data may still be in the making on another machine
        if not isinstance(self.datamodule, ImageData):  # which is set up already
            self.datamodule.setup(self.subcommand)
        mode = "fast_dev_run" if self.settings.trainer.fast_dev_run else "dry_run" if self.dry_run else "barebones"
        run = str(self.run.folder or self.asked.options.get("output") or f"none: {mode} writes nothing")
        changes = self.run.changes(self.config_dump, DryRun.trainer_settings if self.dry_run else ())
        rank_zero_info(summary(self.trainer, self.model, self.datamodule, run, changes))

    before_validate = before_test = before_predict = before_fit

    def after_fit(self) -> None:
        locks.finish()
        if self.run.folder and rank() == 0:
            self.last_words = last_words(self.trainer, self.run.folder)

    def after_test(self) -> None:
        if self.run.folder:
            self.last_words = [f"written to {self.run.folder / 'test.json'}"]


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
        if args[0] in OTHERS:
            return OTHERS[args[0]](args)
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
