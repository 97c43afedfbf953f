"""Training recipes of BinaryNet and of Anderson & Berg: loss, schedule, optimizer."""

import keras
from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.optimizers import ScaledAdam


@register
class SparseSquaredHinge(keras.losses.Loss):
    """Squared hinge loss of class scores against integer labels.

    The target is +1 for the right class and -1 for all others; the loss of one sample
    is the mean over classes of `max(0, 1 - target * score)^2`.

    Args:
        reduction: How to combine samples, as for every Keras loss.
        name: Name of the loss.
        **kwargs: Further arguments of `keras.losses.Loss`.

    Input shape: labels `(batch,)` or `(batch, 1)`, scores `(batch, classes)`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.recipes import SparseSquaredHinge
        >>> loss = SparseSquaredHinge()
        >>> float(loss(np.array([1]), np.array([[-1.0, 0.0]])))
        0.5

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 2.
    """

    def __init__(
        self, reduction="sum_over_batch_size", name="sparse_squared_hinge", **kwargs
    ):
        super().__init__(name=name, reduction=reduction, **kwargs)

    def call(self, y_true, y_pred):
        labels = ops.cast(y_true, "int32")
        if len(labels.shape) == len(y_pred.shape):
            labels = ops.squeeze(labels, axis=-1)
        targets = 2 * ops.one_hot(labels, y_pred.shape[-1], dtype=y_pred.dtype) - 1
        return ops.mean(ops.square(ops.relu(1 - targets * y_pred)), axis=-1)


@register
class EpochExponentialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Learning rate that falls by one factor after each epoch, from first to last.

    In epoch `j`, counted from 0, the rate is
    `initial * (final / initial)^((j + first_epoch) / epochs)`.

    Args:
        initial: Learning rate at the start, positive.
        final: Learning rate after `epochs` epochs, positive.
        epochs: Number of epochs, positive.
        steps_per_epoch: Training steps per epoch, positive.
        first_epoch: 1 for Anderson & Berg's code, which counts an epoch as it starts;
            0 for BinaryNet's, which counts it as it ends.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is out of range.

    Example:
        >>> from kerasbnn.recipes import EpochExponentialDecay
        >>> rate = EpochExponentialDecay(1e-3, 3e-7, epochs=500, steps_per_epoch=990)
        >>> round(float(rate(0)), 9)
        0.000983907

    Reference:
        Anderson & Berg, arXiv 1705.07199, and the code that came with it.
    """

    def __init__(self, initial, final, epochs, steps_per_epoch, first_epoch=1):
        for name, value in {
            "initial": initial,
            "final": final,
            "epochs": epochs,
            "steps_per_epoch": steps_per_epoch,
        }.items():
            checked_number(name, value, minimum=0, exclusive=True)
        self.initial = initial
        self.final = final
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.first_epoch = checked_number("first_epoch", first_epoch, minimum=0)

    def __call__(self, step):
        epoch = ops.floor(ops.cast(step, "float32") / self.steps_per_epoch)
        progress = (epoch + self.first_epoch) / self.epochs
        return self.initial * ops.power(self.final / self.initial, progress)

    def get_config(self):
        return {
            "initial": self.initial,
            "final": self.final,
            "epochs": self.epochs,
            "steps_per_epoch": self.steps_per_epoch,
            "first_epoch": self.first_epoch,
        }


def anderson_berg(steps_per_epoch, epochs=500, initial=1e-3, final=3e-7):
    """Return the arguments of `compile` for the recipe of Anderson & Berg.

    Squared hinge loss; Adam with epsilon 1e-8 and gradients clipped to [-1, 1] element
    by element; a learning rate that falls exponentially, epoch by epoch. The weights
    are clipped to [-1, 1] by the constraint of the layers.

    Args:
        steps_per_epoch: Training steps per epoch.
        epochs: Number of epochs to train for.
        initial: Learning rate at the start.
        final: Learning rate at the end.

    Returns:
        A dict for `model.compile(**...)`; the labels are integers.

    Raises:
        ValueError: An argument is not positive.

    Example:
        >>> import keras
        >>> from kerasbnn import recipes
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.compile(**recipes.anderson_berg(steps_per_epoch=990))

    Reference:
        Anderson & Berg, arXiv 1705.07199, and the code that came with it.
    """
    schedule = EpochExponentialDecay(initial, final, epochs, steps_per_epoch)
    return {
        "optimizer": keras.optimizers.Adam(schedule, epsilon=1e-8, clipvalue=1.0),
        "loss": SparseSquaredHinge(),
        "metrics": ["accuracy"],
    }


def binarynet(
    steps_per_epoch, epochs=500, initial=1e-3, final=3e-7, learning_rate_scale="glorot"
):
    """Return the arguments of `compile` for the recipe of BinaryNet.

    As `anderson_berg`, but without gradient clipping, and with the learning rate of
    each binary kernel scaled by its size. BinaryNet's MNIST network starts at 3e-3 and
    trains for 1000 epochs.

    Args:
        steps_per_epoch: Training steps per epoch.
        epochs: Number of epochs to train for.
        initial: Learning rate at the start.
        final: Learning rate at the end.
        learning_rate_scale: `"glorot"` for `1 / sqrt(1.5 / (fan_in + fan_out))` per
            kernel, or one number for all.

    Returns:
        A dict for `model.compile(**...)`; the labels are integers.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> import keras
        >>> from kerasbnn import recipes
        >>> model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
        >>> model.compile(**recipes.binarynet(steps_per_epoch=900))

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """
    schedule = EpochExponentialDecay(
        initial, final, epochs, steps_per_epoch, first_epoch=0
    )
    return {
        "optimizer": ScaledAdam(
            schedule, learning_rate_scale=learning_rate_scale, epsilon=1e-8
        ),
        "loss": SparseSquaredHinge(),
        "metrics": ["accuracy"],
    }
