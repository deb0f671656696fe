"""The program: `python main.py`, `python -m lit_gen`, or `lit-gen` where the package is installed."""

import os
import sys


def main() -> None:
    """Run the command line with the words of this process, which may name classes of files in this folder."""
    sys.path.append(os.getcwd())  # last: no file of a folder takes the place of a package
    from lit_gen.command_line.help import answer

    answer(sys.argv[1:])  # before the imports of all the rest, which take seconds

    from lit_gen.cli import main as run

    run()


if __name__ == "__main__":
    main()
