import http.client
import os
import random
import stat
import urllib.error
import zipfile
from pathlib import Path

import pytest

from lit_gen.data import download
from lit_gen.data.download import fetch, unpack
from lit_gen.errors import UserError

URL = "http://example.org/set.zip"


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


@pytest.fixture
def server(monkeypatch):
    """A function that says what the server answers: bytes, or an error."""

    def answer(what):
        def download_url_to_file(url, target, hash_prefix=None):
            assert url == URL
            if isinstance(what, Exception):
                Path(target).write_bytes(b"half")
                raise what
            Path(target).write_bytes(what)

        monkeypatch.setattr(download, "download_url_to_file", download_url_to_file)

    return answer


def test_fetch_puts_the_file_there(tmp_path, server):
    server(b"content")
    fetch(URL, tmp_path / "new" / "set.txt")
    assert everything(tmp_path) == {"new/set.txt": b"content"}


def test_fetch_leaves_a_file_that_is_there(tmp_path, server):
    (tmp_path / "set.zip").write_bytes(b"mine")
    server(AssertionError("asked the server"))
    fetch(URL, tmp_path / "set.zip")
    assert everything(tmp_path) == {"set.zip": b"mine"}


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (urllib.error.URLError("no route"), "no route"),
        (urllib.error.HTTPError(URL, 404, "Not Found", None, None), "Not Found"),
        (TimeoutError("timed out"), "timed out"),
        (http.client.IncompleteRead(b"half"), "IncompleteRead"),
        (RuntimeError("invalid hash value"), "invalid hash value"),
    ],
)
def test_fetch_failing_leaves_nothing(tmp_path, server, error, reason):
    server(error)
    with pytest.raises(UserError, match=reason) as caught:
        fetch(URL, tmp_path / "set.zip")
    assert URL in one_line(caught)
    assert os.listdir(tmp_path) == []


def test_fetch_refuses_a_zip_file_that_was_cut_short(tmp_path, server):
    whole = make_zip(tmp_path / "whole.zip", {"set/file": b"content" * 1000}).read_bytes()
    server(whole[:3000])
    with pytest.raises(UserError, match="not a whole zip"):
        fetch(URL, tmp_path / "set.zip")
    assert os.listdir(tmp_path) == ["whole.zip"]
    server(whole)
    fetch(URL, tmp_path / "set.zip")
    assert (tmp_path / "set.zip").read_bytes() == whole


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


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("damage", [lambda content: content[:-200], lambda _: b"", lambda _: b"<html>", in_the_middle])
def test_unpack_refuses_damage(tmp_path, method, damage):
    noise = random.Random(0).randbytes(2000)
    archive = make_zip(tmp_path / "set.zip", {"set/first": b"1", "set/second": noise}, method)
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(UserError, match="damaged or cut short") as caught:
        unpack(archive, tmp_path / "out", inner="set")
    assert str(archive) in one_line(caught)
    assert os.listdir(tmp_path) == ["set.zip"]


def test_unpack_refuses_a_damaged_compressed_stream(tmp_path):
    archive = make_zip(tmp_path / "set.zip", {"1": b"content" * 100}, zipfile.ZIP_DEFLATED)
    content = bytearray(archive.read_bytes())
    content[30 + len("1")] = 0xFF  # right behind the header: a block of a type that there is not
    archive.write_bytes(content)
    with pytest.raises(UserError, match="damaged or cut short"):
        unpack(archive, tmp_path / "out")
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
