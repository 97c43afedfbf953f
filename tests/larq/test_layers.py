"""Layers: outputs, gradients and shapes as in Larq."""

import logging

import keras
import numpy as np
import pytest

import kerasbnn
import kerasbnn.larq as lq
from kerasbnn.layers.base import QuantizedLayer
from tests.helpers.gradients import array, tensor, value_and_gradient, weight_gradients
from tests.larq import real
from tests.larq.cases import LAYERS, LayerCase


def make(case: LayerCase, **kwargs):
    return getattr(lq.layers, case.cls)(*case.args, **{**case.kwargs, **kwargs})


def close(actual, expected, **kwargs):
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5, **kwargs)


@pytest.mark.parametrize("name", LAYERS)
def test_outputs_and_gradients(name):
    case, found = LAYERS[name], real.under(f"layer/{name}")
    layer = make(case)
    assert tuple(layer.compute_output_shape(case.shape)) == found["y"].shape
    layer.build(case.shape)
    weights = real.row(found, "weight")
    assert [tuple(w.shape) for w in layer.weights] == [w.shape for w in weights]
    layer.set_weights(weights)
    outputs, gradient = value_and_gradient(layer, tensor(found["x"]), found["upstream"])
    close(array(outputs), found["y"])
    close(array(gradient), found["gradient"])
    gradients = weight_gradients(layer, tensor(found["x"]), found["upstream"])
    for actual, expected in zip(gradients, real.row(found, "gradient"), strict=True):
        close(actual, expected)


@pytest.mark.parametrize("name", LAYERS)
def test_configs(name):
    layer = make(LAYERS[name], name=name)
    config = layer.get_config()
    for key, expected in real.content("configs")[f"layer/{name}"].items():
        # What Keras itself writes in another form, or not at all.
        if key in ("dtype", "groups", "activity_regularizer"):
            continue
        if key.endswith("_initializer") or (
            "depthwise_quantizer" in config
            and key.startswith("kernel_")
            and key != "kernel_size"
        ):
            continue
        if key.endswith("_quantizer") and expected is not None:
            check_quantizer_config(config[key], expected)
        else:
            actual = config[key]
            actual = list(actual) if isinstance(actual, tuple) else actual
            assert actual == expected or key == "activation", (key, actual)
    again = type(layer).from_config(config)
    assert again.get_config() == config
    twin = keras.layers.deserialize(keras.layers.serialize(layer))
    assert type(twin) is type(layer)


def check_quantizer_config(actual, expected):
    assert actual["class_name"] == expected["class_name"]
    for key, value in expected["config"].items():
        if key not in ("name", "dtype"):
            assert actual["config"][key] == value, key


def test_the_public_layers_are_larqs():
    names = real.content("signatures")
    theirs = {name.split(".")[1] for name in names if name.startswith("layers.")}
    assert set(lq.layers.__all__) == theirs
    for name in lq.layers.__all__:
        cls = getattr(lq.layers, name)
        ours = getattr(kerasbnn, name, None)
        assert ours is None or issubclass(cls, ours)


@pytest.mark.parametrize("name", ["dense", "conv2d", "depthwise", "separable2d"])
def test_every_layer_that_may_starve_is_named_in_the_log(name, caplog):
    case = LAYERS[name]
    roles = getattr(lq.layers, case.cls).kernel_roles
    with caplog.at_level(logging.WARNING):
        make(case)
        make(case)
    assert len(caplog.records) == 2 * len(roles)
    for role in roles:
        assert f'{role.constraint}="weight_clip"' in caplog.text
    caplog.clear()
    quiet = {role.constraint: "weight_clip" for role in roles}
    with caplog.at_level(logging.WARNING):
        make(case, **quiet)
        lq.layers.QuantDense(2, kernel_quantizer=lq.quantizers.NoOp(precision=1))
        lq.layers.QuantDense(2, kernel_quantizer="ste_tern")
    assert not caplog.records


def test_a_bias_takes_the_constraint_by_its_name_too():
    layer = lq.layers.QuantDense(2, bias_constraint="weight_clip")
    assert layer.bias_constraint.clip_value == 1
    own = keras.layers.Dense(2, kernel_constraint="weight_clip")
    assert own.kernel_constraint.clip_value == 1


def test_the_depthwise_kernel_has_its_old_name():
    layer = lq.layers.QuantDepthwiseConv2D(3)
    layer.build((None, 4, 4, 2))
    assert layer.depthwise_kernel is layer.kernel


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_locally_connected_layers_save_load_and_train(implementation, tmp_path):
    model = keras.Sequential(
        [
            keras.Input((6, 5, 2)),
            lq.layers.QuantLocallyConnected2D(
                3,
                (2, 3),
                input_quantizer="ste_sign",
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                implementation=implementation,
            ),
            keras.layers.Flatten(),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    rng = np.random.default_rng(0)
    x = rng.normal(size=(16, 6, 5, 2)).astype("float32")
    before = model.get_weights()[0]
    model.fit(x, x[:, :1, 0, 0], epochs=2, verbose=0)
    assert (model.get_weights()[0] != before).any()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_locally_connected_layers_refuse_what_they_cannot_do():
    cls = lq.layers.QuantLocallyConnected2D
    with pytest.raises(ValueError, match="padding"):
        cls(3, 2, padding="same")
    with pytest.raises(ValueError, match="implementation"):
        cls(3, 2, implementation=4)
    with pytest.raises(ValueError, match="filters"):
        cls(0, 2)
    with pytest.raises(ValueError, match="kernel_size"):
        cls(3, (2, 2, 2))
    with pytest.raises(ValueError, match="data_format"):
        cls(3, 2, data_format="channels")
    with pytest.raises(ValueError, match="known size"):
        cls(3, 2).build((None, None, 5, 2))
    with pytest.raises(ValueError, match="larger than its inputs"):
        cls(3, 4).build((None, 3, 5, 2))
    with pytest.raises(ValueError, match="4 axes"):
        cls(3, 4).build((None, 5, 2))


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_causal_separable_convolution_without_quantizers(data_format):
    shape = (2, 7, 3) if data_format == "channels_last" else (2, 3, 7)
    x = np.random.default_rng(0).normal(size=shape).astype("float32")
    layer = lq.layers.QuantSeparableConv1D(
        4, 3, padding="causal", dilation_rate=2, data_format=data_format
    )
    outputs = array(layer(x))
    assert outputs.shape == layer.compute_output_shape(shape)
    plain = lq.layers.QuantSeparableConv1D(
        4, 3, dilation_rate=2, data_format=data_format
    )
    widths = [(0, 0)] * 3
    widths[1 if data_format == "channels_last" else 2] = (4, 0)
    padded = np.pad(x, widths)
    plain.build(padded.shape)
    plain.set_weights(layer.get_weights())
    close(outputs, array(plain(padded)))
    # What the layer is without its quantizers, as `kerasbnn.benchmark` computes it.
    close(array(super(QuantizedLayer, layer).call(tensor(x))), outputs)
