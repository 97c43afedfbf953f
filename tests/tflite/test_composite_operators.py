"""How constants of composites are stored, and that they mean what they did."""

import numpy as np
import pytest

from kerasbnn.runtime.composites import NAMES, Composite
from kerasbnn.runtime.model_file import read_model_file
from kerasbnn.tflite.composite_operators import make_composite
from kerasbnn.tflite.graph import Graph
from tests.helpers.composite_cases import random_case, random_composite
from tests.helpers.composite_chains import expected_of
from tests.helpers.tflite_models import inputs_of, model_of, run


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(12))
def test_numbers_that_are_the_same_in_all_channels_are_stored_once(name, seed, weights):
    rng = np.random.default_rng(seed)
    case = random_case(rng, random_composite(rng, name))
    # Each of them alone, and both; 1 and 0 leave operations out.
    scale, bias = ((1, None), (None, 0), (-0.7, 2.5), (1, 0), (0, -0.5), (-1, -0.0))[
        seed % 6
    ]
    if scale is not None:
        case.scale[:] = scale
    if bias is not None:
        case.bias[:] = bias
    content = model_of([case], weights)
    (placed,) = read_model_file(content, "it").composites
    for stored, values in zip(
        placed.constants[1:], (case.scale, case.bias), strict=True
    ):
        assert len(stored) == (1 if len(set(values.tolist())) == 1 else len(values))
        np.testing.assert_array_equal(np.broadcast_to(stored, values.shape), values)
    (y,) = run(content, inputs_of(case)).values()
    np.testing.assert_array_equal(y, expected_of(case))


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_filters_must_be_what_the_composite_says(dtype):
    composite = Composite(NAMES[0], 40, 3)
    main = Graph().add_subgraph()
    x = main.add_tensor((-1, 40), np.float32)
    filters = np.zeros((3, 4 if dtype == np.uint8 else 8), dtype)
    ones = np.ones(3, np.float32)
    with pytest.raises(ValueError, match=r"uint8 of shape \(3, 8\)\. Received: u?int8"):
        make_composite(main, composite, x, filters, ones, ones, x)
