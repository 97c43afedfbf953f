"""Finds and loads the native delegate."""


def load_if_usable():
    """Return the delegate, or None."""
    return None


def implementation():
    """Return the name of the implementation in use."""
    return None
