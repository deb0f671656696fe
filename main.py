if __name__ == "__main__":
    from lit_gen.cli import main

    main()
