"""Errors that several modules of the command line share."""


class CommandError(Exception):
    """Something the user can mend: one line for the screen, and exit status 2."""
