"""Composites one after another, with bits between them, in the stock interpreter."""

import numpy as np
import pytest
from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from kerasbnn.runtime.composites import (
    BITS,
    CONV_2D,
    DENSE,
    DEPTHWISE_CONV_2D,
    FLOAT,
    SIGN_OF_FLOAT,
    Composite,
)
from tests.helpers.composite_cases import random_case
from tests.helpers.composite_chains import (
    expected_of,
    inputs_of_chain,
    outputs_of_chain,
    random_chain,
)
from tests.helpers.tflite_models import inputs_of, model_of, run, run_with


def assert_same(outputs, expected):
    assert outputs.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(outputs[name], values, err_msg=name)


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("seed", range(15))
def test_one_interpreter_at_several_batch_sizes(seed, weights):
    cases = random_chain(np.random.default_rng(seed))
    interpreter = Interpreter(model_content=model_of(cases, weights))
    for batch in (2, 1, 5, 3):
        outputs = run_with(interpreter, inputs_of_chain(cases, batch))
        assert_same(outputs, outputs_of_chain(cases, batch))


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("given", [BITS, SIGN_OF_FLOAT, FLOAT])
@pytest.mark.parametrize("name", [CONV_2D, DEPTHWISE_CONV_2D])
def test_growing_batches(name, given, weights, rng):
    # Where XNNPACK took the unpacking of weights or inputs, LiteRT went wrong at the
    # first call with more samples than ever before, in one interpreter of four.
    window = {"kernel_h": 3, "kernel_w": 3, "same": 1}
    outputs = 40 if name == DEPTHWISE_CONV_2D else 33
    inputs = 40 if name == DEPTHWISE_CONV_2D else 5
    composite = Composite(name, inputs, outputs, **window, input=given, output=BITS)
    case = random_case(rng, composite, batch=7, size=(13, 13))
    content, expected = model_of([case], weights), expected_of(case)
    for sizes in rng.integers(1, 8, (20, 6)):
        interpreter = Interpreter(model_content=content)
        for size in sizes:
            outputs = run_with(interpreter, inputs_of(case, size))
            assert_same(outputs, {"y_0": expected[:size]})


@pytest.mark.parametrize(
    "options",
    [
        {
            "experimental_op_resolver_type": (
                OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
            )
        },
        {"num_threads": 2},
    ],
    ids=["without XNNPACK", "two threads"],
)
@pytest.mark.parametrize("weights", ["int8", "float"])
def test_other_ways_to_run(weights, options, rng):
    cases = random_chain(rng)
    outputs = run(model_of(cases, weights), inputs_of_chain(cases), **options)
    assert_same(outputs, outputs_of_chain(cases))


@pytest.mark.parametrize("batch", [1, 5])
@pytest.mark.parametrize("seed", range(6))
def test_the_other_interface_of_litert(seed, batch):
    cases = random_chain(np.random.default_rng(seed), batch)
    model = CompiledModel.from_buffer(model_of(cases))
    model.resize_input_tensor(0, cases[0].x.shape)
    expected = outputs_of_chain(cases)
    details = model.get_signature_list()["serving_default"]
    given = inputs_of_chain(cases)
    sources, results = (
        {name: make("serving_default", name) for name in details[kind]}
        for kind, make in (
            ("inputs", model.create_input_buffer_by_name),
            ("outputs", model.create_output_buffer_by_name),
        )
    )
    for name, buffer in sources.items():
        buffer.write(np.ascontiguousarray(given[name]))
    model.run_by_name("serving_default", sources, results)
    for name, values in expected.items():
        found = results[name].read(values.size, values.dtype)
        np.testing.assert_array_equal(found.reshape(values.shape), values)


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("fan_in", [131_999, 132_000])
@pytest.mark.parametrize("name", [DENSE, CONV_2D])
def test_large_fan_in(name, fan_in, weights, rng):
    case = random_case(rng, Composite(name, fan_in, 3), batch=2, size=(1, 1))
    # The largest products there are, and one that is small.
    case.weights[0], case.weights[1] = 1, -1
    case.x[0] = 0
    case.scale[:], case.bias[:] = 1, 0
    outputs = run(model_of([case], weights), inputs_of(case))
    assert outputs["y_0"].reshape(2, 3)[0, :2].tolist() == [fan_in, -fan_in]
    assert_same(outputs, {"y_0": expected_of(case)})


@pytest.mark.parametrize("strides", [(1, 3), (2, 1)])
@pytest.mark.parametrize("dilations", [(1, 2), (3, 1)])
@pytest.mark.parametrize("pad_value", [-1, 0, 1])
@pytest.mark.parametrize("given", [BITS, SIGN_OF_FLOAT])
def test_windows_that_differ_by_axis(given, pad_value, dilations, strides, rng):
    composite = Composite(
        CONV_2D,
        35,
        6,
        kernel_h=2,
        kernel_w=4,
        stride_h=strides[0],
        stride_w=strides[1],
        dilation_h=dilations[0],
        dilation_w=dilations[1],
        same=1,
        pad_value=pad_value,
        input=given,
    )
    case = random_case(rng, composite, size=(9, 14))
    outputs = run(model_of([case]), inputs_of(case))
    assert_same(outputs, {"y_0": expected_of(case)})


def test_zeros_of_both_signs_are_positive():
    rng = np.random.default_rng(0)
    composite = Composite(DENSE, 40, 4, input=SIGN_OF_FLOAT, output=BITS)
    case = random_case(rng, composite)
    case.x[:] = np.where(rng.random(case.x.shape) < 0.5, -0.0, 0.0)
    case.weights[:], case.scale[:] = 1, 1
    # Decided at a tie, from either side, and by the smallest step from one.
    case.bias[:] = [-40, -39, np.nextafter(np.float32(-40), np.float32(-41)), 0]
    (bits,) = run(model_of([case]), inputs_of(case)).values()
    assert bits.tolist() == [[0b100, 0, 0, 0]] * 2
