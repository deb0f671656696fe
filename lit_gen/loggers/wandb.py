"""The log of a run on Weights & Biases, offline where there is no API key: its options, page and errors."""

import json
import netrc
import os
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlparse

import wandb
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_info

from lit_gen.errors import UserError
from lit_gen.files.atomic import write_text
from lit_gen.lightning_compat import leave_anonymous_out
from lit_gen.loggers.metrics_file import rows_of_log

PROJECT, PAGE = "lit_gen", "wandb-page.json"
SHARED = ("project", "entity", "group")
"""What the page of a test or a prediction has of its training's."""
VARIABLES = {
    "project": "WANDB_PROJECT", "entity": "WANDB_ENTITY", "name": "WANDB_NAME", "group": "WANDB_RUN_GROUP",
    "tags": "WANDB_TAGS", "notes": "WANDB_NOTES",
}  # fmt: skip
"""The options that say where a run's page is and what stands on it, with W&B's own variable for each."""
MODES = {
    "online": "online", "run": "online", "shared": "shared", "offline": "offline", "dryrun": "offline",
    "disabled": "disabled",
}  # fmt: skip
"""The values of WANDB_MODE, and what they mean."""


@dataclass
class WandbOptions:
    """How the run appears on Weights & Biases.

    An option that is not given comes from W&B's own variable (WANDB_PROJECT, WANDB_ENTITY, WANDB_NAME, WANDB_RUN_GROUP,
    WANDB_TAGS, WANDB_NOTES, WANDB_MODE). A run that is resumed keeps its options.

    Args:
        project: the project; `lit_gen` by default.
        entity: the user or team that owns the project; by default the owner of the API key.
        name: the run's name; `<system>/<run>` by default.
        group: the name of the group of runs; by default `<system>/<run>` of the training. Whatever tests it or predicts
            with it is in its group, its job type being `test`, `validate` or `predict`.
        tags: words to find the run by: a list, or one text with commas between them.
        notes: a description.
        mode: `online` sends the log at once; `offline` keeps it in the run's folder, for `wandb sync`; `disabled`
            writes nothing. The default is online where there is an API key, else offline.
        images: which images W&B gets, offline too. `public`: all images of MNIST, of horse2zebra's public sets and of
            rendered data; of CelebA and of your own data only what is generated from noise or words, no originals,
            reconstructions or translations. `all`: these as well. Local files and other loggers get all images.
    """

    project: str | None = None
    entity: str | None = None
    name: str | None = None
    group: str | None = None
    tags: list[str] | str | None = None
    notes: str | None = None
    mode: Literal["online", "offline", "disabled"] | None = None
    images: Literal["public", "all"] = "public"

    def given(self) -> dict[str, Any]:
        """Return the options that say where the page is and what stands on it, as far as they were given."""
        return {name: getattr(self, name) for name in VARIABLES if getattr(self, name) not in (None, "")}


class ContinuingWandbLogger(WandbLogger):
    """Log to W&B what a killed run has not logged there: W&B takes nothing back.

    That is what `log`, the run's `metrics.csv`, does not have, which is written just before W&B's log; None where
    nothing goes on. One line says where the log is, in place of W&B's own lines.
    """

    def __init__(self, log: Path | None, **settings: Any) -> None:
        # What W&B says of its version and the table at its end; not its warnings and errors.
        quiet = {} if "WANDB_QUIET" in os.environ else {"settings": wandb.Settings(quiet=True)}
        super().__init__(**quiet | settings)
        leave_anonymous_out(self)
        self._begun = False
        self._logged = {
            (int(row["step"]), frozenset(name for name, value in row.items() if value and name != "step"))
            for row in (rows_of_log(log) if log else ())
        }

    @property
    def experiment(self) -> Any:
        begun, self._begun = self._begun, True
        if begun:
            return super().experiment
        if "WANDB_SHOW_INFO" not in os.environ:
            wandb.setup(settings=wandb.Settings(show_info=False))
        run = super().experiment
        place = log_place(run)
        if place:
            rank_zero_info(f"W&B: {place}")
        return run

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        if (step, frozenset(metrics)) not in self._logged:
            super().log_metrics(metrics, step)


def wandb_logger(
    folder: Path, config: dict[str, Any], options: WandbOptions, command: str = "fit", training: Path | None = None
) -> ContinuingWandbLogger | None:
    """Return the W&B logger of a run; None where its mode is `disabled`.

    The command is its job type. Where it uses a trained model, it is in the project and group of the training, whose id
    is in its config.

    Args:
        folder: the folder to log in; by `wandb-id` and `wandb-page.json` in it a resumed run goes on with its W&B page.
            A prediction, which never goes on, has neither.
        config: the resolved settings, shown on that page.
        options: those of the command line.
        command: fit, validate, test or predict.
        training: the folder of the training that the command goes on with or uses; None for a new one.
    """
    mode = wandb_mode(options.mode)
    if mode == "disabled":
        return None
    goes_on, run = command != "predict", training or folder
    before = _page_of_run(folder) if goes_on else {}
    if command != "fit" and training is not None:
        before = {name: text for name, text in _page_of_run(training).items() if name in SHARED} | before
        of_training = wandb_id(training) if is_on_wandb(training) else None
        config = config | {"training": {"folder": str(training), "wandb_id": of_training}}
    name, group = f"{folder.parent.name}/{folder.name}", f"{run.parent.name}/{run.name}"
    default = {"project": PROJECT, "name": name if goes_on else f"{group}, {command}", "group": group}
    page = default | page_of_environment() | before | options.given()
    if goes_on:
        write_text(folder / PAGE, json.dumps(page, indent=2) + "\n")
    return ContinuingWandbLogger(
        folder / "metrics.csv" if goes_on else None,
        **page | {"tags": words(page.get("tags"))},
        id=wandb_id(folder) if goes_on else None,
        job_type=os.environ.get("WANDB_JOB_TYPE") or command,
        resume=None if mode == "offline" else "allow",
        save_dir=str(folder),
        mode=mode,
        config=config,
    )


def is_on_wandb(run: Path | None) -> bool:
    """Return whether W&B has logged a run."""
    return run is not None and (run / "wandb-id").is_file()


def _page_of_run(folder: Path) -> dict[str, Any]:
    """Return what a run's file says of its page, and nothing else: W&B takes settings such as its server's address.

    Raises:
        UserError: the file is not what a run writes.
    """
    file = folder / PAGE
    if not file.is_file():
        return {"project": PROJECT} if is_on_wandb(folder) else {}  # a run of before there was that file
    try:
        page = json.loads(file.read_text(encoding="utf-8"))
        kinds = {name: list if name == "tags" else str for name in VARIABLES}
        return {name: value for name, value in page.items() if isinstance(value, (str, kinds[name]))}
    except (OSError, ValueError, AttributeError, KeyError) as error:
        raise UserError(f"{file} does not say where a run's page is. Remove it, and the run gets a new one.") from error


def page_of_environment() -> dict[str, str]:
    """Return what W&B's own variables say of a run's page."""
    return {name: os.environ[variable] for name, variable in VARIABLES.items() if os.environ.get(variable)}


def words(tags: list[str] | str | None) -> list[str] | None:
    """Return the tags in a list, or in a text with commas between them."""
    return [tag.strip() for tag in tags.split(",") if tag.strip()] if isinstance(tags, str) else tags


def wandb_mode(option: str | None) -> str | None:
    """Return W&B's mode: the option's, else WANDB_MODE's, else `offline` where there is no key.

    Returns:
        `online`, `shared`, `offline`, `disabled`, or None where nothing is said: W&B then logs online, unless its own
        settings say otherwise (`wandb offline`).

    Raises:
        UserError: WANDB_MODE is none of W&B's modes, or logging online was asked for and there is no key.
    """
    asked = option or os.environ.get("WANDB_MODE", "").lower()
    if not asked:
        return None if has_wandb_key() else "offline"
    said = "--wandb.mode" if option else "WANDB_MODE"
    if asked not in MODES:
        raise UserError(f"{said} is {asked!r}, which is no mode of W&B. Set it to online, offline or disabled.")
    mode = MODES[asked]
    if mode in ("online", "shared") and not has_wandb_key():
        raise UserError(
            f"{said} is {asked}, but W&B has no API key. Run `wandb login` or set WANDB_API_KEY, or log with "
            "--wandb.mode=offline."
        )
    return mode


def wandb_id(folder: Path) -> str:
    """Return the id of a run on W&B, which is kept in its folder."""
    file = folder / "wandb-id"
    if not file.is_file():
        write_text(file, os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
    return file.read_text(encoding="utf-8", errors="replace").strip()  # W&B refuses what is no id


def has_wandb_key() -> bool:
    """Return whether W&B can log in without asking: by a key in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    host = urlparse(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    try:
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def check_wandb(options: WandbOptions, logger: Any) -> None:
    """Check the options before anything is made; `logger` is what logs, True or None where W&B does.

    Raises:
        UserError: W&B cannot log as it is told to.
    """
    if logger in (None, True):
        page = page_of_environment() | options.given()
        if wandb_mode(options.mode) != "disabled":
            tags = words(page.get("tags"))
            try:
                wandb.Settings(project=page.get("project", PROJECT), run_tags=None if tags is None else tuple(tags))
            except (ValueError, wandb.Error) as error:
                raise UserError(f"W&B refuses --wandb.project or --wandb.tags: {error}") from error
    elif logger:
        unused = [f"--wandb.{name}" for name in (*options.given(), *(["mode"] if options.mode else []))]
        if unused:
            rank_zero_info(f"{', '.join(unused)}: not used, for another logger was chosen")


def wandb_mistake(error: BaseException) -> str | None:
    """Return the line for W&B's own errors, such as that there is no network; None for others."""
    if not isinstance(error, wandb.Error):
        return None
    return f"W&B cannot log: {error} To train without it, set WANDB_MODE=offline or WANDB_MODE=disabled."


def log_place(run: Any) -> str:
    """Return where the log of a W&B run is, offline with the command that uploads it; '' where there is none."""
    if run.disabled:
        return ""
    if not run.offline:
        return str(run.url)
    folder = Path(run.dir).parent.parent  # <folder>/offline-run-<time>-<id>/files; a resumed run has several
    why = "" if has_wandb_key() else " (no API key)"
    return f"offline{why}. To upload later: wandb sync {shlex.quote(str(folder))}/offline-run-*-{run.id}"


def finish_wandb() -> None:
    """End W&B's log, if there is one, and say where it is: W&B uploads the rest, and may print lines of its own.

    An error in this does not hide how the run ended.
    """
    run = wandb.run
    if run is None:
        return
    place, end = log_place(run), ""
    if place and not run.offline:
        rank_zero_info("W&B: uploading what is left of the log")
    try:
        wandb.finish()
    except KeyboardInterrupt:
        end = f" (not all is uploaded; do that with wandb sync {shlex.quote(str(Path(run.dir).parent))})"
    except Exception as error:  # whatever it is, what was trained is safe
        end = f" (it could not be ended: {error})"
    if place:
        rank_zero_info(f"W&B: {place}{end}")
