"""`python -m aelib`: the same as `aelib`."""

from .cli import main

if __name__ == "__main__":
    main()
