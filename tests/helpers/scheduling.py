"""Small models for tests of quantizer schedules."""

import keras
from keras import ops

from kerasbnn import QuantDense
from kerasbnn.quantizers import Quantizer, SteSign

RATE = 0.1


@keras.saving.register_keras_serializable(package="tests")
class Scaled(Quantizer):
    """A user's own: it knows nothing of schedules and variables."""

    precision = 1

    def __init__(self, alpha=1.0, label="x", **kwargs):
        super().__init__(**kwargs)
        self.alpha = alpha
        self.label = label

    def call(self, inputs):
        return ops.cast(self.alpha, inputs.dtype) * SteSign()(inputs)

    def get_config(self):
        return {**super().get_config(), "alpha": self.alpha, "label": self.label}


def network(quantizer, layers=1, **compile_arguments):
    model = keras.Sequential([keras.Input((4,))])
    for i in range(layers):
        model.add(
            QuantDense(
                4,
                kernel_quantizer=quantizer,
                kernel_constraint="weight_clip",
                use_bias=False,
                name=f"dense_{i}",
            )
        )
    model.compile(keras.optimizers.SGD(RATE), loss="mse", **compile_arguments)
    return model


def data(rng, samples=8):
    x = rng.normal(size=(samples, 4)).astype("float32")
    return x, rng.normal(size=(samples, 4)).astype("float32")


def fit(model, schedule, xy, epochs=3, batch_size=8, **arguments):
    return model.fit(
        *xy,
        epochs=epochs,
        batch_size=batch_size,
        shuffle=False,
        verbose=0,
        callbacks=[schedule, *arguments.pop("callbacks", [])],
        **arguments,
    ).history
