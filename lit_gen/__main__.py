"""The program: `python main.py`, `python -m lit_gen`, or `lit-gen` where the package is installed."""

import os
import signal
import sys


def main() -> None:
    """Run the command line with the words of this process, which may name classes of files in this folder."""
    sys.path.append(os.getcwd())  # last: no file of a folder takes the place of a package
    from lit_gen.command_line.help import answer

    answer(sys.argv[1:])  # before the imports of all the rest, which take seconds

    from lit_gen.cli import main as run

    try:
        run()
    except SystemExit as end:
        if end.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # one more Ctrl-C would end in a traceback of Python's exit
        raise


if __name__ == "__main__":
    main()
