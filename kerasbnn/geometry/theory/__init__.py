"""Closed forms of the geometry of binary neural networks, each with its equation.

- `expected_angles`: mean and deviation of the angle between a vector and its sign.
- `component_shapes`: how they depend on the law of the components.
- `chance_angles`: the angle between two random vectors, for comparison.
- `ternary`, `quantizers`: more levels than two.
- `correlations`: what is left of dot products.
- `signs`: what signs keep of angles, and how many of them flip.
- `zeros`: numbers that are exactly zero, and ties.
- `reconstruction`: the error of scaled binary weights.

The paper is Anderson & Berg, The High-Dimensional Geometry of Binary Neural Networks,
arXiv 1705.07199. What a docstring calls derived is not in the paper.
"""

from kerasbnn.geometry.theory.chance_angles import (
    CHANCE_ANGLE_DEGREES,
    chance_angle_density_per_degree,
    chance_angle_log10_probability,
    chance_angle_standard_deviation_degrees,
    chance_cosine_standard_deviation,
)
from kerasbnn.geometry.theory.component_shapes import (
    ComponentShape,
    ShapeName,
    clipped_gaussian_angle_degrees,
    clipped_gaussian_shape,
    component_shape,
    sample_shape,
)
from kerasbnn.geometry.theory.correlations import (
    both_quantized_correlation,
    dot_product_correlation,
    quadratic_form_correlation,
    xnor_scale,
)
from kerasbnn.geometry.theory.expected_angles import (
    LIMIT_ANGLE_DEGREES,
    LIMIT_COSINE,
    angle_standard_deviation_degrees,
    cosine_standard_deviation,
    cosine_variance,
    expected_angle_degrees,
    expected_cosine,
    expected_squared_cosine,
)
from kerasbnn.geometry.theory.quantizers import (
    GaussianQuantizer,
    greedy_quantizer,
    lloyd_max_quantizer,
    quantizer_angle_degrees,
    uniform_quantizer,
)
from kerasbnn.geometry.theory.reconstruction import reconstruction_error
from kerasbnn.geometry.theory.signs import (
    bit_disagreement_probability,
    sign_and_vector_cosine,
    sign_disagreement_probability,
    sign_vectors_angle_degrees,
    sign_vectors_cosine,
)
from kerasbnn.geometry.theory.ternary import (
    TernaryShape,
    expected_ternary_angle_degrees,
    optimal_ternary_threshold_means,
    optimal_ternary_threshold_sigmas,
    ternary_angle_degrees,
    ternary_angle_standard_deviation_degrees,
    ternary_cosine,
    ternary_zero_fraction,
)
from kerasbnn.geometry.theory.zeros import (
    angle_with_zeros_degrees,
    asymptotic_tie_probability,
    largest_angle_degrees,
    tie_probability,
)

__all__ = [
    "CHANCE_ANGLE_DEGREES",
    "LIMIT_ANGLE_DEGREES",
    "LIMIT_COSINE",
    "ComponentShape",
    "GaussianQuantizer",
    "ShapeName",
    "TernaryShape",
    "angle_standard_deviation_degrees",
    "angle_with_zeros_degrees",
    "asymptotic_tie_probability",
    "bit_disagreement_probability",
    "both_quantized_correlation",
    "chance_angle_density_per_degree",
    "chance_angle_log10_probability",
    "chance_angle_standard_deviation_degrees",
    "chance_cosine_standard_deviation",
    "clipped_gaussian_angle_degrees",
    "clipped_gaussian_shape",
    "component_shape",
    "cosine_standard_deviation",
    "cosine_variance",
    "dot_product_correlation",
    "expected_angle_degrees",
    "expected_cosine",
    "expected_squared_cosine",
    "expected_ternary_angle_degrees",
    "greedy_quantizer",
    "largest_angle_degrees",
    "lloyd_max_quantizer",
    "optimal_ternary_threshold_means",
    "optimal_ternary_threshold_sigmas",
    "quadratic_form_correlation",
    "quantizer_angle_degrees",
    "reconstruction_error",
    "sample_shape",
    "sign_and_vector_cosine",
    "sign_disagreement_probability",
    "sign_vectors_angle_degrees",
    "sign_vectors_cosine",
    "ternary_angle_degrees",
    "ternary_angle_standard_deviation_degrees",
    "ternary_cosine",
    "ternary_zero_fraction",
    "tie_probability",
    "uniform_quantizer",
    "xnor_scale",
]
