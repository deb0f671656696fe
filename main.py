"""The command line: `python main.py {fit,validate,test,predict,export,prepare,check,runs} --help`."""

if __name__ == "__main__":
    from lit_gen.__main__ import main

    main()
