"""The geometry of binary neural networks, on numpy alone: no Keras, no backend.

`theory` has the closed forms; `angles`, `dot_products`, `predictions`, `spectrum` and
`weights` measure the same quantities on arrays, `accumulators` batch by batch;
`rotation`, `hadamard` and `whitening` are other bases to take signs in. `report` puts
together what an audit finds, `verdicts` says what it means, and `views` shows it.
"""

from kerasbnn.geometry.angles import (
    angle_degrees,
    angle_density,
    binarization_angle_degrees,
    cosine,
    deviation_slope,
    peak_angle_degrees,
    quantization_angle_degrees,
)
from kerasbnn.geometry.dot_products import (
    Regression,
    batchnorm_thresholds,
    filter_correlations,
    filter_sign_flips,
    permuted,
    pooled_correlation,
    sign_flips,
)
from kerasbnn.geometry.hadamard import hadamard_rotation
from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.geometry.predictions import (
    predicted_correlations,
    quadratic_correlations,
    quadratic_correlations_from_samples,
)
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.rotation import (
    generalized_binarization,
    haar_rotation,
    rotated_binarization_angle_degrees,
)
from kerasbnn.geometry.spectrum import Spectrum, covariance_spectrum, variance_along
from kerasbnn.geometry.theory import (
    LIMIT_ANGLE_DEGREES,
    LIMIT_COSINE,
    angle_standard_deviation_degrees,
    chance_angle_log10_probability,
    chance_angle_standard_deviation_degrees,
    cosine_standard_deviation,
    dot_product_correlation,
    expected_angle_degrees,
    expected_cosine,
    lloyd_max_quantizer,
    reconstruction_error,
    sign_disagreement_probability,
    ternary_angle_degrees,
    tie_probability,
)
from kerasbnn.geometry.verdicts import Thresholds
from kerasbnn.geometry.weights import WeightStatistics, weight_statistics
from kerasbnn.geometry.whitening import (
    whitening_from_covariance,
    whitening_from_samples,
)

__all__ = [
    "LIMIT_ANGLE_DEGREES",
    "LIMIT_COSINE",
    "GeometryReport",
    "LayerGeometry",
    "Regression",
    "Spectrum",
    "Thresholds",
    "WeightStatistics",
    "angle_degrees",
    "angle_density",
    "angle_standard_deviation_degrees",
    "batchnorm_thresholds",
    "binarization_angle_degrees",
    "chance_angle_log10_probability",
    "chance_angle_standard_deviation_degrees",
    "cosine",
    "cosine_standard_deviation",
    "covariance_spectrum",
    "deviation_slope",
    "dot_product_correlation",
    "expected_angle_degrees",
    "expected_cosine",
    "filter_correlations",
    "filter_sign_flips",
    "generalized_binarization",
    "haar_rotation",
    "hadamard_rotation",
    "lloyd_max_quantizer",
    "peak_angle_degrees",
    "permuted",
    "pooled_correlation",
    "predicted_correlations",
    "quadratic_correlations",
    "quadratic_correlations_from_samples",
    "quantization_angle_degrees",
    "reconstruction_error",
    "rotated_binarization_angle_degrees",
    "sign_disagreement_probability",
    "sign_flips",
    "ternary_angle_degrees",
    "tie_probability",
    "variance_along",
    "weight_statistics",
    "whitening_from_covariance",
    "whitening_from_samples",
]
