"""What is left of a vector that its binary version, well scaled, does not explain."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array


def reconstruction_error(angle_degrees: ArrayLike) -> NDArray[np.float64]:
    """Relative squared error of the best multiple of a quantized vector.

    `min over a of |w - a w_b|^2 / |w|^2 = sin^2(theta)`, exact for any two vectors at
    an angle `theta`. For signs, the best factor `a` is `mean |w|`.

    Args:
        angle_degrees: Angle `theta` between the vector and its quantized version, from
            0 to 180.

    Returns:
        Float64 array of the shape of `angle_degrees`, from 0 to 1.

    Raises:
        ValueError: An angle is out of range, or NaN.

    Example:
        >>> from kerasbnn.geometry.theory import LIMIT_ANGLE_DEGREES
        >>> from kerasbnn.geometry.theory import reconstruction_error
        >>> round(float(reconstruction_error(LIMIT_ANGLE_DEGREES)), 6)
        0.36338

    Reference:
        The projection of one vector onto another. As the error of binary weights:
        Rastegari et al., XNOR-Net, arXiv 1603.05279, section 3.1.
    """
    angle = checked_array("angle_degrees", angle_degrees, 0, 180)
    return np.sin(np.radians(angle)) ** 2
