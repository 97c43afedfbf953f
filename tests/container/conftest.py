"""The image, and the service that compose runs: through a real engine only.

    .ci/with-docker.sh .venv-docker \
        env KERASBNN_TEST_CONTAINER=1 pytest -n 0 tests/container
"""

import os

import pytest

from tests.container.engine import Project, build_image

VARIABLE = "KERASBNN_TEST_CONTAINER"


def pytest_collection_modifyitems(items):
    if os.environ.get(VARIABLE):
        return
    here = os.path.dirname(__file__)
    for item in items:
        if str(item.path).startswith(here):
            item.add_marker(pytest.mark.skip(reason=f"needs Docker and {VARIABLE}=1"))


@pytest.fixture(scope="session")
def image():
    """The image, built from the source."""
    build_image()


@pytest.fixture(scope="session")
def service(image):
    """The service as `docker compose up` starts it."""
    with Project("kerasbnn-test") as project:
        yield project
