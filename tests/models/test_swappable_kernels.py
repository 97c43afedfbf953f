"""What cannot be swapped is refused, with what to do about it."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantConv2D, QuantDense, quantizers
from kerasbnn.models.weight_swap import binarized_scope, continuous_scope
from tests.helpers.swap_networks import BINARY


def quantized():
    return keras.Sequential(
        [
            keras.Input((7,)),
            QuantDense(6, **BINARY, name="first"),
            layers.BatchNormalization(name="norm"),
        ]
    )


def test_kernels_without_latent_weights_stay(rng):
    bop = QuantDense(4, kernel_quantizer=quantizers.NoOp(precision=1), name="bop")
    model = keras.Sequential([keras.Input((7,)), bop, QuantDense(3, **BINARY)])
    scope = continuous_scope(model)
    with pytest.warns(UserWarning, match="Layer bop has the quantizer NoOp") as caught:
        scope.__enter__()
    assert caught[0].filename == __file__
    assert bop.kernel_quantizer is not None
    assert model.layers[1].kernel_quantizer is None
    scope.__exit__(None, None, None)
    assert model.layers[1].kernel_quantizer is not None
    with pytest.raises(ValueError, match="'bop' cannot be swapped.*no latent weights"):
        with continuous_scope(model, ["bop"]):
            pass
    with pytest.raises(ValueError, match="'bop' cannot be swapped.*no latent weights"):
        with binarized_scope(model, ["bop"]):
            pass


def broken_weights():
    model = float_model()
    model.get_layer("dense").bias.assign([np.nan, 0.0])
    model.get_layer("dense").kernel.assign(np.full((3, 2), np.inf))
    return model


def float_model():
    dense = layers.Dense(2, name="dense")
    return keras.Sequential([keras.Input((3,)), dense, layers.ReLU(name="relu")])


def with_lora():
    model = float_model()
    model.get_layer("dense").enable_lora(1)
    return model


@pytest.mark.parametrize(
    ("scope", "make", "arguments", "error", "message"),
    [
        (continuous_scope, float_model, [None], ValueError, "no quantized dense"),
        (continuous_scope, float_model, [["dense"]], ValueError, "already.*'binary'"),
        (
            continuous_scope,
            quantized,
            [["norm"]],
            ValueError,
            "BatchNormalization",
        ),
        (continuous_scope, quantized, [["frist"]], ValueError, "mean 'first'"),
        (continuous_scope, quantized, [[]], ValueError, "empty"),
        (continuous_scope, quantized, ["first"], TypeError, "list of paths"),
        (continuous_scope, quantized, [[3]], TypeError, "list of paths"),
        (continuous_scope, object, [None], TypeError, "keras.Model"),
        (binarized_scope, object, [None], TypeError, "keras.Model"),
        (binarized_scope, quantized, [None], ValueError, "no float dense"),
        (binarized_scope, quantized, [["first"]], ValueError, "'continuous'"),
        (binarized_scope, float_model, [["relu"]], ValueError, "ReLU is neither"),
        (binarized_scope, float_model, [None, None], ValueError, "is None"),
        (binarized_scope, float_model, [None, "sign"], ValueError, "Unknown quantizer"),
        (binarized_scope, float_model, [None, "r_sign"], ValueError, "of its own"),
        (binarized_scope, broken_weights, [None], ValueError, "'dense/kernel' are NaN"),
        (binarized_scope, with_lora, [None], ValueError, "LoRA"),
        (
            binarized_scope,
            float_model,
            [None, lambda w: keras.ops.log(w - 100)],
            ValueError,
            "to values that are NaN",
        ),
    ],
)
def test_what_does_not_fit_is_refused(scope, make, arguments, error, message):
    model = make()
    with pytest.raises(error, match=message):
        with scope(model, *arguments):
            pass


def test_layers_that_are_not_built_are_refused():
    for scope, layer in (
        (continuous_scope, QuantConv2D(2, 3, **BINARY, name="conv")),
        (binarized_scope, layers.Conv2D(2, 3, name="conv")),
    ):
        with pytest.raises(ValueError, match="'conv' has no weights yet"):
            with scope(keras.Sequential([layer])):
                pass


def test_a_call_that_keeps_its_weights_is_refused():
    compile_call = {"tensorflow": tensorflow_function, "jax": jax_function}.get(
        keras.backend.backend()
    )
    if compile_call is None:
        pytest.skip("what PyTorch compiles checks attributes at every call")

    class Compiled(keras.Model):
        def __init__(self):
            super().__init__(name="compiled")
            self.dense = QuantDense(2, **BINARY, name="dense")

        @compile_call
        def call(self, inputs):
            return self.dense(inputs)

    inner = Compiled()
    inner.dense.build((None, 3))
    model = keras.Sequential([inner, QuantDense(2, **BINARY, name="after")])
    model.layers[1].build((None, 2))
    with pytest.raises(ValueError, match="'compiled/dense'.*'compiled'"):
        with continuous_scope(model):
            pass
    with continuous_scope(model, ["after"]):
        assert model.layers[1].kernel_quantizer is None


def tensorflow_function(call):
    import tensorflow as tf

    return tf.function(call)


def jax_function(call):
    import jax

    return jax.jit(call, static_argnums=0)
