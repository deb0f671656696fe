"""The program: `python main.py`, `python -m lit_gen`, or `lit-gen` where the package is installed."""

import os
import signal
import sys


def main() -> None:
    """Run the command line with the words of this process, which may name classes of files in this folder."""
    sys.path.append(os.getcwd())  # last: no file of a folder takes the place of a package
    from lit_gen.command_line.help import answer

    try:
        try:
            answer(sys.argv[1:])  # before the imports of all the rest, which take seconds

            from lit_gen.cli import main as run

            run()
        finally:
            print(end="", flush=True)
    except BrokenPipeError:  # as of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for what Python writes at its exit
        raise SystemExit(128 + signal.SIGPIPE) from None
    except SystemExit as end:
        if end.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C would end in a traceback of Python's exit
        raise


if __name__ == "__main__":
    main()
