"""What an offline run of W&B holds, read from its `.wandb` file: a log of LevelDB's format with a record a message."""

import json
import struct
import time
from pathlib import Path
from typing import Any, NamedTuple

from wandb.proto.wandb_internal_pb2 import Record

HEAD, BLOCK = 7, 32_768  # bytes of the file's beginning and of each piece's; of a block
FULL, FIRST, MIDDLE, LAST = 1, 2, 3, 4


class OfflineRun(NamedTuple):
    """The settings that it was started with (project, run_group, job_type, ...), its config, rows, and images."""

    started: Any
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    images: dict[str, Path]


def offline_runs(folder: Path) -> list[OfflineRun]:
    """The offline runs that were logged in a folder, the oldest first.

    The names of their folders tell seconds, of which two runs may begin in one.
    """
    found = [read(path) for path in folder.glob("wandb/offline-run-*/*.wandb")]
    return sorted(found, key=lambda run: run.started.start_time.ToNanoseconds())


def read(path: Path) -> OfflineRun:
    started, config, rows = None, {}, []
    deadline = time.monotonic() + 30
    while not any(record.HasField("exit") for record in records(path.read_bytes())):
        assert time.monotonic() < deadline, f"{path} has no end"  # another process writes it
        time.sleep(0.1)
    for record in records(path.read_bytes()):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            started = record.run
            put(config, record.run.config.update)
        elif kind == "config":
            put(config, record.config.update)
        elif kind == "history":
            rows.append(put({}, record.history.item))
    media = path.parent / "files"
    images = {
        name: media / file
        for row in rows
        for name, value in row.items()
        if isinstance(value, dict) and value.get("_type") == "images/separated"
        for file in value["filenames"]
    }
    return OfflineRun(started, config, rows, images)


def put(values: dict[str, Any], items: Any) -> dict[str, Any]:
    """Put each value where its key, or its keys from the outermost to the innermost, say."""
    for item in items:
        *outer, name = item.nested_key or [item.key]
        inner = values
        for key in outer:
            inner = inner.setdefault(key, {})
        inner[name] = json.loads(item.value_json)
    return values


def records(content: bytes) -> list[Any]:
    found, message, place = [], b"", HEAD
    while place + HEAD <= len(content):
        left = BLOCK - place % BLOCK
        if left < HEAD:  # too little for another piece
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + HEAD])
        piece = content[place + HEAD : place + HEAD + length]
        place += HEAD + length
        message = piece if kind in (FULL, FIRST) else message + piece
        if kind in (FULL, LAST):
            found.append(Record.FromString(message))
    return found
