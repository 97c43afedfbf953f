"""A quantizer of your own: ten lines, then train, save and load with it.

Run: pip install "kerasbnn[tensorflow]" scikit-learn && python custom_quantizer.py
"""

import keras
import numpy as np
from keras import ops
from sklearn.datasets import load_digits

from kerasbnn import QuantDense
from kerasbnn.quantizers import Quantizer
from kerasbnn.quantizers.gradients import sign, with_gradient


# Registering the class lets Keras save and load it.
@keras.saving.register_keras_serializable(package="my_project")
class TanhSign(Quantizer):
    """Sign whose gradient is the derivative of `tanh(steepness * x)`."""

    precision = 1  # bits per value, for kerasbnn.models.summary

    def __init__(self, steepness=1.5, **kwargs):
        super().__init__(**kwargs)
        self.steepness = steepness

    def call(self, inputs):
        def backward(x, upstream):
            return upstream * self.steepness / ops.cosh(self.steepness * x) ** 2

        return with_gradient(inputs, sign, backward)

    def get_config(self):
        return {**super().get_config(), "steepness": self.steepness}


# Real images: 1,797 handwritten digits of 8 x 8 pixels. A third is held out.
images, labels = load_digits(return_X_y=True)
images = (images / 8 - 1).astype("float32")  # from 0..16 to -1..1
order = np.random.default_rng(0).permutation(len(images))
train, test = order[:1198], order[1198:]

# A network whose every weight is -1 or +1, and so is every hidden activation.
keras.utils.set_random_seed(0)


def binary_dense(units, input_quantizer):
    return QuantDense(
        units,
        input_quantizer=input_quantizer,
        kernel_quantizer=TanhSign(),
        kernel_constraint="weight_clip",
        use_bias=False,
    )


model = keras.Sequential(
    [
        keras.Input((64,)),
        binary_dense(256, input_quantizer=None),
        keras.layers.BatchNormalization(),
        binary_dense(256, input_quantizer=TanhSign()),
        keras.layers.BatchNormalization(),
        binary_dense(10, input_quantizer=TanhSign()),
        keras.layers.BatchNormalization(),
    ]
)
model.compile(
    keras.optimizers.Adam(0.005),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    metrics=["accuracy"],
)
model.fit(images[train], labels[train], epochs=30, verbose=2)
loss, accuracy = model.evaluate(images[test], labels[test], verbose=0)
print(f"accuracy on {len(test)} images not trained on: {accuracy:.1%}")

# The kernel that the layer computes with, against the latent one that it trains.
layer = model.layers[0]
print("latent: ", ops.convert_to_numpy(layer.kernel)[:6, 0])
print("forward:", ops.convert_to_numpy(layer.quantize_kernel())[:6, 0])

# The file holds the latent weights and the quantizer with its argument.
model.save("custom_quantizer.keras")
loaded = keras.saving.load_model("custom_quantizer.keras")
outputs = model.predict(images[test], verbose=0)
np.testing.assert_array_equal(outputs, loaded.predict(images[test], verbose=0))
print("saved and loaded with", loaded.layers[0].kernel_quantizer)
