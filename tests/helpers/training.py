"""One training step written out per backend: a loop of the user's own."""

import keras
import numpy as np

from tests.helpers.gradients import BACKEND, tensor


def make_step(model, optimizer, loss):
    """Make a function that trains a built model on one batch and returns the loss.

    Args:
        model: A built model.
        optimizer: A Keras optimizer, not compiled into the model.
        loss: Maps targets and outputs to a scalar.

    Returns:
        A function of a batch of inputs and targets, numpy arrays.
    """
    optimizer.build(model.trainable_variables)
    makers = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    step = makers[BACKEND](model, optimizer, loss)
    return lambda x, y: float(step(tensor(x), tensor(y)))


def _tensorflow(model, optimizer, loss):
    import tensorflow as tf

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            value = loss(y, model(x, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(
            zip(gradients, model.trainable_variables, strict=True)
        )
        return value

    return step


def _jax(model, optimizer, loss):
    import jax

    def loss_of(trainable, others, x, y):
        outputs, others = model.stateless_call(trainable, others, x, training=True)
        return loss(y, outputs), others

    gradient = jax.jit(jax.value_and_grad(loss_of, has_aux=True))

    def step(x, y):
        trainable = [v.value for v in model.trainable_variables]
        others = [v.value for v in model.non_trainable_variables]
        state = [v.value for v in optimizer.variables]
        (value, others), gradients = gradient(trainable, others, x, y)
        trainable, state = optimizer.stateless_apply(state, gradients, trainable)
        updates = [
            (model.trainable_variables, trainable),
            (model.non_trainable_variables, others),
            (optimizer.variables, state),
        ]
        for variables, values in updates:
            for variable, new in zip(variables, values, strict=True):
                variable.assign(new)
        return value

    return step


def _torch(model, optimizer, loss):
    import torch

    def step(x, y):
        model.zero_grad()
        value = loss(y, model(x, training=True))
        value.backward()
        with torch.no_grad():
            gradients = [v.value.grad for v in model.trainable_variables]
            optimizer.apply(gradients, model.trainable_variables)
        return value.detach()

    return step


def separable_points(count=256, features=8):
    """Points whose class is the sign of a product with a vector of signs.

    Returns:
        Inputs of +1 and -1, `(count, features)`, and targets +1 or -1, `(count, 1)`.
    """
    rng = np.random.default_rng(3)
    x = rng.choice([-1.0, 1.0], size=(count, features)).astype("float32")
    weights = rng.choice([-1.0, 1.0], size=features).astype("float32")
    # An odd weight breaks ties.
    weights[0] *= 3
    scores = x @ weights
    y = np.where(scores > 0, 1.0, -1.0).astype("float32")
    keep = scores != 0
    return x[keep], y[keep, None]


def squared_hinge(y, outputs):
    """The loss of BinaryNet on scores scaled to about one."""
    return keras.ops.mean(keras.ops.square(keras.ops.relu(1 - y * outputs)))
