import os
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from lit_gen.errors import UserError
from lit_gen.files import parallel
from lit_gen.files.parallel import map_indices


def environment_of(folder: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join((str(Path(__file__).parents[2]), str(folder)))}


def run_script(script: Path) -> subprocess.CompletedProcess:
    environment = environment_of(script.parent)
    return subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120, env=environment)


def square(index):
    return index * index


def note_process(folder: Path, index):
    (folder / f"{index}.{os.getpid()}").touch()
    return index


def note_process_slowly(folder: Path, index):
    (folder / str(os.getpid())).touch()
    time.sleep(0.05)


def fail_at(bad, index):
    if index == bad:
        raise UserError(f"image {index} is broken")
    return index


@pytest.mark.parametrize("count", [0, 1, 20])
def test_results_are_in_order(count):
    assert map_indices(square, count, "squares") == [index * index for index in range(count)]


def test_few_are_done_in_this_process(tmp_path):
    map_indices(partial(note_process, tmp_path), 255, "noting", workers=2)
    assert {int(name.split(".")[1]) for name in os.listdir(tmp_path)} == {os.getpid()}


def test_many_are_done_by_other_processes(tmp_path):
    assert map_indices(partial(note_process, tmp_path), 300, "noting", workers=2) == list(range(300))
    names = [name.split(".") for name in os.listdir(tmp_path)]
    assert sorted(int(index) for index, _ in names) == list(range(300))  # each once
    assert str(os.getpid()) not in {process for _, process in names}


@pytest.mark.parametrize("count", [10, 300])
def test_an_error_comes_back_as_itself(count):
    with pytest.raises(UserError, match="^image 7 is broken$"):
        map_indices(partial(fail_at, 7), count, "failing", workers=2)


def test_functions_need_not_be_picklable_in_one_process():
    assert map_indices(lambda index: -index, 300, "negatives", workers=1) == [-index for index in range(300)]


def join(index, item):
    return f"{index}{item}"


@pytest.mark.parametrize("count", [3, 300])
def test_items_come_with_their_index(count):
    words = [f" word {index}" for index in range(count)]
    assert map_indices(join, count, "joining", workers=2, items=words) == [f"{k} word {k}" for k in range(count)]


@pytest.mark.parametrize("imported", ["large", "os"])
def test_workers_share_the_imports_of_a_room_that_asks_for_it(tmp_path, imported):
    """torch takes seconds and 0.5 GB per process: the data modules' workers get it from their server."""
    (tmp_path / "large.py").write_text("from lit_gen.files.parallel import PRELOAD\nPRELOAD.append(__name__)\n")
    (tmp_path / "script.py").write_text(
        "import sys\nfrom lit_gen.files.parallel import map_indices\n"
        "def is_there(index): return 'large' in sys.modules\n"
        f"if __name__ == '__main__':\n    import {imported}\n"
        "    print({*map_indices(is_there, 256, 'looking', workers=2)})\n"
    )
    done = run_script(tmp_path / "script.py")
    assert done.stdout == f"{{{imported == 'large'}}}\n", done.stderr


def test_the_data_modules_ask_for_it():
    import lit_gen.data

    assert lit_gen.data.__name__ in parallel.PRELOAD


def test_a_script_needs_no_guard(tmp_path):
    """Its workers would run it again: each would wait for the lock that the script holds while they work for it."""
    (tmp_path / "script.py").write_text(
        "from pathlib import Path\nfrom lit_gen.files.lock import alone\n"
        "from lit_gen.files.parallel import map_indices\n"
        f"with alone(Path({str(tmp_path / 'lock')!r}), 'counting'):\n"
        "    print(sum(map_indices(abs, 300, 'counting', workers=2)))\n"
    )
    done = run_script(tmp_path / "script.py")
    assert done.stdout == "44850\n", done.stderr


def test_functions_of_a_script_need_a_guard(tmp_path):
    """multiprocessing.Pool would start new workers for ever."""
    script = tmp_path / "script.py"
    script.write_text(
        "from lit_gen.files.parallel import map_indices\n"
        "def double(index): return 2 * index\nmap_indices(double, 300, 'counting', workers=2)\n"
    )
    done = run_script(script)
    assert done.returncode == 1 and "ended while counting. Start your script below" in done.stderr


def test_no_worker_outlives_a_process_that_is_killed(tmp_path):
    """Of a process that is killed for its memory, two workers with half a gigabyte each would stay for ever."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "script.py").write_text(
        "from functools import partial\nfrom pathlib import Path\n"
        "from tests.files.test_parallel import map_indices, note_process_slowly\n"
        f"notes = partial(note_process_slowly, Path({str(tmp_path / 'notes')!r}))\n"
        "map_indices(notes, 10_000, 'noting', workers=2)\n"
    )
    script = subprocess.Popen([sys.executable, tmp_path / "script.py"], env=environment_of(tmp_path))
    workers: list[str] = []
    until = time.monotonic() + 60
    while len(workers) < 2 and time.monotonic() < until:
        workers = os.listdir(tmp_path / "notes")
        time.sleep(0.05)
    script.kill()
    script.wait()
    there = set(workers)
    while there and time.monotonic() < until:
        there = {process for process in there if is_alive(int(process))}
        time.sleep(0.05)
    assert len(workers) == 2 and not there


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
