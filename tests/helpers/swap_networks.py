"""A small network whose weights can be swapped."""

import keras
import numpy as np
from keras import layers

from kerasbnn import QuantDense

BINARY = {
    "input_quantizer": "ste_sign",
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def network(dense=QuantDense, **arguments):
    """Two layers without bias, each with a batch normalization after it."""
    model = keras.Sequential(
        [
            keras.Input((6,)),
            dense(9, **arguments, name="first"),
            layers.BatchNormalization(name="first_norm"),
            dense(4, **arguments, name="second"),
            layers.BatchNormalization(name="second_norm"),
        ],
        name="net",
    )
    draw = np.random.default_rng(5)
    for name, units in (("first_norm", 9), ("second_norm", 4)):
        model.get_layer(name).set_weights(
            [
                draw.uniform(0.5, 2, units),
                *draw.normal(size=(2, units)),
                np.full(units, 2),
            ]
        )
    return model
