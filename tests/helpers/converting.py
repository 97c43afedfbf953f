"""Models to convert, with weights as after training, and runs of what they become."""

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense

BINARY = {
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}
SIGNS = {"input_quantizer": "ste_sign", **BINARY}

# Of the values of one layer, which rounding may not move.
ROUNDING = {"rtol": 1e-5, "atol": 1e-5}


def trained(model, seed=0):
    """Give a model weights as after training, with gammas of both signs and 0."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(size=weight.shape)
        if "moving_variance" in weight.path:
            values = np.abs(values) * 20 + 1
        elif "moving_mean" in weight.path or "beta" in weight.path:
            # Ties of integer products happen.
            values = np.round(2 * values)
        elif "gamma" in weight.path:
            values[::5] = 0
            values[1::5] = -1
        elif "kernel" in weight.path:
            values = np.clip(values, -0.9, 0.9)
        weight.assign(values)
    return model


def samples_for(model, count=6, seed=1):
    """Make inputs whose sums in a first layer are exact in any order."""
    rng = np.random.default_rng(seed)
    shape = (count, *model.input_shape[1:])
    return (rng.integers(-256, 257, shape) / 256).astype(np.float32)


def keras_outputs(model, x):
    """Return what Keras computes, without compiling."""
    outputs = model(x, training=False)
    return keras.ops.convert_to_numpy(outputs)


def outputs_of(path, x, **options):
    """Return what the stock interpreter computes."""
    interpreter = Interpreter(model_path=str(path), **options)
    runner = interpreter.get_signature_runner()
    (name,) = interpreter.get_signature_list()["serving_default"]["inputs"]
    (outputs,) = runner(**{name: x}).values()
    return outputs


def dense_net():
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((50,)),
            QuantDense(70, **BINARY),
            layers.BatchNormalization(),
            QuantDense(33, **SIGNS),
            layers.BatchNormalization(),
            QuantDense(10, **SIGNS),
            layers.BatchNormalization(),
        ]
    )


def conv_net(pad_values=1, pool_first=True, channels=40):
    layers = keras.layers
    model = keras.Sequential([keras.Input((11, 9, 3)), QuantConv2D(33, 3, **BINARY)])
    for number in range(2):
        if number or not pool_first:
            model.add(layers.BatchNormalization())
        model.add(layers.MaxPooling2D(2, padding="same"))
        if not number and pool_first:
            model.add(layers.BatchNormalization())
        conv = QuantConv2D(channels, 3, padding="same", pad_values=pad_values, **SIGNS)
        model.add(conv)
    model.add(layers.BatchNormalization())
    model.add(layers.Flatten())
    model.add(QuantDense(20, **SIGNS))
    model.add(layers.BatchNormalization())
    model.add(QuantDense(10, **SIGNS))
    model.add(layers.BatchNormalization())
    return model


def converted(model, folder, **options):
    """Convert, compare on inputs of our own, and return the report."""
    path = folder / "model.tflite"
    report = kerasbnn.convert(trained(model), path, **options)
    x = samples_for(model)
    for batch in (x, x[:1]):
        expected = keras_outputs(model, batch)
        np.testing.assert_allclose(outputs_of(path, batch), expected, **ROUNDING)
    assert report.verification.near_ties == 0
    return report


def after(layer, shape, *, before=(), normalized=True):
    """Return a network with a layer between two others."""
    model = keras.Sequential([keras.Input(shape), *before, layer])
    if normalized:
        model.add(keras.layers.BatchNormalization())
    return model
