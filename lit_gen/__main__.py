"""The program: `python main.py`, `python -m lit_gen`, or `lit-gen` where the package is installed."""

import os
import select
import signal
import sys

CLOSED_PIPE = 128 + signal.SIGPIPE
"""The exit code where the reader of standard output is gone, as a shell gives it."""


def main() -> None:
    """Run the command line with the words of this process, which may name classes of files in this folder."""
    sys.path.append(os.getcwd())  # last: no file of a folder takes the place of a package
    from lit_gen.command_line.help import answer

    try:
        answer(sys.argv[1:])  # before the imports of all the rest, which take seconds

        from lit_gen.cli import main as run

        run()
        print(end="", flush=True)
    except BrokenPipeError:
        if not _reader_is_gone():  # it is another pipe that broke
            raise
        raise SystemExit(CLOSED_PIPE) from None
    except SystemExit as end:
        if end.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C would end in a traceback of Python's exit
        if end.code in (None, 0) and _reader_is_gone():
            raise SystemExit(CLOSED_PIPE) from None
        raise
    finally:
        if _reader_is_gone():  # what Python writes at its exit goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _reader_is_gone() -> bool:
    """Return whether standard output is a pipe that nobody reads any more, as of `| head`, which has read enough."""
    try:
        place = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # it is closed, or no file
        return False
    poll = select.poll()
    poll.register(place, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))


if __name__ == "__main__":
    main()
