"""Keras' own test of layers, on every one of ours."""

import pytest

from tests.helpers.keras_harness import run_layer_test
from tests.helpers.layer_cases import BY_NAME


@pytest.mark.parametrize("name", BY_NAME)
def test_layer(name):
    case = BY_NAME[name]
    layer = case.make()
    arguments = {
        **case.arguments,
        **case.quantizer_arguments("ste_sign", "ste_sign"),
    }
    run_layer_test(
        case.layer_class,
        arguments,
        input_shape=case.input_shape,
        expected_output_shape=tuple(layer.compute_output_shape(case.input_shape)),
        expected_num_trainable_weights=len(case.kernels) + 1,
        expected_num_non_trainable_weights=0,
        expected_num_losses=0,
    )


@pytest.mark.parametrize("name", ["QuantDense", "QuantConv2D"])
def test_layer_with_a_regularizer_and_weights_in_its_quantizer(name):
    case = BY_NAME[name]
    run_layer_test(
        case.layer_class,
        {
            **case.arguments,
            "input_quantizer": {"class_name": "RSign", "config": {}},
            "kernel_quantizer": {"class_name": "IRNetSign", "config": {}},
            "kernel_regularizer": "l2",
        },
        input_shape=case.input_shape,
        expected_num_trainable_weights=3,
        expected_num_losses=1,
    )
