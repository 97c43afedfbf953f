"""Values and gradients of one function on the backend in use, as numpy arrays."""

import keras
import numpy as np
from keras import ops

BACKEND = keras.backend.backend()


def tensor(values, dtype="float32"):
    """Make a tensor of the backend from a numpy array."""
    return ops.cast(ops.convert_to_tensor(np.asarray(values, "float64")), dtype)


def array(values):
    """Make a float64 array from a tensor of any dtype: every value keeps exactly."""
    dtype = keras.backend.standardize_dtype(values.dtype)
    if dtype == "bfloat16":
        values = ops.cast(values, "float32")
    return np.asarray(ops.convert_to_numpy(values), "float64")


def value_and_gradient(function, inputs, upstream=None):
    """Call a function of one tensor and pull a gradient back through it.

    Args:
        function: Maps a tensor to a tensor.
        inputs: Tensor of the backend.
        upstream: Gradient with respect to the outputs, a numpy array; None means ones.

    Returns:
        The outputs and the gradient with respect to the inputs, as tensors.
    """

    def upstream_for(outputs):
        if upstream is None:
            return ops.ones_like(outputs)
        return tensor(upstream, outputs.dtype)

    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(inputs)
        return outputs, tape.gradient(outputs, inputs, upstream_for(outputs))
    if BACKEND == "jax":
        import jax

        outputs, pull_back = jax.vjp(function, inputs)
        return outputs, pull_back(upstream_for(outputs))[0]
    leaf = inputs.detach().clone().requires_grad_(True)
    outputs = function(leaf)
    outputs.backward(upstream_for(outputs))
    return outputs.detach(), leaf.grad


def weight_gradients(layer, inputs, upstream):
    """Pull a gradient back to the trainable weights of a built layer.

    Args:
        layer: A built Keras layer or model.
        inputs: Tensor of the backend.
        upstream: Gradient with respect to the outputs, a numpy array.

    Returns:
        One float64 array per trainable weight.
    """
    weights = layer.trainable_variables
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            outputs = layer(inputs)
        values = [weight.value for weight in weights]
        gradients = tape.gradient(outputs, values, tensor(upstream, outputs.dtype))
    elif BACKEND == "jax":
        import jax

        def function(values):
            others = [v.value for v in layer.non_trainable_variables]
            return layer.stateless_call(values, others, inputs)[0]

        outputs, pull_back = jax.vjp(function, [weight.value for weight in weights])
        (gradients,) = pull_back(tensor(upstream, outputs.dtype))
    else:
        layer.zero_grad()
        outputs = layer(inputs)
        outputs.backward(tensor(upstream, outputs.dtype))
        gradients = [weight.value.grad for weight in weights]
    return [array(gradient) for gradient in gradients]
