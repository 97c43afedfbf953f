"""Train a binary network with Keras and export it: all that a user has to write."""

import keras
from PIL import Image

import kerasbnn
from kerasbnn import QuantDense
from kerasbnn.datasets import load_digits

digits = load_digits()
binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
model = keras.Sequential(
    [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        QuantDense(512, name="first", **binary),
        keras.layers.BatchNormalization(),
        QuantDense(10, name="last", input_quantizer="ste_sign", **binary),
        keras.layers.BatchNormalization(),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, metrics=["accuracy"])
test = (digits.x_test, digits.y_test)
model.fit(digits.x_train, digits.y_train, epochs=20, validation_data=test, verbose=2)

options = {"labels": list("0123456789"), "normalization": {"mean": 127.5, "std": 127.5}}
kerasbnn.export(model, "models/digits/1", digits.x_train, **options)
pixels = digits.x_test[0, ..., 0] * 127.5 + 127.5
Image.fromarray(pixels.round().astype("uint8")).save("digit.png")
