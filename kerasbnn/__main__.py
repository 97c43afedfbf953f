"""Run the command line as `python -m kerasbnn`."""

import sys

from kerasbnn.cli import main

if __name__ == "__main__":
    sys.exit(main())
