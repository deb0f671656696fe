"""The command line: `python main.py --help`."""

if __name__ == "__main__":
    from lit_gen.__main__ import main

    main()
