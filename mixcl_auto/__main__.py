"""``python -m mixcl_auto``, the same as the command."""

from mixcl_auto.cli.main import main

if __name__ == "__main__":
    main()
