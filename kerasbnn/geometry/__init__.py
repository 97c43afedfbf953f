"""The geometry of binary neural networks, on numpy alone: no Keras, no backend.

`theory` has the closed forms, `angles` measures the same quantities on arrays.
"""

from kerasbnn.geometry.angles import angle_degrees, binarization_angle_degrees, cosine
from kerasbnn.geometry.theory import (
    LIMIT_ANGLE_DEGREES,
    LIMIT_COSINE,
    angle_standard_deviation_degrees,
    cosine_standard_deviation,
    expected_angle_degrees,
    expected_cosine,
)

__all__ = [
    "LIMIT_ANGLE_DEGREES",
    "LIMIT_COSINE",
    "angle_degrees",
    "angle_standard_deviation_degrees",
    "binarization_angle_degrees",
    "cosine",
    "cosine_standard_deviation",
    "expected_angle_degrees",
    "expected_cosine",
]
