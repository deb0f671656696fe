"""One attempt to download a file from one server: with a time limit, resumed, checked, with a progress bar."""

import hashlib
import html
import http
import http.client
import os
import re
import shutil
import socket
import ssl
import time
from io import FileIO
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from tqdm import tqdm

from lit_gen.files.atomic import CannotWriteError

PREFIX = ".download."  # what the name of a file begins with until it is complete
PATIENCE = 20.0  # seconds that a server may say nothing, and over which its speed is measured
SLOWEST = 1_000  # bytes per second; a slower connection is given up
PIECE = 1 << 16  # bytes
BUSY = (408, 425, 429, 500, 502, 503, 504)  # HTTP codes of a server that may answer later
FAILURES = (OSError, http.client.HTTPException, ValueError)
"""What a connection may raise: ValueError comes from addresses and lengths that make no sense."""


class UnfitError(Exception):
    """A server does not have the file; to ask it again would not help."""


def receive(url: str, file: FileIO, sha256: str, size: int | None, hint: str) -> None:
    """Download from one server what a file lacks, and check the whole.

    Args:
        url: address of the file.
        file: place of the file, open for appending; it may hold the first bytes.
        sha256: checksum of the whole file in hexadecimal.
        size: size of the whole file in bytes, if known.
        hint: advice for the error message if `file` cannot be written.

    Raises:
        UnfitError: the server does not have the file.
        OSError, http.client.HTTPException, ValueError: the connection fails; what came stays.
        CannotWriteError: the disk has no room.
    """
    before = length(file)
    if size is None or before < size:
        with _ask(url, file) as response:
            total = _total(response, file)
            if response.headers.get_content_type() == "text/html" and (total is None or total != size):
                raise UnfitError(f"it answers with a web page{_title(response)}")
            if total is not None and size is not None and total != size:
                raise UnfitError(f"its file has {total:,} bytes, not {size:,}")
            if response.status != http.HTTPStatus.PARTIAL_CONTENT:
                file.truncate(0)
            _copy(response, file, size or total, hint)
    file.seek(0)
    found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256:
        file.truncate(0)
        if not before:
            raise UnfitError(f"it sends another file (SHA-256 {found}, not {sha256})")
        receive(url, file, sha256, size, hint)  # what was there before may be at fault


def _ask(url: str, file: FileIO) -> http.client.HTTPResponse:
    """Return a server's answer, which begins at the end of `file` if the server can send parts."""
    headers = {"User-Agent": "lit_gen"}
    if length(file):
        headers["Range"] = f"bytes={length(file)}-"
    try:
        return urlopen(Request(url, headers=headers), timeout=PATIENCE)
    except HTTPError as error:
        with error:
            problem = _one_line(f"HTTP {error.code} {error.reason}{_title(error)}")
            if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                file.truncate(0)
            elif error.code not in BUSY:
                raise UnfitError(problem) from error
            raise OSError(problem) from error
    except URLError as error:
        cause = error.reason
        unknown = isinstance(cause, socket.gaierror) and cause.errno == socket.EAI_NONAME
        if unknown or isinstance(cause, ssl.SSLCertVerificationError):
            raise UnfitError(reason(error)) from error
        raise


def _total(response: http.client.HTTPResponse, file: FileIO) -> int | None:
    """Return the size of the whole file in bytes as a server gives it, if it does."""
    if response.status == http.HTTPStatus.PARTIAL_CONTENT:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if found is None or int(found[1]) != length(file):
            file.truncate(0)
            raise OSError("it sends another part than was asked for; what was kept is dropped")
        total = found[2]
    else:
        total = response.headers.get("Content-Length", "")
    return int(total) if total.isdecimal() else None


def _copy(response: http.client.HTTPResponse, file: FileIO, size: int | None, hint: str) -> None:
    """Append a server's answer to `file`, which then has `size` bytes if `size` is known."""
    folder, name = Path(file.name).parent, Path(file.name).name.removeprefix(PREFIX)
    have = length(file)
    disk = shutil.disk_usage(folder)
    if size is not None and disk.total and disk.free < size - have:  # some network disks do not say
        raise CannotWriteError(
            f"{name} needs {size - have:,} bytes more, but the disk of {folder} has {disk.free:,}. Make room. {hint}"
        )
    since, came = time.monotonic(), 0
    with tqdm(desc=name, total=size, initial=have, unit="B", unit_scale=True, mininterval=0.5) as bar:
        while piece := response.read1(PIECE):  # at most one read: a slow server cannot hold it up
            rest = memoryview(piece)
            try:
                while rest:
                    rest = rest[file.write(rest) :]
            except OSError as error:
                raise CannotWriteError(
                    f"cannot write {file.name}: {error.strerror}; {have:,} bytes are kept there. Make room. {hint}"
                ) from error
            bar.update(len(piece))
            have, came = have + len(piece), came + len(piece)
            waited = time.monotonic() - since
            if waited > PATIENCE:
                if came < SLOWEST * waited:
                    raise TimeoutError(f"only {came:,} bytes came in {waited:.0f} seconds")
                since, came = time.monotonic(), 0
            if size is not None and have > size:
                file.truncate(0)
                raise UnfitError(f"it sends more than {size:,} bytes")
    if size is not None and have < size:
        raise OSError(f"the connection ended after {have:,} of {size:,} bytes")


def _title(page: http.client.HTTPResponse | HTTPError) -> str:
    """Return the title of a web page, which usually says why it came: ` "Google Drive - Quota exceeded"`."""
    text = page.read1(PIECE).decode(errors="replace")
    found = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return f' "{_one_line(html.unescape(found[1]))}"' if found else ""


def reason(error: Exception) -> str:
    """Return why a connection failed, as one line."""
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, TimeoutError) and "timed out" in str(cause):
        return f"no answer for {PATIENCE:g} seconds"
    return _one_line(getattr(cause, "strerror", None) or str(cause)) or type(cause).__name__


def _one_line(text: str) -> str:
    """Return text from a server as one line of at most 200 printable characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())[:200]


def length(file: FileIO) -> int:
    """Return the size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size
