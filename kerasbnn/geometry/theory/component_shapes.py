"""Distributions of the components of a vector, as far as angles depend on them.

The angle between a vector and its sign depends on the magnitudes `|w|` of its
components, on nothing else: not on their signs, and not on their scale.
"""

import functools
import math
from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array
from kerasbnn.geometry.theory._normal import normal_density, normal_upper_tail

ShapeName = Literal[
    "gaussian",
    "uniform",
    "truncated_normal",
    "laplace",
    "triangular",
    "arcsine",
    "two_point",
]
"""Names of the shapes that `component_shape` knows."""

_SAMPLE_POINTS = 2048


class ComponentShape:
    """How the magnitudes of the independent components of a vector are distributed.

    It holds the law of `|w|` as points with probabilities: an integral over the law is
    a sum over the points, exact to rounding for the named shapes. With
    `m_k = E |w|^k`, for many dimensions `d`:

    - the cosine between vector and sign tends to `m_1 / sqrt(m_2)`;
    - its mean differs from that by `cosine_shift / d`, its variance is
      `cosine_variance / d`;
    - the mean of the angle differs from its limit by `angle_shift_degrees / d`, its
      standard deviation is `angle_deviation_degrees / sqrt(d)`.

    The functions of `expected_angles` are exact for few dimensions as well.

    Attributes:
        magnitudes: Float64 array `(points,)` of magnitudes from 0 on, scaled so that
            the mean square is 1.
        probabilities: Float64 array `(points,)` that adds up to 1.

    Args:
        magnitudes: Real array `(points,)` from 0 on, in any unit.
        probabilities: Real array `(points,)` from 0 on, in any unit.

    Raises:
        ValueError: The arrays do not fit each other, a number is negative or not
            finite, or all the magnitudes are zero.

    Example:
        >>> from kerasbnn.geometry.theory import ComponentShape
        >>> shape = ComponentShape([0.0, 1.0], [0.5, 0.5])  # half of them are zero
        >>> round(shape.limit_angle_degrees, 6)
        45.0

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property, for the
        Gaussian. For any law: the cosine is `mean |w| / sqrt(mean w^2)`, a function of
        two sample means, by the law of large numbers and the delta method (Cramer,
        Mathematical Methods of Statistics, 27.7 and 28.4).
    """

    def __init__(self, magnitudes: ArrayLike, probabilities: ArrayLike):
        a = checked_array("magnitudes", magnitudes, 0, math.inf, open_high=True)
        p = checked_array("probabilities", probabilities, 0, math.inf, open_high=True)
        if a.ndim != 1 or a.shape != p.shape:
            raise ValueError(
                "`magnitudes` and `probabilities` must be vectors of one length. "
                f"Received shapes {a.shape} and {p.shape}."
            )
        if not np.any((a > 0) & (p > 0)):
            raise ValueError(
                "A vector of zeros has no angle: at least one magnitude that has a "
                "probability must be greater than 0."
            )
        # Dividing by the largest first keeps the squares in range.
        a, p = a / np.max(a[p > 0]), p / np.max(p)
        p = p / np.sum(p)
        self.magnitudes = a / math.sqrt(float(p @ a**2))
        self.probabilities = p
        self.magnitudes.flags.writeable = False
        self.probabilities.flags.writeable = False

    def __repr__(self) -> str:
        return (
            f"<ComponentShape of {len(self.magnitudes)} points, limit angle "
            f"{self.limit_angle_degrees:.2f} degrees>"
        )

    @functools.cached_property
    def _central_moments(self) -> tuple[float, float, float, float]:
        """Mean of `|w|` and its central moments of orders 2 to 4.

        The coefficients below are written with these since with the moments about zero
        they are differences of close numbers where all the magnitudes are alike.
        """
        mean = float(self.probabilities @ self.magnitudes)
        centred = self.magnitudes - mean
        c2, c3, c4 = (float(self.probabilities @ centred**k) for k in (2, 3, 4))
        return mean, c2, c3, c4

    @property
    def limit_cosine(self) -> float:
        """Cosine between vector and sign in infinitely many dimensions.

        `m_1 / sqrt(m_2)`.
        """
        return math.cos(self._limit_angle)

    @property
    def limit_angle_degrees(self) -> float:
        """Angle between vector and sign in infinitely many dimensions, in degrees."""
        return math.degrees(self._limit_angle)

    @property
    def _limit_angle(self) -> float:
        # From the sine, sd(|w|) / rms(w), too: an arccos has few digits near 0 degrees.
        mean, c2, _, _ = self._central_moments
        return math.atan2(math.sqrt(c2), mean)

    @property
    def cosine_variance(self) -> float:
        """Variance of the cosine, times `d`, for many dimensions.

        `(m_2 - m_1^2) / m_2 + m_1^2 (m_4 - m_2^2) / (4 m_2^3)
        - m_1 (m_3 - m_1 m_2) / m_2^2`.
        """
        mean, c2, c3, c4 = self._central_moments
        # Rounding must not make it negative.
        return max(0.0, c2**3 - mean * c2 * c3 + mean**2 * (c4 - c2**2) / 4)

    @property
    def cosine_shift(self) -> float:
        """Mean of the cosine less its limit, times `d`, for many dimensions.

        `3 m_1 (m_4 - m_2^2) / (8 m_2^(5/2)) - (m_3 - m_1 m_2) / (2 m_2^(3/2))`.
        """
        mean, c2, c3, c4 = self._central_moments
        return (
            mean * c2 * (mean**2 / 2 - c2)
            + c3 * (mean**2 - c2 / 2)
            + 3 / 8 * mean * (c4 - c2**2)
        )

    @property
    def angle_deviation_degrees(self) -> float:
        """Standard deviation of the angle, times `sqrt(d)`, for many dimensions.

        The deviation of the cosine over the slope of the arccos.
        """
        sine = math.sin(self._limit_angle)
        if sine == 0:
            return 0.0
        return math.degrees(math.sqrt(self.cosine_variance) / sine)

    @property
    def angle_shift_degrees(self) -> float:
        """Mean of the angle less its limit, times `d`, for many dimensions.

        The shift of the cosine over the slope of the arccos, and half of the curvature
        of the arccos times the variance of the cosine.
        """
        sine, cosine = math.sin(self._limit_angle), math.cos(self._limit_angle)
        if sine == 0:
            return 0.0
        curvature = cosine * self.cosine_variance / (2 * sine**3)
        return -math.degrees(self.cosine_shift / sine + curvature)


def component_shape(shape: ShapeName | ComponentShape) -> ComponentShape:
    """Look up a shape by its name.

    | Name | Density of `w` | Limit angle | Where it comes up |
    |---|---|---|---|
    | `"gaussian"` | normal | 37.07 | `random_normal`, any random direction |
    | `"uniform"` | flat around 0 | 30.00 | `glorot_uniform`, `he_uniform` |
    | `"truncated_normal"` | normal within 2 sigma | 34.74 | Keras' `he_normal` |
    | `"laplace"` | `exp(-abs(w))` | 45.00 | sparse weights |
    | `"triangular"` | `1 - abs(w)` | 35.26 | sum of two uniform numbers |
    | `"arcsine"` | `1 / sqrt(1 - w^2)` | 25.80 | a cosine at a random phase |
    | `"two_point"` | two values, -a and a | 0 | weights that are binary |

    Args:
        shape: A name, or a `ComponentShape`, which is returned as it is.

    Returns:
        The `ComponentShape`.

    Raises:
        ValueError: The name is not known.

    Example:
        >>> from kerasbnn.geometry.theory import component_shape
        >>> round(component_shape("uniform").limit_angle_degrees, 2)
        30.0
        >>> round(component_shape("uniform").angle_deviation_degrees, 2)
        18.12

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property, for the
        Gaussian; the others are the same integrals `E |w| / sqrt(E w^2)`.
    """
    if isinstance(shape, ComponentShape):
        return shape
    if shape not in get_args(ShapeName):
        raise ValueError(
            f"`shape` must be a ComponentShape or one of {list(get_args(ShapeName))}. "
            f"Received: {shape!r}. `sample_shape(weights)` makes one of any weights."
        )
    return _named_shape(shape)


def sample_shape(weights: ArrayLike) -> ComponentShape:
    """Shape of given weights: each of them is as likely as any other.

    Args:
        weights: Real array of any shape, such as the kernel of a layer. Of more than
            4,096 weights the smaller ones are taken together in 2,048 groups of nearly
            equal magnitude.

    Returns:
        The `ComponentShape`.

    Raises:
        ValueError: There are no weights, one of them is not finite, or all are zero.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.theory import sample_shape
        >>> kernel = np.random.default_rng(0).laplace(size=(3, 3, 256, 128))
        >>> print(f"{sample_shape(kernel).limit_angle_degrees:.0f} degrees")
        45 degrees

    Reference:
        The moments of a sample in place of those of a law in `E |w| / sqrt(E w^2)`,
        after Anderson & Berg, arXiv 1705.07199, the angle preservation property.
    """
    w = checked_array(
        "weights", weights, -math.inf, math.inf, open_low=True, open_high=True
    )
    if not w.size:
        raise ValueError(f"There are no weights in an array of shape {w.shape}.")
    magnitudes = np.sort(np.abs(w), axis=None)
    if not magnitudes[-1]:
        raise ValueError("All weights are zero: such a vector has no angle.")
    magnitudes /= magnitudes[-1]
    counts = np.ones_like(magnitudes)
    if w.size > 2 * _SAMPLE_POINTS:
        # The largest stay as they are, since a few of them can rule the moments.
        small, large = magnitudes[:-_SAMPLE_POINTS], magnitudes[-_SAMPLE_POINTS:]
        # Zeros stay zeros, for a vector of zeros has no angle.
        zeros, small = np.split(small, [np.count_nonzero(small == 0)])
        bounds = np.linspace(0, len(small), _SAMPLE_POINTS + 1).astype(int)
        bounds = np.unique(bounds[:-1])[: len(small)]
        sizes = np.diff(np.append(bounds, len(small)))
        squares = np.add.reduceat(small**2, bounds) if len(small) else small
        groups = np.sqrt(squares / sizes) if len(small) else small
        magnitudes = np.concatenate([[0.0], groups, large])
        counts = np.concatenate([[len(zeros)], sizes, np.ones(len(large))])
    return ComponentShape(magnitudes, counts)


def clipped_gaussian_shape(deviation: float) -> ComponentShape:
    """Shape of Gaussian weights clipped to [-1, 1].

    Args:
        deviation: Standard deviation of the weights before they are clipped, in units
            of the largest allowed magnitude; greater than 0 and finite.

    Returns:
        The `ComponentShape`: close to the Gaussian for small deviations, close to two
        points for large ones.

    Raises:
        ValueError: `deviation` is not a positive number.

    Example:
        >>> from kerasbnn.geometry.theory import clipped_gaussian_shape
        >>> round(clipped_gaussian_shape(1.0).limit_angle_degrees, 2)
        28.51

    Reference:
        The clip to [-1, 1] is that of Courbariaux et al., arXiv 1602.02830; the shape
        follows from its definition.
    """
    s = float(
        checked_array(
            "deviation", deviation, 0, math.inf, open_low=True, open_high=True
        )
    )
    # Beyond 12 deviations nothing is left, so the points go where the weights are.
    x, p = _legendre_points(min(1.0, 12 * s))
    magnitudes = np.append(x, 1.0)
    inside = p * 2 * normal_density(x / s) / s
    return ComponentShape(magnitudes, np.append(inside, 2 * normal_upper_tail(1 / s)))


def clipped_gaussian_angle_degrees(deviation: ArrayLike) -> NDArray[np.float64]:
    """Angle between clipped Gaussian weights and their sign, in degrees.

    For many dimensions, with `T = 1 / s` for the deviation `s`, the density `phi` and
    the upper tail `Q` of the standard normal distribution:

    - `E |w| = 2 s (phi(0) - phi(T)) + 2 Q(T)`
    - `E w^2 = s^2 (1 - 2 Q(T) - 2 T phi(T)) + 2 Q(T)`
    - `angle = arccos(E |w| / sqrt(E w^2))`

    Clipping lowers the angle, from 37.07 degrees without it towards 0.

    Args:
        deviation: Standard deviation of the weights before they are clipped to
            [-1, 1]; greater than 0 and finite.

    Returns:
        Float64 array of the shape of `deviation`, in degrees.

    Raises:
        ValueError: A deviation is not a positive number.

    Example:
        >>> from kerasbnn.geometry.theory import clipped_gaussian_angle_degrees
        >>> clipped_gaussian_angle_degrees([0.5, 1.0, 2.0]).round(2)
        array([35.52, 28.51, 20.77])

    Reference:
        Derived from `E |w| / sqrt(E w^2)`, after Anderson & Berg, arXiv 1705.07199, the
        angle preservation property, for the clip of Courbariaux et al., arXiv
        1602.02830.
    """
    s = checked_array(
        "deviation", deviation, 0, math.inf, open_low=True, open_high=True
    )
    angles = [clipped_gaussian_shape(x).limit_angle_degrees for x in s.ravel().tolist()]
    return np.array(angles, dtype=np.float64).reshape(s.shape)


@functools.cache
def _named_shape(name: ShapeName) -> ComponentShape:
    if name == "two_point":
        return ComponentShape([1.0], [1.0])
    if name == "arcsine":
        phase, p = _legendre_points(math.pi / 2)
        return ComponentShape(np.sin(phase), p)
    density, largest = _DENSITIES[name]
    x, p = _legendre_points(largest)
    return ComponentShape(x, p * density(x))


# Densities of the magnitude up to a constant factor, and where they end.
_DENSITIES: dict[
    ShapeName, tuple[Callable[[NDArray[np.float64]], NDArray[np.float64]], float]
] = {
    "gaussian": (normal_density, 12.0),
    "uniform": (np.ones_like, 1.0),
    "truncated_normal": (normal_density, 2.0),
    "laplace": (lambda x: np.exp(-x), 60.0),
    "triangular": (lambda x: 1 - x, 1.0),
}


def _legendre_points(
    largest: float,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Points and weights of Gauss-Legendre quadrature from 0 to `largest`."""
    x, p = np.polynomial.legendre.leggauss(200)
    return largest * (x + 1) / 2, largest * p / 2
