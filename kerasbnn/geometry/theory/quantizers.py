"""Quantizers of a Gaussian number to a few levels, and the angles that they cost."""

import functools
import math
import operator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry.theory._arguments import checked_array
from kerasbnn.geometry.theory._normal import normal_density, normal_upper_tail

_MOST_LEVELS = 1024
_MOST_BITS = 12


@dataclass(frozen=True, eq=False)
class GaussianQuantizer:
    """A quantizer of standard normal numbers.

    Attributes:
        levels: Float64 array `(k,)` of the values it returns, in standard deviations,
            from that of the smallest numbers to that of the largest. They ascend but
            for the greedy quantizer of more than three bits.
        thresholds: Float64 array `(k - 1,)`, ascending: a number between two of them
            becomes the level between them.
        distortion: Mean squared error, from 0 to 1.
        angle_degrees: Angle between a vector of many such numbers and its quantized
            version.
        step: Distance of neighbouring levels where all are evenly spaced by
            construction, None otherwise.

    Example:
        >>> from kerasbnn.geometry.theory import lloyd_max_quantizer
        >>> quantizer = lloyd_max_quantizer(4)
        >>> quantizer.levels.round(4)
        array([-1.5104, -0.4528,  0.4528,  1.5104])
        >>> round(quantizer.angle_degrees, 2)
        20.04

    Reference:
        Max, Quantizing for minimum distortion, 1960. The angle as the measure of any
        quantization: Pouransari, Tu & Tuzel, Least squares binary quantization of
        neural networks, arXiv 2001.02786, after Anderson & Berg, arXiv 1705.07199.
    """

    levels: NDArray[np.float64]
    thresholds: NDArray[np.float64]
    distortion: float
    angle_degrees: float
    step: float | None = None


def quantizer_angle_degrees(levels: ArrayLike, thresholds: ArrayLike) -> float:
    """Angle between a Gaussian vector and its quantized version, in many dimensions.

    `cos = E[u q(u)] / sqrt(E[q(u)^2])` for a standard normal `u`, where
    `E[u q(u)]` is the sum over the thresholds `t_i` of
    `(level_(i+1) - level_i) phi(t_i)` with the normal density `phi`.

    Args:
        levels: Real array `(k,)`: the values of the quantizer, of any scale, from that
            of the smallest numbers to that of the largest.
        thresholds: Real array `(k - 1,)`, ascending, in standard deviations of the
            components.

    Returns:
        Float in degrees from 0 to 180.

    Raises:
        ValueError: There is not one threshold less than levels, the thresholds do not
            ascend, a number is not finite, or all the levels are 0.

    Example:
        >>> from kerasbnn.geometry.theory import quantizer_angle_degrees
        >>> round(quantizer_angle_degrees([-1, 1], [0]), 2)
        37.07
        >>> round(quantizer_angle_degrees([-1, 0, 1], [-0.612, 0.612]), 2)
        25.85

    Reference:
        Anderson & Berg, arXiv 1705.07199, the angle preservation property, for any
        quantizer; the sum is Stein's lemma `E[u q(u)] = E[q'(u)]` for a step function.
    """
    limits = {"open_low": True, "open_high": True}
    q = checked_array("levels", levels, -math.inf, math.inf, **limits)
    t = checked_array("thresholds", thresholds, -math.inf, math.inf, **limits)
    if q.ndim != 1 or t.shape != (len(q) - 1,) or np.any(np.diff(t) <= 0):
        raise ValueError(
            "`thresholds` must be an ascending vector of one number less than `levels` "
            f"has. Received shapes {t.shape} and {q.shape}, thresholds={t}."
        )
    if not np.any(q):
        raise ValueError("All levels are 0: a vector of zeros has no angle.")
    q = q / np.max(np.abs(q))
    square = float(q**2 @ _cell_probabilities(t))
    cosine = float(np.diff(q) @ normal_density(t)) / math.sqrt(square)
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


def lloyd_max_quantizer(levels: int) -> GaussianQuantizer:
    """Best quantizer of standard normal numbers to `k` levels.

    The one whose thresholds lie midway between the levels and whose levels are the
    means of their cells. Its angle has `cos = sqrt(1 - D)` with the distortion `D`; no
    quantizer of `k` levels has a smaller one. Two levels are the sign, three the
    ternary quantizer of the best threshold.

    Args:
        levels: Number of levels `k`, from 2 to 1,024.

    Returns:
        The `GaussianQuantizer`. It is kept, so that a second call costs nothing.

    Raises:
        ValueError: `levels` is out of range.
        TypeError: `levels` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import lloyd_max_quantizer
        >>> round(lloyd_max_quantizer(256).angle_degrees, 3)
        0.368

    Reference:
        Max, Quantizing for minimum distortion, 1960; Lloyd, Least squares quantization
        in PCM, 1982. That the solution is the only one: Fleischer, 1964. Both
        conditions are solved together here, by Newton's method.
    """
    return _lloyd_max(_checked_levels(levels))


def uniform_quantizer(levels: int) -> GaussianQuantizer:
    """Best quantizer of standard normal numbers to `k` evenly spaced levels.

    The levels are `step (i - (k - 1) / 2)` for `i` from 0 to `k - 1`, the thresholds
    lie midway between them, and the step is that of the smallest distortion `D`, for
    which `E[u q(u)] = E[q(u)^2]`; hence `cos = sqrt(1 - D)` for the angle.

    Args:
        levels: Number of levels `k`, from 2 to 1,024.

    Returns:
        The `GaussianQuantizer`, with its `step`. It is kept, so that a second call
        costs nothing.

    Raises:
        ValueError: `levels` is out of range.
        TypeError: `levels` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import uniform_quantizer
        >>> quantizer = uniform_quantizer(4)
        >>> print(f"{quantizer.step:.5f}")
        0.99569
        >>> round(quantizer.angle_degrees, 2)
        20.17

    Reference:
        Max, Quantizing for minimum distortion, 1960, section on equally spaced levels.
    """
    return _uniform(_checked_levels(levels))


def greedy_quantizer(bits: int) -> GaussianQuantizer:
    """Quantizer of standard normal numbers by binarizing what is left, again and again.

    `q = sum of a_i sign(r_i)`, where `r_1` is the number, `a_i = E |r_i|` and
    `r_(i+1) = r_i - a_i sign(r_i)`: as many binary dot products as there are bits. Its
    distortion is `1 - sum of a_i^2`, and somewhat less if the sum is scaled anew, which
    does not change the angle.

    Args:
        bits: Number of binary terms, from 1 to 12.

    Returns:
        The `GaussianQuantizer`, of up to `2^bits` levels. It is kept, so that a second
        call costs nothing.

    Raises:
        ValueError: `bits` is out of range.
        TypeError: `bits` is not an integer.

    Example:
        >>> from kerasbnn.geometry.theory import greedy_quantizer
        >>> [round(greedy_quantizer(bits).angle_degrees, 2) for bits in (1, 2, 3, 4)]
        [37.07, 20.79, 13.45, 9.9]

    Reference:
        Pouransari, Tu & Tuzel, Least squares binary quantization of neural networks,
        arXiv 2001.02786, the greedy foldable quantizer; Guo et al., arXiv 1706.02393.
    """
    number = operator.index(bits)
    if not 1 <= number <= _MOST_BITS:
        raise ValueError(
            f"`bits` must be an integer from 1 to {_MOST_BITS}. Received: {bits}."
        )
    return _greedy(number)


def _checked_levels(levels: int) -> int:
    k = operator.index(levels)
    if not 2 <= k <= _MOST_LEVELS:
        raise ValueError(
            f"`levels` must be an integer from 2 to {_MOST_LEVELS}. Received: {levels}."
        )
    return k


@functools.cache
def _lloyd_max(k: int) -> GaussianQuantizer:
    # By symmetry only the positive levels are unknown. Many levels lie as the quantiles
    # of a normal distribution of three times the variance (Panter & Dite, 1951).
    wide = NormalDist(0, math.sqrt(3))
    x = np.array([wide.inv_cdf((2 * i + 1) / (2 * k)) for i in range((k + 1) // 2, k)])
    # The innermost threshold is 0, or midway to the level 0 of an odd number of levels.
    share = 0.5 * (k % 2)
    # Lloyd's steps, to the means of the cells, lead to where Newton's method converges.
    for _ in range(20):
        _, density, cell = _positive_cells(x, share)
        x = -np.diff(density, append=0.0) / cell
    step = x
    # An error of 1e-8 squared, which is what the last step leaves, is below rounding.
    while np.max(np.abs(step)) > 1e-8:
        t, density, cell = _positive_cells(x, share)
        above = np.append(density[1:], 0.0)
        # Half of the gradient of the distortion: zero where levels are means of cells.
        gradient = x * cell - (density - above)
        # And half of its derivatives, by the thresholds on both sides of a level.
        below = 0.5 * density * (x - t)
        above *= 0.5 * (np.append(t[1:], 0.0) - x)
        diagonal = cell - above - np.append(2 * share * below[0], below[1:])
        hessian = np.diag(diagonal) - np.diag(below[1:], -1) - np.diag(above[:-1], 1)
        step = np.linalg.solve(hessian, gradient)
        x = np.asarray(x - step, dtype=np.float64)
    t, _, cell = _positive_cells(x, share)
    middle = [0.0] if k % 2 else []
    inner = [] if k % 2 else [0.0]
    positive_t = t if k % 2 else t[1:]
    # The error is orthogonal to the levels: E[u^2] - E[q^2].
    distortion = 1 - 2 * float(x**2 @ cell)
    return _made(
        np.concatenate([-x[::-1], middle, x]),
        np.concatenate([-positive_t[::-1], inner, positive_t]),
        distortion,
    )


def _positive_cells(
    x: NDArray[np.float64], share: float
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Thresholds below positive levels, the density there, and the cells' weights."""
    t = np.concatenate([[share * x[0]], (x[:-1] + x[1:]) / 2])
    return t, normal_density(t), -np.diff(normal_upper_tail(t), append=0.0)


@functools.cache
def _uniform(k: int) -> GaussianQuantizer:
    units = np.arange(k, dtype=np.float64) - (k - 1) / 2
    between = np.arange(1, k, dtype=np.float64) - k / 2

    def excess(step: float) -> float:
        """Return `(E[u q] - E[q^2]) / step`, which falls through 0 at the best step."""
        t = step * between
        square = float(units**2 @ _cell_probabilities(t))
        return float(np.sum(normal_density(t))) - step * square

    step, half = 1.5, 1.5
    # The interval shrinks by half each time, so these use up the digits of a float.
    for _ in range(60):
        half /= 2
        step += half if excess(step) > 0 else -half
    q, t = step * units, step * between
    distortion = 1 - float(q**2 @ _cell_probabilities(t))
    return _made(q, t, distortion, step=step)


@functools.cache
def _greedy(bits: int) -> GaussianQuantizer:
    # By symmetry the positive numbers suffice: cells between edges, one level for each.
    edges, q = np.array([0.0, math.inf]), np.array([0.0])
    distortion = 1.0
    for _ in range(bits):
        # What is left changes its sign where a cell contains its own level.
        inside = (q > edges[:-1]) & (q < edges[1:])
        edges = np.sort(np.concatenate([edges, q[inside]]))
        q = np.repeat(q, 1 + inside)
        tail, density = normal_upper_tail(edges), normal_density(edges)
        mean = -np.diff(density) + q * np.diff(tail)
        sign = np.where(edges[:-1] >= q, 1.0, -1.0)
        magnitude = 2 * float(sign @ mean)
        q = q + magnitude * sign
        distortion -= magnitude**2
    levels = np.concatenate([-q[::-1], q])
    thresholds = np.concatenate([-edges[-2:0:-1], edges[:-1]])
    angle = quantizer_angle_degrees(levels, thresholds)
    return _made(levels, thresholds, distortion, angle)


def _made(
    levels: NDArray[np.float64],
    thresholds: NDArray[np.float64],
    distortion: float,
    angle_degrees: float | None = None,
    step: float | None = None,
) -> GaussianQuantizer:
    """Make a quantizer that nobody can change, as it is kept for the next call."""
    if angle_degrees is None:
        # cos = sqrt(1 - D); an arccos has few digits near 0 degrees.
        angle_degrees = math.degrees(math.asin(math.sqrt(distortion)))
    levels.flags.writeable = False
    thresholds.flags.writeable = False
    return GaussianQuantizer(levels, thresholds, distortion, angle_degrees, step)


def _cell_probabilities(thresholds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of the cells between ascending thresholds."""
    # From the tail on the side of each cell, where no digits are lost.
    negative = thresholds < 0
    tail = normal_upper_tail(np.abs(thresholds))
    below = np.where(negative, tail, 1 - tail)
    above = np.where(negative, 1 - tail, tail)
    from_below = np.diff(below, prepend=0.0, append=1.0)
    from_above = -np.diff(above, prepend=1.0, append=0.0)
    return np.where(np.append(negative, False), from_below, from_above)
