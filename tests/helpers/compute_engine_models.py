"""Models for Larq Compute Engine, and runs of them in Keras."""

import keras
import numpy as np
from keras import layers, ops

from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantDense,
    quantizers,
)
from kerasbnn.tflite.tensorflow_export import input_names, named_outputs
from tests.helpers.converting import BINARY, SIGNS


def inputs_of(model, count=3, seed=1):
    """Make an array for each input of a model, with which sums are exact."""
    rng = np.random.default_rng(seed)
    return {
        name: (rng.integers(-256, 257, (count, *tensor.shape[1:])) / 256).astype(
            tensor.dtype
        )
        for name, tensor in zip(
            input_names(model, model.inputs), model.inputs, strict=True
        )
    }


def outputs_of_keras(model, inputs):
    """Return what Keras computes, by the names of the outputs."""
    given = inputs if len(inputs) > 1 else next(iter(inputs.values()))
    outputs = named_outputs(model, model(given, training=False))
    return {name: ops.convert_to_numpy(x) for name, x in outputs.items()}


def net(shape, *parts):
    return keras.Sequential([keras.Input(shape), *parts])


def first(filters=32):
    return QuantConv2D(filters, 3, **BINARY), layers.BatchNormalization()


def normalized(layer):
    return layer, layers.BatchNormalization()


def padded(pad_values, strides=1, dilation=1):
    conv = QuantConv2D(
        33,
        (3, 2),
        padding="same",
        pad_values=pad_values,
        strides=strides,
        dilation_rate=dilation,
        **SIGNS,
    )
    last = QuantConv2D(20, 3, **SIGNS)
    return net((12, 11, 3), *first(), *normalized(conv), *normalized(last))


def in_groups(channels, groups, pad_values):
    conv = QuantConv2D(
        channels, 3, groups=groups, padding="same", pad_values=pad_values, **SIGNS
    )
    last = QuantConv2D(16, 2, **SIGNS)
    return net((9, 9, 3), *first(channels), *normalized(conv), *normalized(last))


def steps(padding, pad_values=0):
    conv = QuantConv1D(48, 3, padding=padding, pad_values=pad_values, **SIGNS)
    return net(
        (20, 4),
        *normalized(QuantConv1D(32, 3, **BINARY)),
        conv,
        layers.MaxPooling1D(2),
        layers.BatchNormalization(),
        *normalized(QuantConv1D(16, 2, **SIGNS)),
        layers.Flatten(),
        QuantDense(5, **SIGNS),
    )


def with_kernels(quantizer):
    kernel = {"kernel_quantizer": quantizer, "kernel_constraint": "weight_clip"}
    return net(
        (9, 9, 3),
        *normalized(QuantConv2D(32, 3, **kernel)),
        *normalized(
            QuantConv2D(40, 3, input_quantizer="ste_sign", use_bias=False, **kernel)
        ),
        layers.Flatten(),
        QuantDense(7, input_quantizer="ste_sign", **kernel),
    )


def with_inputs(quantizer):
    def make():
        return quantizer() if callable(quantizer) else quantizer

    return net(
        (9, 9, 3),
        *first(),
        *normalized(QuantConv2D(40, 3, input_quantizer=make(), **BINARY)),
        layers.Flatten(),
        QuantDense(7, input_quantizer=make(), **BINARY),
    )


def pooled(pads, order):
    """Return a network whose poolings come before or after batch normalization."""
    parts = []
    for filters in (33, 40):
        conv = QuantConv2D(filters, 3, padding="same", pad_values=pads, **SIGNS)
        pool = layers.MaxPooling2D(3, 2, padding="same")
        between = [pool, layers.BatchNormalization()]
        parts += [conv, *(between if order == "pool first" else between[::-1])]
    return net((14, 13, 3), *first(), *parts, QuantConv2D(5, 1, **SIGNS))


def signs_for_several():
    inputs = keras.Input((9, 9, 3))
    x = inputs
    for layer in first():
        x = layer(x)
    signs = quantizers.SteSign()(x)
    conv = QuantConv2D(32, 3, padding="same", pad_values=1, **BINARY)
    a = layers.BatchNormalization()(conv(signs))
    b = QuantConv2D(32, 2, **BINARY)(layers.MaxPooling2D(2)(signs))
    outputs = [layers.Flatten()(a), layers.Flatten()(b)]
    return keras.Model(inputs, [*outputs, layers.GlobalMaxPooling2D()(signs)])


def two_branches():
    inputs = keras.Input((9, 9, 3))
    x = inputs
    for layer in (*first(), *normalized(QuantConv2D(32, 3, **SIGNS))):
        x = layer(x)
    ends = [QuantConv2D(8, 3, **SIGNS)(x), QuantConv2D(8, 3, **SIGNS)(x)]
    return keras.Model(inputs, layers.Concatenate()(ends))


def residual(untrained=False):
    inputs = keras.Input((9, 9, 3))
    x = inputs
    for layer in first():
        x = layer(x)
    for _ in range(3):
        conv = QuantConv2D(32, 3, padding="same", pad_values=1, **SIGNS)
        x = layers.Add()([x, layers.BatchNormalization()(conv(x))])
    x = QuantDense(10, **SIGNS)(layers.Flatten()(x))
    model = keras.Model(inputs, x)
    model.is_untrained = untrained
    return model


def two_inputs():
    flat, image = keras.Input((30,), name="zeta"), keras.Input((8, 8, 3), name="alpha")
    x, y = flat, image
    for layer in normalized(QuantDense(64, **BINARY)):
        x = layer(x)
    for layer in (*first(), QuantConv2D(64, 3, **SIGNS), layers.GlobalMaxPooling2D()):
        y = layer(y)
    z = QuantDense(33, **SIGNS)(layers.BatchNormalization()(layers.Add()([x, y])))
    last = QuantDense(4, **SIGNS)(layers.BatchNormalization()(z))
    return keras.Model({"zeta": flat, "alpha": image}, {"second": z, "first": last})


def called_twice():
    inputs = keras.Input((64,))
    dense, normalization = QuantDense(64, **SIGNS), layers.BatchNormalization()
    return keras.Model(inputs, dense(normalization(dense(inputs))))


def plus_constant(shape, operation=ops.add):
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    return net(
        (8, 8, 3),
        *first(),
        QuantConv2D(32, 3, **SIGNS),
        layers.Lambda(lambda x: operation(x, values)),
        layers.Flatten(),
    )


def recurrent(layer):
    return net((6, 8), layer(16), *normalized(QuantDense(20, **BINARY)), dense(6))


def dense(units):
    return QuantDense(units, **SIGNS)


def reshaping():
    return net(
        (64,),
        *normalized(QuantDense(64, **BINARY)),
        *normalized(dense(128)),
        layers.Reshape((4, 4, 8)),
        *normalized(QuantConv2D(32, 3, **SIGNS)),
        layers.Dropout(0.2),
        layers.Reshape((-1,)),
        dense(5),
    )


def apart_from_images(*parts):
    return net((9, 9, 3), *first(8), *parts, layers.Flatten(), dense(5))
