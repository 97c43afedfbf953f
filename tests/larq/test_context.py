"""Scopes: quantized weights read from outside, and metrics of new layers."""

import threading

import keras
import numpy as np
import pytest

import kerasbnn.larq as lq
from kerasbnn.larq.quantized_variable import QuantizedVariable
from tests.larq import real


def make():
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            lq.layers.QuantConv2D(3, 3, kernel_quantizer="ste_sign"),
            lq.layers.QuantSeparableConv2D(
                3,
                2,
                depthwise_quantizer="ste_tern",
                pointwise_quantizer="magnitude_aware_sign",
            ),
        ]
    )
    model.set_weights(real.row(real.under("scope"), "latent"))
    return model


def same(actual, expected):
    assert len(actual) == len(expected)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


LATENT = real.row(real.under("scope"), "latent")
QUANTIZED = real.row(real.under("scope"), "quantized")


def test_weights_are_quantized_inside_and_latent_outside():
    model = make()
    same(model.get_weights(), LATENT)
    with lq.context.quantized_scope(True) as quantize:
        assert quantize
        assert lq.context.should_quantize()
        same(model.get_weights(), QUANTIZED)
        same(model.layers[0].get_weights(), QUANTIZED[:2])
        np.testing.assert_array_equal(model.layers[0].kernel.numpy(), QUANTIZED[0])
        np.testing.assert_array_equal(
            np.array(model.layers[0].kernel, "float64"), QUANTIZED[0]
        )
        with lq.context.quantized_scope(False):
            same(model.get_weights(), LATENT)
        same(model.get_weights(), QUANTIZED)
    assert not lq.context.should_quantize()
    same(model.get_weights(), LATENT)


@pytest.mark.parametrize("file", ["model.keras", "model.h5", "model.weights.h5"])
def test_files_written_inside_hold_quantized_weights(file, tmp_path):
    model = make()
    path = tmp_path / file
    with lq.context.quantized_scope(True):
        if "weights" in file:
            model.save_weights(path)
        else:
            model.save(path)
    if "weights" in file:
        again = make()
        again.load_weights(path)
    else:
        again = keras.models.load_model(path)
    same(again.get_weights(), QUANTIZED)
    same(model.get_weights(), LATENT)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    np.testing.assert_allclose(
        again.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5, atol=1e-5
    )


def test_the_scope_ends_with_an_exception_and_keeps_to_its_thread():
    with pytest.raises(RuntimeError), lq.context.quantized_scope(True):
        raise RuntimeError
    assert not lq.context.should_quantize()
    seen = []
    with lq.context.quantized_scope(True):
        thread = threading.Thread(
            target=lambda: seen.append(lq.context.should_quantize())
        )
        thread.start()
        thread.join()
    assert seen == [False]


def test_training_goes_on_inside_with_latent_weights():
    x = np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype("float32")
    trained = []
    for quantize in (False, True):
        model = make()
        model.compile(keras.optimizers.SGD(0.01), "mse")
        with lq.context.quantized_scope(quantize):
            model.fit(x, np.ones((8, 3, 3, 3)), epochs=2, shuffle=False, verbose=0)
        trained.append(model.get_weights())
    same(*trained)
    assert (trained[0][0] != LATENT[0]).any()


def test_kernels_know_their_quantizer():
    layer = make().layers[1]
    kernel = layer.depthwise_kernel
    assert isinstance(kernel, QuantizedVariable)
    assert isinstance(kernel, keras.Variable)
    assert kernel.quantizer is layer.depthwise_quantizer
    assert (kernel.precision, layer.pointwise_kernel.precision) == (2, 1)
    assert not isinstance(layer.bias, QuantizedVariable)
    plain = lq.layers.QuantDense(2)
    plain.build((None, 3))
    assert not isinstance(plain.kernel, QuantizedVariable)


def test_metrics_of_layers_made_in_the_scope():
    def names(layer):
        layer.build((None, 3))
        return [metric.name for metric in layer.flip_ratios.values()]

    with lq.context.metrics_scope(["flip_ratio"]) as metrics:
        assert metrics is lq.context.get_training_metrics()
        inside = lq.layers.QuantDense(2, kernel_quantizer="ste_sign")
        with lq.context.metrics_scope():
            assert lq.context.get_training_metrics() == {"flip_ratio"}
    outside = lq.layers.QuantDense(2, kernel_quantizer="ste_sign")
    assert names(inside) == [f"flip_ratio/{inside.kernel_quantizer.name}"]
    assert names(outside) == []
    asked = lq.layers.QuantDense(
        2, kernel_quantizer="ste_sign", metrics=["flip_ratio"], name="asked"
    )
    assert names(asked) == [f"flip_ratio/{asked.kernel_quantizer.name}"]
    lq.context.get_training_metrics().add("flip_ratio")
    try:
        assert names(lq.layers.QuantDense(2, kernel_quantizer="ste_tern"))
    finally:
        lq.context.get_training_metrics().clear()
    with (
        pytest.raises(ValueError, match="Unknown training metrics"),
        lq.context.metrics_scope(["angle"]),
    ):
        pass
    assert lq.context.get_training_metrics() == set()
