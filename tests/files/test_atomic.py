import errno
import os
import shutil
import stat
from pathlib import Path

import pytest

from lit_gen.errors import UserError
from lit_gen.files.atomic import (
    complete_file,
    complete_folder,
    make_folder,
    remove_if_empty,
    remove_partial,
    remove_partial_of,
)


class Interruption(BaseException):
    """Stands for Ctrl-C."""


def test_a_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "new folder" / "größe 1.txt"
    with complete_file(target) as partial:
        partial.write_text("all")
        assert not target.exists()
        assert partial.parent == target.parent  # the same file system: renaming is one step
    assert target.read_text() == "all"
    assert os.listdir(target.parent) == [target.name]


def test_a_name_may_be_as_long_as_the_disk_takes(tmp_path):
    """And what is left of a half-written one is known, and not taken for that of another."""
    first, second, folder = tmp_path / ("ü" * 127), tmp_path / ("ü" * 126 + "n"), tmp_path / ("o" * 255)
    for path in (first, second):
        with complete_file(path) as partial:
            partial.write_text("all")
            shutil.copy(partial, partial.with_suffix(".x.partial"))  # as of a killed process
    with complete_folder(folder):
        pass
    assert first.read_text() == second.read_text() == "all" and folder.is_dir()
    assert len(os.listdir(tmp_path)) == 5
    remove_partial_of(first)
    assert len(os.listdir(tmp_path)) == 4
    remove_partial(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([first, second, folder])


@pytest.mark.parametrize("error", [ValueError, Interruption])
def test_an_interrupted_file_leaves_the_old_one(tmp_path, error):
    target = tmp_path / "file"
    target.write_text("old")
    with pytest.raises(error), complete_file(target) as partial:
        partial.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.parametrize("error", [ValueError, Interruption])
def test_an_interrupted_folder_leaves_nothing(tmp_path, error):
    with pytest.raises(error), complete_folder(tmp_path / "folder") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("half")
        raise error
    assert os.listdir(tmp_path) == []


def test_a_folder_appears_when_it_is_complete(tmp_path):
    with complete_folder(tmp_path / "folder") as partial:
        (partial / "file").write_text("all")
        assert not (tmp_path / "folder").exists()
    assert os.listdir(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "file").read_text() == "all"


def test_the_first_of_two_folders_stays(tmp_path):
    with complete_folder(tmp_path / "folder") as late:
        (late / "file").write_text("late")
        with complete_folder(tmp_path / "folder") as early:
            (early / "file").write_text("early")
    assert os.listdir(tmp_path) == ["folder"]
    assert (tmp_path / "folder" / "file").read_text() == "early"


def test_others_may_read_what_the_umask_allows(tmp_path):
    mask = os.umask(0o027)
    try:
        with complete_file(tmp_path / "file"):
            pass
        with complete_folder(tmp_path / "folder"):
            pass
    finally:
        os.umask(mask)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o750


def test_make_folder_complains_of_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot create the folder .*file/inner") as caught:
        make_folder(tmp_path / "file" / "inner")
    assert "\n" not in str(caught.value)


def test_make_folder_complains_of_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(UserError, match="cannot write to the folder"):
        make_folder(tmp_path)


def test_only_empty_folders_are_removed(tmp_path):
    outer, inner = tmp_path / "kept" / "outer", tmp_path / "kept" / "outer" / "inner"
    inner.mkdir(parents=True)
    (tmp_path / "kept" / "file").write_text("")
    remove_if_empty(inner, outer, tmp_path / "kept")
    assert os.listdir(tmp_path / "kept") == ["file"]
    remove_if_empty(tmp_path / "not there")


def test_what_a_killed_process_left_half_written_is_removed(tmp_path):
    (tmp_path / "inner").mkdir()
    half = ".export.x3.partial"  # an export may be at work there
    (tmp_path / half).mkdir()
    kept = {"inner/a.png", "inner/.predict-0.partial", ".hidden", "my.partial", f"{half}/.b.x4.partial"}
    for name in (".last.ckpt.x1.partial", "inner/.a.png.x2.partial", *kept):
        (tmp_path / name).write_text("x")
    remove_partial(tmp_path)
    assert {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")} == {*kept, "inner", half}


def test_the_umask_is_never_changed(tmp_path, monkeypatch):
    """Another thread might make a file in that moment, which all could then write to."""
    monkeypatch.setattr(os, "umask", None)
    with complete_file(tmp_path / "file"):
        pass
    with complete_folder(tmp_path / "folder"):
        pass


def test_what_killed_processes_left_of_one_thing_is_removed(tmp_path):
    """Files and folders, whatever the name holds, and nothing of other things."""
    names = (".a[1].x1.partial", ".a[1].npy.x2.partial", ".a1.x3.partial", ".b.x4.partial", "a[1].partial", "a[1]")
    for name in names:
        (tmp_path / name).write_text("x")
    (tmp_path / ".a[1].x5.partial" / "inner").mkdir(parents=True)
    remove_partial_of(tmp_path / "a[1]")
    assert set(os.listdir(tmp_path)) == set(names[2:])


def test_the_disk_has_the_bytes_before_the_file_has_its_name(tmp_path, monkeypatch):
    """Else a loss of power may leave a name without bytes."""
    done, names = [], {}
    real_open, real_sync, real_replace = os.open, os.fsync, os.replace

    def opening(path, *arguments, **options):
        descriptor = real_open(path, *arguments, **options)
        names[descriptor] = os.path.basename(path)
        return descriptor

    def sync(descriptor):
        done.append(("sync", names[descriptor]))
        real_sync(descriptor)

    def replace(old, new):
        done.append(("rename", os.path.basename(old)))
        real_replace(old, new)

    monkeypatch.setattr(os, "open", opening)
    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(os, "replace", replace)
    with complete_file(tmp_path / "file") as partial:
        partial.write_text("all")
    assert done == [("sync", partial.name), ("rename", partial.name), ("sync", tmp_path.name)]


@pytest.mark.parametrize("where", ["write", "sync"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_one_line_and_leaves_nothing(number, where, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    if where == "sync":
        monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UserError, match=f"^cannot write .*file: {os.strerror(number)}. Make room. Elsewhere.$"):
        with complete_file(tmp_path / "file", "Elsewhere.") as partial:
            partial.write_text("all")
            if where == "write":
                fail()
    with pytest.raises(UserError, match="^cannot write .*folder: "), complete_folder(tmp_path / "folder"):
        fail()
    assert os.listdir(tmp_path) == []


def test_an_error_that_a_full_disk_led_to_is_that_of_a_full_disk(tmp_path):
    """torch.save writes an end to what it could not write, and fails again."""
    with pytest.raises(UserError, match="^cannot write .*file: No space left on device"):
        with complete_file(tmp_path / "file"):
            try:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            finally:
                raise RuntimeError("unexpected pos 918656 vs 918576")


@pytest.mark.parametrize("of", [complete_file, complete_folder])
def test_other_errors_come_through_as_they_are(of, tmp_path):
    with pytest.raises(FileNotFoundError, match="gone") as caught, of(tmp_path / "file"):
        open("gone")
    assert caught.value.__cause__ is None


def test_a_folder_that_could_not_be_begun_leaves_none_above_it(tmp_path, monkeypatch):
    mkdir = Path.mkdir

    def full(path, *arguments, **options):
        if path.name.endswith(".partial"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        mkdir(path, *arguments, **options)

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match="^cannot write .*No space left on device"):
        with complete_folder(tmp_path / "runs" / "vae" / "export"):
            pass
    assert not list(tmp_path.iterdir())
