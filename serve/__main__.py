"""`python -m kerasbnn.serve`: the command `kerasbnn serve`."""

import argparse
import sys

from kerasbnn._errors import CommandError

from .command import add_arguments, run


def main() -> int:
    """Run the service with the arguments of the process.

    Returns:
        Exit status: 0, or 2 after a usage error.
    """
    parser = argparse.ArgumentParser(
        prog="python -m kerasbnn.serve", description="Serve converted models over REST."
    )
    add_arguments(parser)
    try:
        return run(parser.parse_args())
    except CommandError as error:
        print(f"kerasbnn serve: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
