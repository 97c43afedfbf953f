"""Trains the demo's network."""

FILTERS = (32, 64, 64)
BATCH_SIZE = 64
LEARNING_RATE = 1e-2
# Epochs to see about this many images in all, but for small data sets not more.
IMAGES_TO_SEE = 120_000
MOST_EPOCHS = 45


def default_epochs(num_images):
    """Choose how often to see every image.

    Args:
        num_images: Number of training images.

    Returns:
        Number of epochs, from 3 to 45.

    Example:
        >>> from kerasbnn.demo import default_epochs
        >>> default_epochs(1198), default_epochs(60_000)
        (45, 3)
    """
    return min(MOST_EPOCHS, max(3, IMAGES_TO_SEE // num_images))


def train(images, epochs=None, seed=0, verbose=1, filters=FILTERS):
    """Train a binary convolutional network with `model.fit`.

    Every layer has binary weights, and every layer but the first binary inputs.

    Args:
        images: `kerasbnn.datasets.LabelledImages`.
        epochs: Number of epochs; None chooses by the number of images.
        seed: Of the initial weights, the order of the images and their jitter.
        verbose: As for `model.fit`.
        filters: Channels of each convolution.

    Returns:
        The trained model and the history of its training, a dict of lists.
    """
    import keras

    from kerasbnn.applications import binarynet_cifar10
    from kerasbnn.recipes import SparseSquaredHinge

    keras.utils.set_random_seed(seed)
    epochs = epochs or default_epochs(len(images.x_train))
    model = binarynet_cifar10(
        input_shape=images.x_train.shape[1:],
        num_classes=images.num_classes,
        filters=filters,
        units=(),
        pad_values=1,
        # The usual 0.999 would need thousands of steps to settle.
        batchnorm_momentum=0.9,
        name="demo",
    )
    batches = _jittered_batches(images, seed)
    model.compile(
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(
                LEARNING_RATE, epochs * len(batches)
            ),
            clipvalue=1.0,
        ),
        loss=SparseSquaredHinge(),
        metrics=["accuracy"],
    )
    history = model.fit(
        batches,
        epochs=epochs,
        validation_data=(images.x_test, images.y_test),
        validation_batch_size=512,
        verbose=verbose,
    )
    return model, history.history


def _jittered_batches(images, seed):
    import keras
    import numpy as np

    from kerasbnn.datasets import jittered

    class JitteredBatches(keras.utils.PyDataset):
        """Shuffled batches, each image moved, turned and resized a little."""

        def __init__(self):
            super().__init__()
            self.rng = np.random.default_rng(seed)
            self.order = self.rng.permutation(len(images.x_train))

        def __len__(self):
            return -(-len(self.order) // BATCH_SIZE)

        def __getitem__(self, index):
            chosen = self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE]
            return jittered(images.x_train[chosen], self.rng), images.y_train[chosen]

        def on_epoch_end(self):
            self.order = self.rng.permutation(self.order)

    return JitteredBatches()
