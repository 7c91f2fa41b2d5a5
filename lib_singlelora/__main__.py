"""The command line: `python -m lib_singlelora …`, the same words as `python singlelora.py …`."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
