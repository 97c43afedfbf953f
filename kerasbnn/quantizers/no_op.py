"""The quantizer that changes nothing."""

from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.base import Quantizer, plain


@register
class NoOp(Quantizer):
    r"""Identity that declares how many bits its values take.

    Forward: `q(x) = x`. Gradient: `dq/dx = 1`.

    For weights that are quantized already, such as those that `optimizers.Bop` flips.

    Args:
        precision: Bits per value, positive.
        **kwargs: Arguments of `Quantizer`.

    Raises:
        TypeError: `precision` is not a number.
        ValueError: `precision` is not positive.

    Example:
        >>> import numpy as np
        >>> from keras import ops
        >>> from kerasbnn.quantizers import NoOp
        >>> same = NoOp(precision=1)(np.array([-1.0, 1.0], "float32"))
        >>> ops.convert_to_numpy(same).tolist()
        [-1.0, 1.0]

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107.
    """

    def __init__(self, precision, **kwargs):
        super().__init__(**kwargs)
        self.precision = checked_number(
            "precision", precision, minimum=0, exclusive=True
        )

    def call(self, inputs):
        # The cast reads the value where the input is a variable.
        return ops.cast(inputs, inputs.dtype)

    def get_config(self):
        return {**super().get_config(), "precision": plain(self.precision)}
