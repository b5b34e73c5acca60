"""``python -m kmgan_lib`` is the command ``kmgan``."""

from kmgan_lib.cli import main

if __name__ == "__main__":
    main()
