"""Models of tf_keras that TFMOT quantizes, and what the tests ask of them."""

import keras
import numpy as np
import pytest

from tests.helpers.modules import HAS_TFMOT

if not HAS_TFMOT:
    pytest.skip(
        'needs tensorflow-model-optimization: pip install "kerasbnn[tfmot]"',
        allow_module_level=True,
    )

# Tests take from here what cannot be imported without it.
from kerasbnn.tfmot import BinaryQuantizeConfig as BinaryQuantizeConfig
from kerasbnn.tfmot import BinaryQuantizer as BinaryQuantizer
from kerasbnn.tfmot import TernaryQuantizer as TernaryQuantizer
from kerasbnn.tfmot import WeightClip as WeightClip
from kerasbnn.tfmot import load_model as load_model
from kerasbnn.tfmot.loading import load

tfmot, tf_keras, tf = load()
quantization = tfmot.quantization.keras
annotate = quantization.quantize_annotate_layer
layers = tf_keras.layers

# A layer of each class whose kernels can be quantized, and the inputs it takes.
KERNEL_LAYERS = {
    "Dense": ((7,), dict(units=5)),
    "Conv1D": ((9, 4), dict(filters=5, kernel_size=3, padding="causal")),
    "Conv2D": ((8, 7, 4), dict(filters=6, kernel_size=3, padding="same", groups=2)),
    "Conv3D": ((5, 4, 6, 2), dict(filters=3, kernel_size=2, strides=2)),
    "Conv1DTranspose": ((6, 3), dict(filters=4, kernel_size=3, strides=2)),
    "Conv2DTranspose": (
        (5, 4, 3),
        dict(filters=4, kernel_size=3, strides=2, padding="same", output_padding=1),
    ),
    "Conv3DTranspose": ((3, 4, 3, 2), dict(filters=3, kernel_size=2)),
    "DepthwiseConv1D": ((9, 3), dict(kernel_size=3, depth_multiplier=2)),
    "DepthwiseConv2D": (
        (8, 7, 3),
        dict(kernel_size=3, padding="same", depth_multiplier=2),
    ),
    "SeparableConv1D": ((9, 3), dict(filters=4, kernel_size=3, padding="same")),
    "SeparableConv2D": ((8, 7, 3), dict(filters=4, kernel_size=3, strides=2)),
}


def chain(shape, *chain_layers, name=None):
    """Make a sequential model for inputs of a shape."""
    return tf_keras.Sequential([layers.Input(shape), *chain_layers], name=name)


def scheme_named(name):
    """Return the scheme of that name: TFMOT's default, or that of kerasbnn."""
    from kerasbnn.tfmot import BinaryQuantizeScheme

    if name == "only annotated":
        return BinaryQuantizeScheme()
    return quantization.default_8bit.Default8BitQuantizeScheme()


def trained(model, rng, epochs=1, samples=48):
    """Train on noise, so that no weight and no range is what it began with."""
    x = [
        rng.normal(size=(samples, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]
    y = [rng.normal(size=(samples, *t.shape[1:])) for t in model.outputs]
    model.compile(tf_keras.optimizers.Adam(0.03), "mse")
    model.fit(x, y, batch_size=16, epochs=epochs, verbose=0)
    return model


def randomized(model, rng):
    """Give all weights and ranges random values: faster than training, and farther."""
    for weight in model.weights:
        name, shape = weight.name.partition(":")[0], weight.shape
        if name.endswith(("_min", "_max")):
            sign = -1 if name.endswith("_min") else 1
            weight.assign(sign * rng.uniform(0.5, 2.0, size=shape))
        elif name.endswith("variance"):
            weight.assign(rng.uniform(0.2, 2.0, size=shape))
        elif not name.endswith("optimizer_step"):
            weight.assign(rng.normal(size=shape))
    return model


def inputs_of(model, rng, samples=20):
    """Return random inputs: one array, or a list where the model takes several."""
    arrays = [
        rng.normal(size=(samples, *tensor.shape[1:])).astype("float32")
        for tensor in model.inputs
    ]
    return arrays[0] if len(arrays) == 1 else arrays


def outputs_of(model, x):
    """Call a model of either Keras and return arrays, in the structure it has them."""
    outputs = model(x, training=False)
    return tf.nest.map_structure(lambda y: keras.ops.convert_to_numpy(y), outputs)


def assert_same_outputs(ours, theirs, x):
    """Compare a model of Keras 3 with the one of tf_keras that it comes from."""
    expected, found = outputs_of(theirs, x), outputs_of(ours, x)
    if isinstance(expected, dict):
        assert list(expected) == list(found)
    expected, found = tf.nest.flatten(expected), tf.nest.flatten(found)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        # A constant would prove nothing.
        assert other.std() > 0
        scale = max(1.0, float(np.abs(other).max()))
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-6 * scale)
