"""Float networks for these tests, and what to compare of two networks."""

import keras
import numpy as np

from tests.helpers.gradients import array


def randomized(model, seed=0, spread=0.5):
    """Give all weights of a model random values, and variances positive ones."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        values = rng.normal(scale=spread, size=weight.shape)
        if "variance" in weight.path or "gamma" in weight.path:
            values = np.abs(values) + 0.1
        weight.assign(values)
    return model


def of_two_values(model, seed=0):
    """Make each filter of a model's kernels plus or minus one magnitude of its own."""
    rng = np.random.default_rng(seed)
    for weight in randomized(model, seed).weights:
        if "kernel" in weight.path:
            signs = rng.choice([-1.0, 1.0], size=weight.shape)
            weight.assign(signs * rng.uniform(0.1, 2, size=weight.shape[-1]))
    return model


def outputs_of(model, inputs):
    """Call a model in inference mode; a list of float64 arrays."""
    outputs = model(inputs, training=False)
    return [array(x) for x in keras.tree.flatten(outputs)]


def values_of(model):
    """All variables of a model, as numpy arrays."""
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def names_of(model):
    """The names of a model's layers, without its inputs."""
    inputs = keras.layers.InputLayer
    return [layer.name for layer in model.layers if not isinstance(layer, inputs)]


def assert_equal(ours, theirs, **tolerance):
    """Compare two lists of arrays; exactly, unless a tolerance is given."""
    for one, other in zip(ours, theirs, strict=True):
        if tolerance:
            np.testing.assert_allclose(one, other, **tolerance)
        else:
            np.testing.assert_array_equal(one, other)
