import pytest

from .traffic import RAW, TEST, send

# All that is offered is measured.
EAGER = {"geometry_budget": 1.0, "geometry_queue": 4096}


@pytest.fixture(scope="package")
def clean_server(serve_folder):
    """Return the address of a server that has seen the test set."""
    with serve_folder(**EAGER) as address:
        send(address, RAW[TEST])
        yield address


@pytest.fixture(scope="package")
def drifting_server(serve_folder):
    """Return the address of a server that has seen inverted digits."""
    with serve_folder(**EAGER) as address:
        send(address, 255 - RAW[TEST])
        yield address
