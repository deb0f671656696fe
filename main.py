"""The command line: `python main.py {fit,validate,test,predict,prepare,runs} --help`."""

if __name__ == "__main__":
    import sys

    from lit_gen.command_line.help import answer

    answer(sys.argv[1:])  # before the imports of all the rest, which take seconds

    from lit_gen.cli import main

    main()
