"""BinaryNet: the networks of Courbariaux et al. that Anderson & Berg analysed."""

import keras

from kerasbnn._checks import checked_number
from kerasbnn.layers import QuantConv2D, QuantDense
from kerasbnn.quantizers import SteSign

INITIALIZERS = ("glorot_uniform", "binarynet")


def binarynet_mnist_mlp(
    input_shape=(28, 28, 1),
    num_classes=10,
    units=(4096, 4096, 4096),
    *,
    use_gamma=False,
    initializer="glorot_uniform",
    input_dropout=0.0,
    hidden_dropout=0.0,
    batchnorm_momentum=0.999,
    batchnorm_epsilon=1e-3,
    name="binarynet_mnist_mlp",
):
    """Build BinaryNet's multilayer perceptron for MNIST.

    Dense layers with binary weights and no biases, each followed by batch normalization
    and, but for the last, by a sign; the inputs of the first layer are continuous, the
    outputs of the last batch normalization are the logits.

    Args:
        input_shape: Shape of one sample, without the batch.
        num_classes: Number of logits.
        units: Width of each hidden layer.
        use_gamma: Whether batch normalization learns a scale; Anderson & Berg's has
            none, BinaryNet's has.
        initializer: Kernel initializer: any of Keras' (Anderson & Berg:
            `"glorot_uniform"`), or `"binarynet"` for uniform in [-1, 1].
        input_dropout: Fraction of inputs to drop; BinaryNet: 0.2.
        hidden_dropout: Fraction of binary activations to drop; BinaryNet: 0.5.
        batchnorm_momentum: Share of the old moving statistics that each step keeps;
            BinaryNet: 0.9.
        batchnorm_epsilon: Constant added to variances; BinaryNet: 1e-4.
        name: Name of the model.

    Returns:
        An uncompiled `keras.Model`: inputs `(batch, *input_shape)` in [-1, 1], outputs
        `(batch, num_classes)`.

    Raises:
        ValueError: A dropout rate is not in [0, 1), or `units` is empty.

    Example:
        >>> from kerasbnn.applications import binarynet_mnist_mlp
        >>> binarynet_mnist_mlp(units=(1024, 1024, 1024)).output_shape
        (None, 10)

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 2.1;
        Anderson & Berg, arXiv 1705.07199.
    """
    if not units:
        raise ValueError(
            "`units` must name the width of at least one hidden layer. Received: "
            f"{units!r}. Example: units=(1024, 1024, 1024)."
        )
    build = _Builder(
        use_gamma, initializer, batchnorm_momentum, batchnorm_epsilon, hidden_dropout
    )
    inputs = keras.Input(input_shape, name="image")
    x = keras.layers.Flatten(name="flatten")(inputs)
    x = build.dropped(x, input_dropout, "input_dropout")
    for i, width in enumerate(units):
        x = build.dense(x, width, f"dense_{i + 1}")
    logits = build.dense(x, num_classes, "logits")
    return keras.Model(inputs, logits, name=name)


def binarynet_cifar10(
    input_shape=(32, 32, 3),
    num_classes=10,
    filters=(128, 128, 256, 256, 512, 512),
    units=(1024, 1024),
    *,
    use_gamma=False,
    initializer="glorot_uniform",
    pad_values=0,
    hidden_dropout=0.0,
    batchnorm_momentum=0.999,
    batchnorm_epsilon=1e-3,
    name="binarynet_cifar10",
):
    """Build BinaryNet's convolutional network for CIFAR-10.

    3x3 convolutions with a 2x2 max-pooling after every second one, then dense layers;
    all weights are binary, there are no biases. The order in each layer is convolution,
    pooling, batch normalization, sign. The inputs of the first layer are continuous,
    the outputs of the last batch normalization are the logits.

    Args:
        input_shape: Height, width and channels of the images.
        num_classes: Number of logits.
        filters: Channels of each convolution.
        units: Width of each dense layer before the logits.
        use_gamma: Whether batch normalization learns a scale; Anderson & Berg's has
            none, BinaryNet's has.
        initializer: Kernel initializer: any of Keras' (Anderson & Berg:
            `"glorot_uniform"`), or `"binarynet"` for uniform in [-1, 1].
        pad_values: Value around the images that a convolution sees: 0, as in the paper,
            or 1 or -1, which keeps the inputs of all but the first layer binary.
        hidden_dropout: Fraction of the dense layers' binary inputs to drop.
        batchnorm_momentum: Share of the old moving statistics that each step keeps;
            BinaryNet: 0.9.
        batchnorm_epsilon: Constant added to variances; BinaryNet: 1e-4.
        name: Name of the model.

    Returns:
        An uncompiled `keras.Model`: inputs `(batch, *input_shape)` in [-1, 1], outputs
        `(batch, num_classes)`.

    Raises:
        ValueError: A dropout rate is not in [0, 1), or `filters` is empty.

    Example:
        >>> from kerasbnn.applications import binarynet_cifar10
        >>> binarynet_cifar10().count_params()
        14033566

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 2.2;
        Anderson & Berg, arXiv 1705.07199.
    """
    if not filters:
        raise ValueError(
            "`filters` must name the channels of at least one convolution. Received: "
            f"{filters!r}. Example: filters=(128, 128)."
        )
    build = _Builder(
        use_gamma, initializer, batchnorm_momentum, batchnorm_epsilon, hidden_dropout
    )
    inputs = x = keras.Input(input_shape, name="image")
    for i, channels in enumerate(filters):
        # The border of continuous images is 0, the middle of their range.
        border = pad_values if i else 0
        x = build.convolution(x, channels, border, i % 2 == 1, f"conv_{i + 1}")
    x = keras.layers.Flatten(name="flatten")(x)
    for i, width in enumerate(units):
        x = build.dense(x, width, f"dense_{i + 1}")
    logits = build.dense(x, num_classes, "logits")
    return keras.Model(inputs, logits, name=name)


class _Builder:
    """Appends one binary layer after another, the first with continuous inputs."""

    def __init__(self, use_gamma, initializer, momentum, epsilon, dropout):
        self.initializer = initializer
        if initializer == "binarynet":
            self.initializer = keras.initializers.RandomUniform(-1.0, 1.0)
        self.batchnorm = {"scale": use_gamma, "momentum": momentum, "epsilon": epsilon}
        self.dropout = dropout
        self.inputs_are_binary = False

    def dropped(self, x, rate, name):
        """Append dropout where its rate is not zero."""
        checked_number(name, rate, minimum=0)
        if rate >= 1:
            raise ValueError(f"`{name}` must be below 1. Received: {rate!r}.")
        return keras.layers.Dropout(rate, name=name)(x) if rate else x

    def convolution(self, x, filters, pad_values, pools, name):
        """Append convolution, pooling and batch normalization."""
        x = QuantConv2D(
            filters,
            3,
            padding="same",
            pad_values=pad_values,
            input_quantizer=self._input_quantizer(),
            **self._kernel(),
            name=name,
        )(x)
        if pools:
            x = keras.layers.MaxPooling2D(2, padding="same", name=f"{name}_pool")(x)
        return self._normalized(x, name)

    def dense(self, x, units, name):
        """Append dropout of the binary inputs, dense layer and batch normalization."""
        input_quantizer = self._input_quantizer()
        if input_quantizer and self.dropout:
            # Dropout acts on signs, so the sign becomes a layer before it.
            x = SteSign(name=f"{name}_sign")(x)
            x = self.dropped(x, self.dropout, f"{name}_dropout")
            input_quantizer = None
        x = QuantDense(
            units, input_quantizer=input_quantizer, **self._kernel(), name=name
        )(x)
        return self._normalized(x, name)

    def _input_quantizer(self):
        is_first = not self.inputs_are_binary
        self.inputs_are_binary = True
        return None if is_first else "ste_sign"

    def _kernel(self):
        return {
            "use_bias": False,
            "kernel_quantizer": "ste_sign",
            "kernel_constraint": "weight_clip",
            "kernel_initializer": self.initializer,
        }

    def _normalized(self, x, name):
        return keras.layers.BatchNormalization(**self.batchnorm, name=f"{name}_bn")(x)
