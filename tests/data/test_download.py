import hashlib
import multiprocessing
import os
import random
import resource
import shutil
import signal
import stat
import struct
import threading
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from lit_gen.data import download
from lit_gen.data.download import DamagedArchiveError, DownloadError, Remote, fetch, unpack
from lit_gen.errors import UserError
from lit_gen.files.atomic import CannotWriteError
from tests.data.stand_in import (
    StandIn,
    begin,
    chunked,
    cut,
    dripping,
    garbage,
    page,
    sending,
    silent,
    silent_after,
    status,
    well,
    without_parts,
    wrong_part,
)


def make_zip(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", method) as zipped:
        for name, content in files.items():
            zipped.writestr(name, content)
    return path


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def one_line(caught) -> str:
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ------------------------------------------------------------------------------------------------------- the download


NAME = "set.zip"
CONTENT = random.Random(0).randbytes(300_000)
PARTIAL = f".download.{NAME}"


@pytest.fixture
def remote(mirrors) -> Remote:
    return of(CONTENT, *mirrors)


def of(content: bytes, *servers: StandIn, size: bool = True) -> Remote:
    for server in servers:
        server.files.setdefault(NAME, content)
    urls = tuple(f"{server.url}sets/{NAME}" for server in servers)
    return Remote(urls, hashlib.sha256(content).hexdigest(), len(content) if size else None)


def starts(server: StandIn) -> list[int]:
    """The first bytes that a server was asked for."""
    return [start for _, start in server.asked]


def test_fetch_puts_the_file_there(tmp_path, remote, mirrors):
    fetch(remote, tmp_path / "new" / NAME)
    assert everything(tmp_path) == {f"new/{NAME}": CONTENT}
    assert [starts(server) for server in mirrors] == [[0], []]


def test_fetch_shows_how_far_it_is(tmp_path, remote, capsys):
    fetch(remote, tmp_path / NAME)
    assert f"{NAME}: 100%" in capsys.readouterr().err


def test_fetch_leaves_a_file_that_is_there(tmp_path, remote, mirrors):
    (tmp_path / NAME).write_bytes(b"mine")
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: b"mine"}
    assert not mirrors[0].asked


@pytest.mark.parametrize(
    "behave", [silent, silent_after(100_000), dripping, cut(100_000), chunked(100_000), cut(0), garbage, status(503),
               status(404), status(403), status(429), page(b"<title>Sign in</title>"), page(b"gone", 404),
               page(b"<p>wait", 503), sending(b"other"), sending(CONTENT[:-1] + b"x"), sending(CONTENT + b"more"),
               wrong_part, status(302, Location="nowhere"), status(302, Location="http://[x"), status(204)],
)  # fmt: skip
def test_whatever_a_server_does_the_next_one_is_asked(tmp_path, remote, mirrors, behave):
    first, second = mirrors
    first.usual = behave
    if behave is wrong_part:
        first.plan = [cut(100_000), wrong_part]
        second.plan = [status(503)]
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert len(second.asked) <= 2


@pytest.mark.parametrize("behave", [silent, garbage, status(503), status(500), status(429), cut(0), silent_after(5)])
def test_a_server_that_answers_later_is_asked_again(tmp_path, mirrors, behave):
    server = mirrors[0]
    server.plan = [behave, behave]
    fetch(of(CONTENT, server), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "behave", [status(404), status(410), page(b"<title>Quota exceeded</title>"), sending(b"other")]
)
def test_a_server_without_the_file_is_not_asked_again(tmp_path, mirrors, behave):
    server = mirrors[0]
    server.usual = behave
    with pytest.raises(DownloadError) as caught:
        fetch(of(CONTENT, server), tmp_path / NAME)
    assert f"cannot download {NAME} (127.0.0.1:{server.server_port}: " in one_line(caught)
    assert len(server.asked) == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("behave", "reason"),
    [
        (silent, "no answer for 0.3 seconds"),
        (dripping, r"only \d+ bytes came in"),
        (garbage, "proxy says no"),
        (status(404), "HTTP 404 Not Found"),
        (status(503), "HTTP 503 Service Unavailable"),
        (page(b"<html><title>Google Drive -\n Quota &amp; more</title>"), 'a web page "Google Drive - Quota & more"'),
        (page(b"<title>Access denied</title>", 403), 'HTTP 403 Forbidden "Access denied"'),
        (cut(7), "the connection ended after 7 of 300,000 bytes"),
        (sending(b"other"), "its file has 5 bytes, not 300,000"),
        (sending(CONTENT[:-1] + b"x"), r"another file \(SHA-256"),
    ],
)  # fmt: skip
def test_the_message_says_what_is_wrong_in_one_line(tmp_path, remote, mirrors, behave, reason):
    for server in mirrors:
        server.usual = without_parts(behave)
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(remote, tmp_path / NAME)
    assert one_line(caught).isprintable()
    assert all(f"127.0.0.1:{server.server_port}: " in str(caught.value) for server in mirrors)


def test_no_server_at_all(tmp_path, remote, mirrors):
    mirrors[0].server_close()
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    mirrors[1].server_close()
    with pytest.raises(DownloadError, match="refused"):
        fetch(remote, tmp_path / "second" / NAME)
    assert os.listdir(tmp_path) == [NAME], "nor a folder"


def test_a_cut_download_goes_on_where_it_stopped(tmp_path, mirrors):
    server = mirrors[0]
    server.plan = [cut(120_000), silent_after(100_000)]
    fetch(of(CONTENT, server), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert starts(server) == [0, 120_000, 220_000]


def test_the_second_server_goes_on_where_the_first_stopped(tmp_path, remote, mirrors):
    mirrors[0].usual = cut(120_000)
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert [starts(server) for server in mirrors] == [[0], [120_000]]


def test_a_server_that_sends_no_parts_begins_anew(tmp_path, mirrors):
    server = mirrors[0]
    server.plan, server.usual = [cut(120_000)], without_parts(well)
    fetch(of(CONTENT, server), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert starts(server) == [0, 120_000]


def test_a_download_that_gets_on_is_never_given_up(tmp_path, mirrors, monkeypatch):
    monkeypatch.setattr(download, "PROGRESS", 10_000)
    mirrors[0].usual = cut(20_000)
    fetch(of(CONTENT, mirrors[0]), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert starts(mirrors[0]) == list(range(0, 300_000, 20_000))


@pytest.mark.parametrize("behave", [without_parts(cut(20_000)), cut(100)])
def test_a_download_that_does_not_get_on_ends(tmp_path, mirrors, monkeypatch, behave):
    monkeypatch.setattr(download, "PROGRESS", 10_000)
    mirrors[0].usual = behave
    with pytest.raises(DownloadError, match="connection ended"):
        fetch(of(CONTENT, mirrors[0]), tmp_path / NAME)
    assert len(mirrors[0].asked) <= 1 + download.ROUNDS


def test_the_next_start_goes_on_where_the_last_one_stopped(tmp_path, mirrors):
    server = mirrors[0]
    server.usual = cut(50_000)
    with pytest.raises(DownloadError, match="150,000 bytes are kept, and the next start goes on") as caught:
        fetch(of(CONTENT, server), tmp_path / NAME)
    one_line(caught)
    assert everything(tmp_path) == {PARTIAL: CONTENT[:150_000]}
    server.usual = well
    fetch(of(CONTENT, server), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert starts(server)[-1] == 150_000


def test_a_killed_process_leaves_what_it_had(tmp_path, mirrors):
    server = mirrors[0]
    server.plan = [silent_after(200_000)]
    remote = of(CONTENT, server)
    process = multiprocessing.get_context("fork").Process(target=fetch, args=(remote, tmp_path / NAME))
    process.start()
    until = time.monotonic() + 20
    while not (tmp_path / PARTIAL).exists() or (tmp_path / PARTIAL).stat().st_size < 200_000:
        assert process.is_alive() and time.monotonic() < until
        time.sleep(0.01)
    process.kill()
    process.join()
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert 200_000 in starts(server)


@pytest.mark.parametrize("kept", [b"another file" * 100, b"x" * 300_000, CONTENT + b"more", b"", CONTENT])
@pytest.mark.parametrize("size", [True, False])
def test_what_was_kept_may_be_anything(tmp_path, mirrors, kept, size):
    (tmp_path / PARTIAL).write_bytes(kept)
    fetch(of(CONTENT, mirrors[0], size=size), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}


def test_a_download_that_was_complete_is_only_checked(tmp_path, remote, mirrors):
    (tmp_path / PARTIAL).write_bytes(CONTENT)
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}
    assert not mirrors[0].asked


@pytest.mark.parametrize("behave", [well, chunked()])
def test_the_size_need_not_be_known(tmp_path, mirrors, behave):
    mirrors[0].usual = behave
    fetch(of(CONTENT, mirrors[0], size=False), tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}


@pytest.mark.parametrize("behave", [cut(100), page(CONTENT), sending(CONTENT[1:])])
def test_without_a_size_the_checksum_tells(tmp_path, mirrors, behave):
    mirrors[0].usual = behave
    with pytest.raises(DownloadError):
        fetch(of(CONTENT, mirrors[0], size=False), tmp_path / NAME)
    assert not (tmp_path / NAME).exists()


def test_a_proxy_that_sends_garbage(tmp_path, remote, mirrors, monkeypatch):
    for kind in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(kind, mirrors[1].url)
    mirrors[1].usual = garbage
    mirrors[1].files[NAME] = b""
    for scheme in ("http", "https"):
        with pytest.raises(DownloadError, match="proxy says no|Tunnel connection failed: 501") as caught:
            fetch(remote._replace(urls=(f"{scheme}://example.org/{NAME}",)), tmp_path / NAME)
        one_line(caught)
    assert os.listdir(tmp_path) == []


def test_two_processes_download_once(tmp_path, mirrors):
    server = mirrors[0]
    first_bytes, go_on = threading.Event(), threading.Event()

    def slow(handler, content):
        part = begin(handler, content)
        handler.wfile.write(part[:1000])
        first_bytes.set()
        go_on.wait(5)
        handler.wfile.write(part[1000:])

    server.usual = slow
    remote = of(CONTENT, server)
    first = multiprocessing.get_context("fork").Process(target=fetch, args=(remote, tmp_path / NAME))
    first.start()
    assert first_bytes.wait(5)
    threading.Timer(0.1, go_on.set).start()
    fetch(remote, tmp_path / NAME)
    first.join()
    assert everything(tmp_path) == {NAME: CONTENT}
    assert starts(server) == [0]


def test_a_disk_without_room_is_found_before_the_download(tmp_path, remote, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(total=10**6, free=299_999))
    with pytest.raises(
        CannotWriteError, match="needs 300,000 bytes more, but .* has 299,999. Make room. Try"
    ) as caught:
        fetch(remote, tmp_path / NAME, "Try elsewhere.")
    one_line(caught)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_fills_is_no_fault_of_a_server(tmp_path, remote, mirrors):
    """A limit of the size of files stands in for the disk."""
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limit[1]))
        with pytest.raises(CannotWriteError, match=f"cannot write .*{PARTIAL}: File too large") as caught:
            fetch(remote, tmp_path / NAME, "Try elsewhere.")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
        signal.signal(signal.SIGXFSZ, handler)
    assert "Make room. Try elsewhere." in one_line(caught)
    assert len(mirrors[0].asked) == 1 and not mirrors[1].asked
    assert everything(tmp_path) == {PARTIAL: CONTENT[:100_000]}
    fetch(remote, tmp_path / NAME)
    assert everything(tmp_path) == {NAME: CONTENT}


def test_a_folder_that_cannot_be_written(tmp_path, remote, mirrors):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(CannotWriteError, match="Try elsewhere") as caught:
        fetch(remote, tmp_path / "file" / NAME, "Try elsewhere.")
    one_line(caught)
    assert not mirrors[0].asked


# ---------------------------------------------------------------------------------------------------------- unpacking


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_unpack(tmp_path, method):
    files = {"set/a/1.txt": b"1" * 5000, "set/größe 写真.txt": b"2", "__MACOSX/set/._a": b"junk"}
    unpack(make_zip(tmp_path / "set.zip", files, method), tmp_path / "out", inner="set")
    assert everything(tmp_path / "out") == {"a/1.txt": b"1" * 5000, "größe 写真.txt": b"2"}
    assert sorted(os.listdir(tmp_path)) == ["out", "set.zip"]


def test_unpack_all(tmp_path):
    unpack(make_zip(tmp_path / "set.zip", {"a/1": b"1", "2": b"2", "empty/": b""}), tmp_path / "out")
    assert everything(tmp_path / "out") == {"a/1": b"1", "2": b"2"}


@pytest.mark.parametrize("inner", [None, "set"])
@pytest.mark.parametrize("name", ["../evil", "set/../../evil", "/tmp/evil", "..\\evil", "C:\\evil", "C:evil", "."])
def test_unpack_refuses_ways_out(tmp_path, name, inner):
    (tmp_path / "place").mkdir()
    archive = make_zip(tmp_path / "place" / "set.zip", {"set/good": b"1", name: b"2"})
    with pytest.raises(UserError, match="unsafe path") as caught:
        unpack(archive, tmp_path / "place" / "out", inner=inner)
    assert str(archive) in one_line(caught)
    assert os.listdir(tmp_path / "place") == ["set.zip"]
    assert os.listdir(tmp_path) == ["place"]
    assert not Path("/tmp/evil").exists()


def test_unpack_refuses_links(tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as zipped:
        link = zipfile.ZipInfo("set/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        zipped.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="unsafe path"):
        unpack(tmp_path / "set.zip", tmp_path / "out")
    assert os.listdir(tmp_path) == ["set.zip"]


def in_the_middle(content: bytes) -> bytes:
    return content[:400] + bytes(255 - byte for byte in content[400:500]) + content[500:]


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
@pytest.mark.parametrize("damage", [lambda content: content[:-200], lambda _: b"", lambda _: b"<html>", in_the_middle])
def test_unpack_refuses_damage(tmp_path, method, damage):
    noise = random.Random(0).randbytes(2000)
    archive = make_zip(tmp_path / "set.zip", {"set/first": b"1", "set/second": noise}, method)
    archive.write_bytes(damage(archive.read_bytes()))
    damaged = archive.read_bytes()
    with pytest.raises(DamagedArchiveError, match="damaged or cut short .* it is now set.zip.damaged") as caught:
        unpack(archive, tmp_path / "out", inner="set")
    assert str(archive) in one_line(caught)
    assert everything(tmp_path) == {"set.zip.damaged": damaged}


def test_unpack_refuses_a_damaged_compressed_stream(tmp_path):
    archive = make_zip(tmp_path / "set.zip", {"1": b"content" * 100}, zipfile.ZIP_DEFLATED)
    content = bytearray(archive.read_bytes())
    content[30 + len("1")] = 0xFF  # right behind the header: a block of a type that there is not
    archive.write_bytes(content)
    with pytest.raises(DamagedArchiveError, match="damaged or cut short"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["set.zip.damaged"]


def test_unpack_refuses_a_name_that_cannot_be_decoded(tmp_path):
    archive = make_zip(tmp_path / "set.zip", {"ü": b"1"})
    archive.write_bytes(archive.read_bytes().replace("ü".encode(), b"\xff\xff"))
    with pytest.raises(UserError, match="damaged or cut short .*decode"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["set.zip.damaged"]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_unpack_refuses_what_becomes_far_too_large(tmp_path, method, monkeypatch):
    monkeypatch.setattr(download, "LITTLE", 1e6)
    archive = make_zip(tmp_path / "set.zip", {"set/a.jpg": b"1", "set/b.jpg": bytes(10_000_000)}, method)
    with pytest.raises(UserError, match=r"would become 0.01 GB, more than 100 times its size. Use another"):
        unpack(archive, tmp_path / "out", inner="set")
    assert os.listdir(tmp_path) == ["set.zip"]


def test_unpack_writes_no_more_than_the_archive_says(tmp_path):
    """A size that is not true does not lead past the limit."""
    archive = make_zip(tmp_path / "set.zip", {"a": bytes(1_000_000)}, zipfile.ZIP_DEFLATED)
    size = struct.pack("<I", 1_000_000)
    assert archive.read_bytes().count(size) == 2  # beside the file, and in the list at the end
    archive.write_bytes(archive.read_bytes().replace(size, struct.pack("<I", 10)))
    with pytest.raises(UserError, match="damaged"):
        unpack(archive, tmp_path / "out")
    assert os.listdir(tmp_path) == ["set.zip.damaged"]


def test_unpack_looks_for_room_first(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "set.zip", {"a": bytes(3_000_000)})
    monkeypatch.setattr(download.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 8, 2_000_000))
    with pytest.raises(CannotWriteError, match="unpacks to 0.003 GB, but only 0.002 GB are free.*Elsewhere."):
        unpack(archive, tmp_path / "out", hint="Elsewhere.")
    assert os.listdir(tmp_path) == ["set.zip"]


def test_unpack_refuses_an_archive_of_something_else(tmp_path):
    with pytest.raises(UserError, match="no file below set"):
        unpack(make_zip(tmp_path / "set.zip", {"other/1": b"1"}), tmp_path / "out", inner="set")
    assert os.listdir(tmp_path) == ["set.zip"]


def test_unpack_with_a_full_disk_leaves_nothing(tmp_path, monkeypatch):
    def copyfileobj(source, sink):
        raise OSError(28, "No space left on device")

    archive = make_zip(tmp_path / "set.zip", {"set/1": b"1"})
    monkeypatch.setattr(download.shutil, "copyfileobj", copyfileobj)
    with pytest.raises(UserError, match="No space left") as caught:
        unpack(archive, tmp_path / "out", inner="set")
    one_line(caught)
    assert os.listdir(tmp_path) == ["set.zip"]
