"""A folder of images with a table, or with sub-folders as labels: what it says of each image, before one is opened."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from lit_gen.data.batches import UNLABELLED
from lit_gen.data.image_files import Search, check_folder, endings, near_name
from lit_gen.data.splits import NAMES_OF_SPLITS, SPLITS
from lit_gen.data.table_columns import COLUMNS, classes_of, paths_of, sentences_of, splits_of, truth_of
from lit_gen.data.tables import NAMES, Table
from lit_gen.errors import UserError

OTHERS = (".tsv", ".json", ".parquet", ".xlsx", ".xls", ".txt", ".ndjson")  # endings of tables that are not read


@dataclass
class Contents:
    """What a folder says of its N images."""

    files: list[str]  # paths relative to the folder, with slashes between their parts
    partners: list[str] | None = None  # those of a second domain
    classes: list[str] = field(default_factory=list)  # names in the order of their indices; none without labels
    labels: np.ndarray | None = None  # class indices (N,), int64; `UNLABELLED` where the table has none
    attributes: list[str] = field(default_factory=list)  # names of the A attributes
    truth: np.ndarray | None = None  # attributes (N, A), uint8 in {0, 1}
    captions: list[list[str]] | None = None  # sentences of each image
    splits: np.ndarray | None = None  # (N,), uint8, places in `SPLITS`; None where the folder does not say it
    table: Table | None = None  # where all this stands; None for labels by sub-folders
    left_out: dict[str, int] = field(default_factory=dict)  # number of other files, per reason

    @property
    def unlabelled(self) -> int:
        """The number of images without a label, where others have one."""
        return 0 if self.labels is None else int((self.labels == UNLABELLED).sum())

    def remarks(self) -> list[str]:
        """Return what a run's summary says of the table."""
        counts = {"classes": len(self.classes), "without a label": self.unlabelled, "attributes": len(self.attributes)}
        counts |= {"captions": sum(map(len, self.captions or ()))} | self.left_out
        found = [f"{count} {what}" for what, count in counts.items() if count]
        ignored = [name or "(without a name)" for name in self.table.ignored] if self.table else []
        return found + ([f"columns not read: {', '.join(ignored)}"] if ignored else [])


def read_folder(root: Path, wanted: Sequence[str] | None, search: Search, missing_allowed: bool) -> Contents:
    """Return what a folder says of its images.

    `wanted` are the names of the columns that are attributes; None for all without a meaning of their own. The search
    for all image files is done only without a table. The table may name files that are not there if that is allowed.

    Raises:
        UserError: there is no folder, no table and no sub-folder; or the table has a mistake.
    """
    check_folder(root, "--data.root")
    prefixes = dict(find_tables(root))
    if not prefixes:
        if wanted:
            raise UserError(f"{root} has no {' or '.join(NAMES)} with attributes. Write one, or leave them out.")
        return _by_folders(root, search)
    table = Table(wanted)
    for path in prefixes:
        table.read(path)

    def files(name: str) -> list[str]:
        paths = table.converted(name, paths_of)
        return [prefixes[path] + file for (path, _), file in zip(table.places, paths, strict=True)]

    attributes = [name for name in table.columns if name not in COLUMNS]
    found = Contents(files("file_name"), table=table, attributes=attributes)
    truths = [table.converted(name, truth_of) for name in found.attributes]
    found.truth = np.stack(truths, 1) if truths else np.empty((len(found.files), 0), np.uint8)
    if "file_name_b" in table.columns:
        found.partners = files("file_name_b")
    if "label" in table.columns:
        found.classes, found.labels = table.converted("label", classes_of)
    if "caption" in table.columns:
        found.captions = table.converted("caption", sentences_of)
    has_splits = "split" in table.columns
    found.splits = table.converted("split", splits_of) if has_splits else split_of(found.files)
    _check_twice(found.files, table)
    others = _check_files(root, found.files, table, missing_allowed)
    if found.partners is not None:
        _check_files(root, found.partners, table, missing_allowed)
        others = 0  # each image may be of either column
    found.left_out = {"not in the table": others} if others else {}
    return found


def find_tables(root: Path) -> list[tuple[Path, str]]:
    """Return the tables of a folder, each with what to put before its file names: one, or one in each split's folder.

    Raises:
        UserError: there are two for the same images, or one of a format that is not read.
    """
    own = _tables_in(root)
    folders = sorted(place for place in root.iterdir() if place.name.lower() in NAMES_OF_SPLITS and place.is_dir())
    inner = [(path, f"{place.name}/") for place in folders for path in _tables_in(place)]
    if own and inner:
        raise UserError(f"{own[0]} and {inner[0][0]} are tables of the same images. Keep one of them.")
    if inner and len(inner) < len(folders):
        without = next(place for place in folders if f"{place.name}/" not in dict(inner).values())
        raise UserError(f"{inner[0][0]} is there, but no table is in {without}. Write one there, or one in {root}.")
    return [(own[0], "")] if own else inner


def _tables_in(folder: Path) -> list[Path]:
    found = sorted(place for place in folder.iterdir() if place.name.lower() in NAMES and place.is_file())
    if len(found) > 1:
        raise UserError(f"{folder} has {found[0].name} and {found[1].name}. Keep one of them.")
    if not found:
        named = [place for place in folder.iterdir() if place.stem.lower() == "metadata"]
        strange = [place for place in named if place.suffix.lower() in OTHERS]
        if strange:
            raise UserError(f"{strange[0]} is not read. Save it as {' or '.join(NAMES)}.")
    return found


def split_of(files: Sequence[str]) -> np.ndarray | None:
    """Return the split (N,) of each file by its first folder, as places in `SPLITS`; None if folders mean others.

    Raises:
        UserError: the folders are those of two splits, and others.
    """
    first = [file.partition("/")[0].lower() if "/" in file else "" for file in files]
    folders = set(first)
    known = {NAMES_OF_SPLITS[folder] for folder in folders if folder in NAMES_OF_SPLITS}
    if others := sorted(folders - NAMES_OF_SPLITS.keys()):
        if "train" in known and len(known) > 1:
            place = f"in the folder {others[0]!r}" if others[0] else "in no folder"
            raise UserError(f"some images are in folders of splits, and some {place}. Move them to train, val or test.")
        return None
    if "train" not in known:
        return None
    code = {folder: SPLITS.index(NAMES_OF_SPLITS[folder]) for folder in folders}
    return np.array([code[folder] for folder in first], np.uint8)


def _by_folders(root: Path, search: Search) -> Contents:
    """Return the images below a folder, with the names of sub-folders as labels, and splits above these, if any."""
    paths, left_out, _ = search.find()
    if not paths:
        raise UserError(
            f"there is neither a table ({' or '.join(NAMES)}) nor an image file below {root} "
            f"({', '.join(sorted(endings()))}). Put some there."
        )
    files = [path.relative_to(root).as_posix() for path in paths]
    splits = split_of(files)
    inner = files if splits is None else [file.partition("/")[2] for file in files]
    folders = [file.partition("/")[0] if "/" in file else "" for file in inner]
    classes = sorted(set(folders))
    if classes == [""]:
        if splits is None:
            tables = sorted(place.name for place in root.iterdir() if place.suffix.lower() in (".csv", ".jsonl"))
            hint = f" There is {tables[0]}: call it metadata{Path(tables[0]).suffix.lower()}." if tables else ""
            raise UserError(
                f"{root} has neither a table ({' or '.join(NAMES)}) nor sub-folders.{hint} Images without labels are "
                "read by --data=ImageFolder."
            )
        return Contents(files, splits=splits, left_out=left_out)
    if "" in classes:
        file = files[folders.index("")]
        raise UserError(f"{root / file} is in no sub-folder, and others are: their names are the labels. Move it.")
    index = {name: number for number, name in enumerate(classes)}
    labels = np.array([index[folder] for folder in folders], np.int64)
    return Contents(files, classes=classes, labels=labels, splits=splits, left_out=left_out)


def _check_twice(files: Sequence[str], table: Table) -> None:
    first: dict[str, int] = {}
    for index, file in enumerate(files):
        if file in first:
            raise UserError(
                f"{table.place(index)}: {file!r} is in row {table.places[first[file]][1]} already. Keep one; several "
                "captions of an image are a list in metadata.jsonl."
            )
        first[file] = index


def _check_files(root: Path, files: list[str], table: Table, missing_allowed: bool) -> int:
    """Return how many image files are there and not in the table; a missing file is an error, unless that is allowed.

    A name that is composed of other code points, as by another system, becomes that of the file.
    """
    names: dict[str, set[str]] = {}
    listed: dict[str, set[str]] = {}
    for index, file in enumerate(files):
        folder, _, name = file.rpartition("/")
        if folder not in names:
            listed[folder] = set()
            try:
                names[folder] = set(os.listdir(root / folder))
            except OSError:
                names[folder] = set()
        listed[folder].add(name)
        if name in names[folder]:
            continue
        plain = unicodedata.normalize("NFC", name)
        same = [other for other in names[folder] if unicodedata.normalize("NFC", other) == plain]
        if not same and missing_allowed:
            continue
        if not same:
            raise UserError(
                f"{table.place(index)}: there is no file {root / file}.{near_name(root / file)} Correct the name, or "
                "put it there; --data.skip_broken=true leaves such rows out."
            )
        listed[folder].add(same[0])
        files[index] = f"{folder}/{same[0]}" if folder else same[0]
    others = (name for folder, found in names.items() for name in found - listed[folder])
    return sum(os.path.splitext(name)[1].lower() in endings() for name in others)
