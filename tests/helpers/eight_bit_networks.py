"""Binary networks whose first convolution and last layer are floats or of 8 bits."""

import keras
import numpy as np
from keras import layers

import kerasbnn
from kerasbnn import Interpreter, QuantConv2D, QuantDense
from kerasbnn.tfmot import LastValueQuantizer, MovingAverageQuantizer
from tests.helpers.converting import SIGNS


def eight_bits():
    """Return the quantizers of one layer: a scale for each output channel of the kernel
    and one for the inputs."""
    return {
        "kernel_quantizer": LastValueQuantizer(
            num_bits=8, per_axis=True, symmetric=True, narrow_range=True
        ),
        "input_quantizer": MovingAverageQuantizer(num_bits=8),
    }


def network(shape, classes, *, has_eight_bits, filters=(16, 32, 64)):
    """Return a binary convolutional network.

    Args:
        shape: Shape of an image.
        classes: Number of outputs.
        has_eight_bits: Whether the first and the last layer are of 8 bits.
        filters: Of the first layer and of the two binary ones.

    Returns:
        The model.
    """

    def ends():
        return eight_bits() if has_eight_bits else {}

    first, *others = filters
    model = keras.Sequential([keras.Input(shape)])
    model.add(
        QuantConv2D(first, 3, padding="same", use_bias=False, name="stem", **ends())
    )
    model.add(layers.MaxPooling2D())
    model.add(layers.BatchNormalization(momentum=0.9))
    for width in others:
        model.add(QuantConv2D(width, 3, padding="same", pad_values=1, **SIGNS))
        model.add(layers.MaxPooling2D())
        model.add(layers.BatchNormalization(momentum=0.9))
    model.add(layers.Flatten())
    model.add(QuantDense(classes, name="head", **ends()))
    return model


def train(images, *, has_eight_bits, epochs, seed=0, batch_size=128, **options):
    """Train such a network on images.

    Args:
        images: What `kerasbnn.datasets` loads.
        has_eight_bits: As for `network`.
        epochs: How often to see every image.
        seed: Of the weights and the order.
        batch_size: Images of a step.
        **options: Arguments of `network`.

    Returns:
        The trained model.
    """
    keras.utils.set_random_seed(seed)
    model = network(
        images.x_train.shape[1:],
        images.num_classes,
        has_eight_bits=has_eight_bits,
        **options,
    )
    steps = epochs * len(images.x_train) // batch_size
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.005, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=True,
    )
    model.fit(
        images.x_train, images.y_train, epochs=epochs, batch_size=batch_size, verbose=0
    )
    return model


def shipped(model, images, folder):
    """Save a model, load it, convert it and predict all held-out images from the file.

    Args:
        model: The trained model.
        images: The images.
        folder: Where to put the files.

    Returns:
        Logits of Keras, logits of the file, and the report of the conversion.
    """
    model.save(folder / "model.keras")
    loaded = keras.saving.load_model(folder / "model.keras")
    logits = loaded.predict(images.x_test, batch_size=500, verbose=0)
    report = kerasbnn.convert(
        loaded, folder / "model.tflite", sample_inputs=images.x_test[:32]
    )
    with Interpreter(folder / "model.tflite") as interpreter:
        found = interpreter.predict(images.x_test, batch_size=500)
    return logits, found, report


def accuracy(logits, images):
    """Return the share of held-out images whose class is predicted."""
    return float(np.mean(logits.argmax(axis=1) == images.y_test))
