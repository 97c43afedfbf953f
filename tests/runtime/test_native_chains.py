"""The native delegate in LiteRT's own interpreter, on chains of composites."""

import dataclasses

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from ai_edge_litert.schema_py_generated import ModelT

from kerasbnn.runtime.composites import BITS, CONV_2D, SIGN_OF_FLOAT, Composite
from kerasbnn.runtime.self_test import taken_by_delegate
from tests.helpers.composite_cases import random_case
from tests.helpers.composite_chains import (
    case_on,
    expected_of,
    inputs_of_chain,
    outputs_of_chain,
    random_chain,
)
from tests.helpers.delegates import needs_delegate
from tests.helpers.native_operations import library_path
from tests.helpers.tflite_models import model_of, run_with

pytestmark = needs_delegate


@pytest.fixture(scope="module")
def delegate():
    return load_delegate(library_path())


def check(interpreter, cases, batches=(5, 1, 3, 3, 5)):
    for batch in batches:
        outputs = run_with(interpreter, inputs_of_chain(cases, batch))
        expected = outputs_of_chain(cases, batch)
        assert outputs.keys() == expected.keys()
        for name, values in expected.items():
            np.testing.assert_array_equal(outputs[name], values, err_msg=name)


@pytest.mark.parametrize("weights", ["int8", "float"])
@pytest.mark.parametrize("seed", range(20))
def test_one_interpreter_at_several_batch_sizes(seed, weights, delegate):
    cases = random_chain(np.random.default_rng(seed))
    interpreter = Interpreter(
        model_content=model_of(cases, weights), experimental_delegates=[delegate]
    )
    check(interpreter, cases)
    assert len(taken_by_delegate(interpreter)) >= len(cases)


@pytest.mark.parametrize("threads", [2, 4])
def test_threads_of_an_interpreter(threads, delegate, rng):
    cases = random_chain(rng)
    interpreter = Interpreter(
        model_content=model_of(cases),
        experimental_delegates=[delegate],
        num_threads=threads,
    )
    check(interpreter, cases)


def test_one_delegate_for_several_interpreters(delegate):
    chains = [random_chain(np.random.default_rng(seed)) for seed in range(4)]
    interpreters = [
        Interpreter(model_content=model_of(c), experimental_delegates=[delegate])
        for c in chains
    ]
    for _ in range(2):
        for interpreter, cases in zip(interpreters, chains, strict=True):
            check(interpreter, cases)
    del interpreters[0]
    check(interpreters[0], chains[1])


@pytest.mark.filterwarnings("ignore:.*preserve_all_tensors")
def test_tensors_that_are_kept_between_operations(delegate, rng):
    cases = random_chain(rng)
    interpreter = Interpreter(
        model_content=model_of(cases),
        experimental_delegates=[delegate],
        experimental_preserve_all_tensors=True,
    )
    check(interpreter, cases)


def with_changed(content, change):
    """Return a file whose first subgraph is changed, with all its operations kept."""
    model = ModelT.InitFromPackedBuf(content, 0)
    change(model.subgraphs[0], model.signatureDefs[0])
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_outputs_that_nothing_reads(delegate):
    # Outputs of the last layers are dropped, not the layers.
    cases = random_chain(np.random.default_rng(0))

    def leave_out_the_last(graph, signature):
        graph.outputs = graph.outputs[:1]
        signature.outputs = signature.outputs[:1]

    content = with_changed(model_of(cases), leave_out_the_last)
    interpreter = Interpreter(model_content=content, experimental_delegates=[delegate])
    for batch in (2, 5):
        found = run_with(interpreter, inputs_of_chain(cases, batch))
        assert list(found) == ["y_0"]
        expected = outputs_of_chain(cases, batch)["y_0"]
        np.testing.assert_array_equal(found["y_0"], expected)


def test_a_tensor_that_two_layers_write_in_other_sizes_is_refused(delegate, rng):
    size = (20, 20)
    wide = Composite(CONV_2D, 32, 512)
    back = Composite(CONV_2D, 512, 32, input=SIGN_OF_FLOAT, output=BITS)
    cases = [random_case(rng, wide, 1, size)]
    for composite in (
        back,
        dataclasses.replace(wide, stride_h=size[0], stride_w=size[1]),
    ):
        cases.append(case_on(rng, composite, expected_of(cases[-1])))

    def write_the_first_output_again(graph, signature):
        graph.operators[2].outputs = graph.operators[0].outputs
        graph.outputs = graph.outputs[:2]
        signature.outputs = signature.outputs[:2]

    content = with_changed(model_of(cases), write_the_first_output_again)
    interpreter = Interpreter(model_content=content, experimental_delegates=[delegate])
    with pytest.raises(RuntimeError, match="another size than its shape"):
        run_with(interpreter, inputs_of_chain(cases))


def test_more_images_than_are_prepared_at_a_time(delegate, rng):
    cases = random_chain(rng, batch=150)
    interpreter = Interpreter(
        model_content=model_of(cases), experimental_delegates=[delegate]
    )
    check(interpreter, cases, (150, 2, 149))
