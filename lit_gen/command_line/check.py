"""The command `check`: what data hold, before anything is made of them, and what to type next."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml

import lit_gen.models
from lit_gen.command_line.config_files import SHIPPED
from lit_gen.command_line.prepare import data_of
from lit_gen.command_line.sources import PARTS
from lit_gen.command_line.words import kinds_named, options_of
from lit_gen.data.alphabet import ALPHABET
from lit_gen.data.base import ImageData
from lit_gen.data.batches import UNLABELLED
from lit_gen.data.cache import CachedSet
from lit_gen.data.captioned import CaptionedDataset
from lit_gen.data.contract import fields_read
from lit_gen.data.decoding import decode_image
from lit_gen.data.image_files import Found, NoImageError, Search, endings, in_words, near_name, open_image
from lit_gen.data.image_table import ImageTable
from lit_gen.data.splits import places_of
from lit_gen.errors import UserError
from lit_gen.files.checksums import sha256_of
from lit_gen.files.parallel import map_indices
from lit_gen.runs.commands import line_of

MOST = 20  # of a kind in a line
USUAL = ("CycleGAN", "Text2Image", "StarGAN", "InfoGAN", "DCGAN")
"""The models to propose first, those that read the most before those that any images train."""


class Seen(NamedTuple):
    """An image file: its size in bytes and pixels, its mode, and why it cannot be read, or nothing."""

    length: int
    pixels: tuple[int, int] | None
    mode: str
    problem: str


class Checker:
    """What `decoded_set` is for `check`: it looks at each file, and keeps facts in place of decoded images."""

    def __init__(self, data: ImageData) -> None:
        self.data = data
        self.seen: dict[Path, Seen] = {}
        self.left_out: Counter[str] = Counter()

    def decoded_set(self, files: Sequence[Path] | Search, name: str, size: int, **settings: Any) -> CachedSet:
        paths, left_out, _ = files.find() if isinstance(files, Search) else Found(list(files), {}, {})
        where = f"below {files.folder}" if isinstance(files, Search) else f"for {name}"
        self.left_out.update(left_out)
        if not paths:
            raise NoImageError(f"there is no image file {where} ({', '.join(sorted(endings()))}). Put some there.")
        found = map_indices(partial(look, self.data.max_megapixels), len(paths), f"checking {name}", items=paths)
        self.seen |= dict(zip(paths, found, strict=True))
        rows = np.array([row for row, seen in enumerate(found) if not seen.problem], int)
        if not len(rows):
            raise UserError(f"none of the {len(paths)} files for {name} can be read. {in_full(paths[0], found[0])}")
        images = np.broadcast_to(np.uint8(0), (len(rows), size, size, settings.get("channels", 3)))
        readable = [paths[row] for row in rows]
        places = places_of(readable, files.folder) if isinstance(files, Search) else []
        return CachedSet(images, rows, {}, 0, np.array(places, np.int64))


def look(max_megapixels: int, index: int, path: Path) -> Seen:
    """Return the facts about an image file, which is decoded once."""
    length, pixels, mode = 0, None, ""
    try:
        length = path.stat().st_size
        with open_image(path) as image:
            pixels, mode = image.size, image.mode
        decode_image(path, 1, max_megapixels=max_megapixels)
    except FileNotFoundError:
        return Seen(0, None, "", f"the image {path} is missing")
    except UserError as error:
        return Seen(length, pixels, mode, str(error))
    except OSError as error:
        return Seen(length, pixels, mode, f"cannot read the image {path} ({error}). Replace or remove that file.")
    return Seen(length, pixels, mode, "")


def in_full(path: Path, seen: Seen) -> str:
    """Return why a file cannot be read. For one that is missing, a look at the names in its folder may give a hint."""
    advice = "Mend or remove it." if path.is_symlink() else "Correct the name, or put it there."
    return seen.problem if path.exists() else f"{seen.problem}.{near_name(path)} {advice}"


def check(words: Sequence[str]) -> None:
    """Print what the data hold: counts, sizes, unreadable files, labels; and the command to type next.

    Nothing is kept but rendered or unpacked images.

    Raises:
        UserError: there are no such data, or a table of them has a mistake.
    """
    data = data_of(words)
    if not isinstance(data, ImageData):
        raise UserError(f"check looks at this project's data, and {type(data).__name__} is of another package.")
    checker = Checker(data)
    data.download, data.skip_broken = False, True
    data.decoded_set = checker.decoded_set  # type: ignore[method-assign]
    data.prepare_data()
    data.setup("fit")
    lines = {
        "data": f"{type(data).__name__} from {data.source}",
        "images": ", ".join(f"{len(rows):,} {split}" for split, rows in data.datasets.items()),
    }
    lines |= dict(about_files(checker)) | dict(about_labels(data)) | dict(next_words(words, data, checker))
    width = max(map(len, lines))
    for name, text in lines.items():
        print(f"{name:>{width}}: " + text.replace("\n", "\n" + " " * (width + 2)))


def about_files(checker: Checker) -> Iterator[tuple[str, str]]:
    """Yield lines about the image files: sizes, modes, and those that are not read or are the same."""
    seen = checker.seen
    sizes = Counter(found.pixels for found in seen.values() if found.pixels)
    if sizes:
        common, count = sizes.most_common(1)[0]
        sides = [min(pixels) for pixels in sizes]
        text = f"{common[0]}x{common[1]} pixels" + ("" if len(sizes) == 1 else f" ({count:,} files)")
        if len(sizes) > 1:
            text += f", {len(sizes) - 1:,} other sizes; the shorter side has {min(sides)} to {max(sides)} pixels"
        smaller = sum(n for pixels, n in sizes.items() if min(pixels) < checker.data.image_size)
        yield "sizes", text + (f"; {smaller:,} are enlarged to {checker.data.image_size}" if smaller else "")
        yield "modes", some(Counter(found.mode for found in seen.values() if found.mode))
    broken = [(path, found) for path, found in seen.items() if found.problem]
    if broken:
        more = [f"and {len(broken) - MOST:,} more"] if len(broken) > MOST else []
        lines = [in_full(path, found) for path, found in broken[:MOST]]
        yield "unreadable", "\n".join([f"{len(broken):,} of {len(seen):,} files", *lines, *more])
    left_out = dict(checker.left_out)
    left_out |= checker.data.contents.left_out if isinstance(checker.data, ImageTable) else {}
    if left_out:
        yield "left out", in_words(left_out)
    same = [paths for paths in equal_files(seen) if len(paths) > 1]
    if same:
        twice = [" = ".join(str(path) for path in paths[:3]) for paths in same[:3]]
        yield "the same", f"{len(same):,} files have a copy: {'; '.join(twice)}"


def equal_files(seen: dict[Path, Seen]) -> list[list[Path]]:
    """Return groups of files with the same bytes; only files of the same length are read."""
    lengths = Counter(found.length for found in seen.values())
    groups: dict[str, list[Path]] = {}
    for path, found in seen.items():
        if lengths[found.length] > 1 and not found.problem:
            groups.setdefault(sha256_of(path), []).append(path)
    return list(groups.values())


def about_labels(data: ImageData) -> Iterator[tuple[str, str]]:
    """Yield lines about classes, attributes and captions, over all splits."""
    spec, labels, attributes = data.spec, [], []
    for dataset in data.datasets.values():
        if isinstance(dataset, CaptionedDataset):
            attributes.append(dataset.arrays[1][dataset.rows])
        elif hasattr(dataset, "arrays"):
            fields = dict(zip(dataset.batch_type._fields, dataset.arrays, strict=True))
            labels += [fields["label"][dataset.rows]] if "label" in fields else []
            attributes += [fields["attributes"][dataset.rows]] if "attributes" in fields else []
    if labels:
        joined = np.concatenate(labels)
        known = joined[joined != UNLABELLED]
        found = np.bincount(known, minlength=spec["num_classes"])
        names = spec.get("classes") or list(map(str, range(len(found))))
        yield "classes", f"{len(names)}: {some(Counter(dict(zip(names, found.tolist(), strict=True))))}"
        if len(known) < len(joined):
            counts = [(rows != UNLABELLED).sum() for rows in labels]
            named = [f"{count:,} {split}" for count, split in zip(counts, data.datasets, strict=True)]
            yield "labelled", f"{', '.join(named)}; {len(joined) - len(known):,} images have no label"
    if attributes and spec["attributes"]:
        shares = np.concatenate(attributes).mean(0)
        named = [f"{name} {share:.0%}" for name, share in zip(spec["attributes"], shares, strict=True)]
        constant = [name for name, share in zip(spec["attributes"], shares, strict=True) if share in (0, 1)]
        yield "attributes", f"{len(named)}: {', '.join(named)}"
        if constant:
            yield "no use", f"{', '.join(constant)}: the same in all images, so that nothing can be learnt"
    if isinstance(data, ImageTable) and (captions := data.contents.captions):
        sentences = [sentence for several in captions for sentence in several]
        longest = max(map(len, sentences))
        note = f"; longer ones are cut at {data.caption_length}" if longest > data.caption_length else ""
        unread = sorted({*"".join("".join(sentences).lower().split())} - {*ALPHABET})
        note += f"; passed over: {' '.join(unread[:MOST])}" if unread else ""
        yield "captions", f"{len(sentences):,} of up to {longest} characters{note}"
    if isinstance(data, ImageTable) and data.contents.table and data.contents.table.ignored:
        yield "not read", f"columns {', '.join(name or '(without a name)' for name in data.contents.table.ignored)}"


def some(counts: Counter[str]) -> str:
    """Return counts in words, the commonest first, each with its share."""
    total = max(1, sum(counts.values()))
    words = [f"{name} {count:,} ({count / total:.0%})" for name, count in counts.most_common(MOST)]
    return ", ".join(words + ([f"and {len(counts) - MOST:,} more"] if len(counts) > MOST else []))


def next_words(words: Sequence[str], data: ImageData, checker: Checker) -> Iterator[tuple[str, str]]:
    """Yield the command that trains a model on these data, and the names of others that read such batches.

    The model is the one that the words or a config name, or else the first of those that read the most.
    """
    fields, spec = set(data.batch_type._fields), data.spec
    first = [name for name in USUAL if name != "InfoGAN" or spec["num_classes"]]
    models = [getattr(lit_gen.models, name) for name in lit_gen.models.__all__]
    fitting = [model.__name__ for model in models if set(fields_read(model)) <= fields]
    useless = {"StarGAN"} if not spec["attributes"] else set()
    if getattr(data, "rows_without_label", 0):
        first = ["SemiSupervisedAAE", *first]
    elif not hasattr(data, "labelled"):
        useless |= {"SemiSupervisedAAE"}
    fitting = [name for name in fitting if name not in useless]
    fitting.sort(key=lambda name: (first.index(name) if name in first else len(first), name))
    if not fitting:
        return
    named = kinds_named(words)["model"]
    short = (named or fitting[0]).rpartition(".")[2]
    others = [name for name in fitting if name != short]
    if short in lit_gen.models.__all__ and short not in fitting:
        needs = ", ".join(fields_read(getattr(lit_gen.models, short)))
        yield "not by", f"{short}, for which these data have too little: it reads {needs}"
        yield "but by", ", ".join(others)
        return
    count = len(data.datasets["train"])
    if count < 2:
        yield "too few", f"images for training: {count}, and a batch needs two. Put more there."
        return
    typed = [option for option in options_of(words) if option.part in ("config", *PARTS)]
    names = {option.name for option in typed}
    few = max(2, min(16, count // 2))  # batch norm needs two
    too_many = count < data.batch_size or (few < data.batch_size and count < 128 and "data.batch_size" not in names)
    if too_many:
        typed = [option for option in typed if option.name != "data.batch_size"]
    given = [word for option in typed for word in option.words]
    given += [f"--data.batch_size={few}"] if too_many else []
    if any(seen.problem for seen in checker.seen.values()):
        given += [] if "data.skip_broken" in names else ["--data.skip_broken=true"]
    if "data.image_size" not in names and "config" not in names:
        given.append(f"--data.image_size={data.image_size}")
    begin = [] if named else [f"--model={short}"]
    if begin and "config" not in names and (path := base_config(short)) is not None:
        begin = ["--config", str(path.relative_to(Path.cwd())) if SHIPPED.parent == Path.cwd() else path.stem]
    yield "train", line_of(["fit", *begin, *given])
    if others:
        yield "or by", f"{', '.join(others)} (--config configs/<system>.yaml, or --model=<name>, before --data)"


def base_config(model: str) -> Path | None:
    """Return the base config of a model, of several the one with the shortest name; None where there is none."""
    for path in sorted(SHIPPED.glob("*.yaml"), key=lambda path: (len(path.stem), path.stem)):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))["model"]
        if (content if isinstance(content, str) else content["class_path"]) == model:
            return path
    return None
