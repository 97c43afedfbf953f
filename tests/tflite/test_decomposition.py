"""Composites in the stock interpreter against numpy."""

import numpy as np
import pytest

from kerasbnn.runtime.composites import NAMES
from tests.helpers.composite_cases import random_case, random_composite
from tests.helpers.composite_reference import reference
from tests.helpers.tflite_models import inputs_of, model_of, run


def expected_of(case, batch=None):
    residual = None if case.residual is None else case.residual[:batch]
    x = case.x[:batch]
    return reference(case.composite, x, case.weights, case.scale, case.bias, residual)


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(25))
def test_random_composites(name, weights, seed):
    rng = np.random.default_rng(seed)
    case = random_case(rng, random_composite(rng, name), batch=5)
    content = model_of([case], weights)
    for batch in (5, 1, 3):
        (y,) = run(content, inputs_of(case, batch)).values()
        np.testing.assert_array_equal(y, expected_of(case, batch))
