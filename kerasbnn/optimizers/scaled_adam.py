"""Adam with BinaryNet's learning-rate scale for each latent binary kernel."""

import math

import keras

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.constraints import WeightClip


def glorot_scale(shape):
    """Return BinaryNet's learning-rate scale of a kernel: the inverse of Glorot's step.

    It is `1 / sqrt(1.5 / (fan_in + fan_out))`. Glorot and Bengio would draw the weights
    from a range of that inverse size; since binary networks let the latent weights fill
    [-1, 1] instead, their steps grow in proportion.

    Args:
        shape: Shape of a kernel with the input channels and the output channels last; a
            convolution's window counts in both fans.

    Returns:
        The factor, a float.

    Example:
        >>> from kerasbnn.optimizers import glorot_scale
        >>> glorot_scale((1000, 500))
        31.622776601683793

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, and the code
        that came with it (`W_LR_scale`).
    """
    window = math.prod(shape[:-2])
    fans = window * sum(shape[-2:]) if len(shape) > 1 else 2 * math.prod(shape)
    return math.sqrt(fans / 1.5)


@register
class ScaledAdam(keras.optimizers.Adam):
    """Adam that takes larger steps on latent binary kernels, as BinaryNet does.

    The update of every variable with a `constraints.WeightClip` is multiplied by its
    scale; all others, such as those of BatchNormalization, move as under Adam.

    Args:
        learning_rate: Float, or a schedule, or a callable without arguments.
        learning_rate_scale: `"glorot"` for `glorot_scale` of each kernel's shape, or
            one positive number for all kernels.
        **kwargs: Arguments of `keras.optimizers.Adam`. A weight decay is not scaled.

    Raises:
        TypeError: `learning_rate_scale` is neither `"glorot"` nor a number.
        ValueError: `learning_rate_scale` is not positive, or another string.

    Example:
        >>> import keras
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.optimizers import ScaledAdam
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     QuantDense(
        ...         10, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ...     ),
        ... ])
        >>> model.compile(ScaledAdam(1e-3), loss="mse")

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830.
    """

    def __init__(
        self,
        learning_rate=0.001,
        learning_rate_scale="glorot",
        name="scaled_adam",
        **kwargs,
    ):
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        if isinstance(learning_rate_scale, str) and learning_rate_scale != "glorot":
            raise ValueError(
                "`learning_rate_scale` must be 'glorot' or a positive number. "
                f"Received: {learning_rate_scale!r}."
            )
        if learning_rate_scale != "glorot":
            checked_number(
                "learning_rate_scale", learning_rate_scale, minimum=0, exclusive=True
            )
        self.learning_rate_scale = learning_rate_scale

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        self._scales = [self._scale_of(variable) for variable in var_list]

    def _scale_of(self, variable):
        if not isinstance(getattr(variable, "constraint", None), WeightClip):
            return 1.0
        if self.learning_rate_scale == "glorot":
            return glorot_scale(tuple(variable.shape))
        return float(self.learning_rate_scale)

    def update_step(self, gradient, variable, learning_rate):
        # Adam's update is proportional to the learning rate.
        scale = self._scales[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * scale)

    def get_config(self):
        return {**super().get_config(), "learning_rate_scale": self.learning_rate_scale}
