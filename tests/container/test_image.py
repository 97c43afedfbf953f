"""What is in the image, and what is not."""

import json

import pytest

from tests.container.engine import IMAGE, docker

MEGABYTE = 1e6
LARGEST = 450 * MEGABYTE


@pytest.fixture(scope="module")
def configuration(image):
    return json.loads(docker("image", "inspect", IMAGE))[0]


def test_is_small(configuration):
    size = configuration["Size"]
    print(f"{size / MEGABYTE:.0f} MB")
    assert size <= LARGEST


def test_runs_as_a_numeric_user_with_a_health_check(configuration):
    assert configuration["Config"]["User"] == "10001:10001"
    assert configuration["Config"]["Healthcheck"]["Test"][0] == "CMD"
    assert configuration["Config"]["StopSignal"] == "SIGTERM"
    labels = configuration["Config"]["Labels"]
    assert labels["org.opencontainers.image.licenses"] == "Apache-2.0"


@pytest.mark.parametrize(
    "name",
    ["keras", "tensorflow", "jax", "torch", "scipy", "sklearn", "matplotlib", "rich"]
    + ["pip", "setuptools"],
)
def test_has_nothing_that_serving_does_not_need(service, name):
    found = service.python(
        f"from importlib.util import find_spec as f; print(f({name!r}))"
    )
    assert found == "None"


def test_has_the_native_library_and_it_works(service):
    status = json.loads(
        service.python(
            "import json; from kerasbnn import runtime;"
            "print(json.dumps(runtime.status().to_dict()))"
        )
    )
    assert status["self_test"] == "passed", status
    assert status["implementation"], status
    assert "/opt/kerasbnn/" in status["library"]


def test_has_no_source_and_no_tests(service):
    files = service.python(
        "import kerasbnn, pathlib;"
        "root = pathlib.Path(kerasbnn.__file__).parent;"
        "print(*{path.suffix for path in root.rglob('*') if path.is_file()})"
    ).split()
    assert not {".cc", ".h", ".cmake"} & set(files)
