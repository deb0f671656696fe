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
from lit_gen.files.atomic import complete_file
from lit_gen.lightning_compat import leave_anonymous_out
from lit_gen.loggers.metrics_file import whole_rows

PROJECT = "lit_gen"
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
        group: the name of the group of runs; `<system>` by default.
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

    One line says where the log is, in place of W&B's own lines.

    Args:
        log: the run's `metrics.csv`, which is written just before W&B's log.
        settings: as for WandbLogger.
    """

    def __init__(self, log: Path, **settings: Any) -> None:
        # What W&B says of its version and the table at its end; not its warnings and errors.
        quiet = {} if "WANDB_QUIET" in os.environ else {"settings": wandb.Settings(quiet=True)}
        super().__init__(**quiet | settings)
        leave_anonymous_out(self)
        self._begun = False
        self._logged = {
            (int(row["step"]), frozenset(name for name, value in row.items() if value and name != "step"))
            for row in whole_rows(log)
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


def wandb_logger(folder: Path, config: dict[str, Any], options: WandbOptions) -> ContinuingWandbLogger | None:
    """Return the W&B logger of a run; None where its mode is `disabled`.

    Args:
        folder: the run's folder; by `wandb-id` and `wandb-page.json` in it a resumed run goes on with its W&B page.
        config: the resolved settings, shown on that page.
        options: those of the command line.
    """
    mode = wandb_mode(options.mode)
    if mode == "disabled":
        return None
    id_file, page_file = folder / "wandb-id", folder / "wandb-page.json"
    before: dict[str, Any] = {}
    if page_file.is_file():
        before = _page_of_run(page_file)
    elif id_file.is_file():  # a run of before there was that file
        before = {"project": PROJECT}
    default = {"project": PROJECT, "name": f"{folder.parent.name}/{folder.name}", "group": folder.parent.name}
    page = default | page_of_environment() | before | options.given()
    with complete_file(page_file) as partial:
        partial.write_text(json.dumps(page, indent=2) + "\n", encoding="utf-8")
    return ContinuingWandbLogger(
        folder / "metrics.csv",
        **page | {"tags": words(page.get("tags"))},
        id=wandb_id(folder),
        resume=None if mode == "offline" else "allow",
        save_dir=str(folder),
        mode=mode,
        config=config,
    )


def _page_of_run(file: Path) -> dict[str, Any]:
    """Return what a run's file says of its page, and nothing else: W&B takes settings such as its server's address.

    Raises:
        UserError: the file is not what a run writes.
    """
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
        file.write_text(os.environ.get("WANDB_RUN_ID") or secrets.token_hex(4))
    return file.read_text(errors="replace").strip()  # W&B refuses what is no id


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
    """Check the options before anything is made.

    Args:
        options: those of the command line.
        logger: the trainer's setting of that name; True or None for the run's own loggers.

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
            rank_zero_info(f"{', '.join(unused)}: not used, for --trainer.logger names loggers of your own")


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
