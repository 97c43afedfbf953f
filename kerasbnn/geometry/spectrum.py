"""How the variance of a layer's inputs is spread over the directions of their space."""

import math
import operator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kerasbnn.geometry._arrays import centred_patches, filter_matrix, unit_vectors


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Spectrum of the covariance of inputs, estimated from samples.

    Attributes:
        samples: Number of samples `n`.
        fan_in: Number of elements `d` of a sample.
        eigenvalues: Those that can differ from zero, `min(n - 1, d)` of them, float64
            and descending. They are the variances along the principal directions, with
            `n - 1` in the denominator.
        total_variance: Sum of the variances of all elements; NaN for a single sample.
        participation_ratio: `(sum l)^2 / sum l^2` over the eigenvalues `l`: the number
            of directions that share the variance, from 1 to `d`. With few samples it is
            too low: `n` samples of `d` independent Gaussians read `n d / (n + d)`. NaN
            where nothing varies.
        corrected_participation_ratio: The same from estimates without bias of its
            numerator and denominator, for independent samples of any law. NaN where
            nothing varies, and with fewer than four samples, which do not suffice.
    """

    samples: int
    fan_in: int
    eigenvalues: NDArray[np.float64]
    total_variance: float
    participation_ratio: float
    corrected_participation_ratio: float

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Eigenvalues as fractions of the total variance; NaN where nothing varies."""
        if not np.any(self.eigenvalues > 0):
            return np.full(self.eigenvalues.shape, np.nan)
        # The largest one first, as their sum can exceed the largest float.
        relative = self.eigenvalues / self.eigenvalues[0]
        return relative / np.sum(relative)

    def top_fraction(self, k: int) -> float:
        """Fraction of the variance that lies along the `k` principal directions.

        Args:
            k: Number of directions, from 1 on.

        Returns:
            Float from 0 to 1; NaN where nothing varies.

        Raises:
            TypeError: `k` is not an integer.
            ValueError: `k` is less than 1.

        Example:
            >>> from kerasbnn.geometry.spectrum import covariance_spectrum
            >>> spectrum = covariance_spectrum([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
            >>> spectrum.top_fraction(1)
            0.8
        """
        if operator.index(k) < 1:
            raise ValueError(f"`k` must be an integer from 1 on. Received: {k}.")
        fractions = self.fractions
        return float(np.sum(fractions[:k])) if fractions.size else math.nan


def covariance_spectrum(patches: ArrayLike) -> Spectrum:
    """Spectrum of the covariance of a layer's inputs.

    With fewer samples than elements the eigenvalues come from the Gram matrix of the
    centred samples, which has the same ones, and no `d x d` matrix is made.

    Args:
        patches: Real array of shape `(samples, fan_in)`: what single dot products of
            the layer see. For a convolution a row is the window under the kernel.

    Returns:
        `Spectrum`.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The array is empty, not of rank 2, or a value is not finite.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.geometry.spectrum import covariance_spectrum
        >>> patches = np.random.default_rng(0).normal(size=(100, 300))
        >>> spectrum = covariance_spectrum(patches)
        >>> round(spectrum.participation_ratio)
        74
        >>> 270 < spectrum.corrected_participation_ratio <= 300
        True

    Reference:
        Anderson & Berg, arXiv 1705.07199, on why the first layer differs. The corrected
        ratio rests on Himeno and Yamada, Estimations for some functions of covariance
        matrix in high dimension under non-normality, J. Multivariate Anal. 130, 2014.
    """
    x, unit = centred_patches(patches)
    n, d = x.shape
    # A second scale, so that squares stay in range where the variation is tiny.
    largest = float(np.max(np.abs(x)))
    if n < 2 or largest == 0.0:
        empty = np.zeros(min(n - 1, d))
        total = math.nan if n < 2 else 0.0
        return Spectrum(n, d, empty, total, math.nan, math.nan)
    x = x / largest
    product = x @ x.T if n <= d else x.T @ x
    scatter = np.linalg.eigvalsh(product)[::-1][: min(n - 1, d)]
    lengths = np.einsum("ij,ij->i", x, x)
    # Traces of the scatter matrix and of its square need no eigenvalues.
    trace, square_trace = float(np.sum(lengths)), float(np.sum(product * product))
    with np.errstate(over="ignore", under="ignore"):
        to_variance = (np.float64(unit * largest) ** 2) / (n - 1)
        eigenvalues = np.maximum(scatter, 0.0) * to_variance
        total = float(trace * to_variance)
    plain = trace * trace / square_trace
    corrected = _corrected_ratio(n, d, trace, square_trace, float(lengths @ lengths))
    return Spectrum(n, d, eigenvalues, total, plain, corrected)


def variance_along(weights: ArrayLike, patches: ArrayLike) -> NDArray[np.float64]:
    """Variance of the inputs along each filter, relative to their mean variance.

    `rho = (var(w.x) / |w|^2) / (mean variance of an element of x)`. Above 1, the filter
    looks along directions in which the inputs vary much, and binarization keeps more of
    its dot products than the angle alone would tell; below 1, less.

    Args:
        weights: Continuous filters, real array of shape `(fan_in, filters)`.
        patches: Inputs, real array of shape `(samples, fan_in)`.

    Returns:
        Float64 array of shape `(filters,)`, from 0 to `fan_in`. NaN where a filter is
        zero or not finite; NaN for all of them where the inputs do not vary.

    Raises:
        TypeError: The values are complex, Boolean or no numbers.
        ValueError: The shapes do not match, an array is empty or an input not finite.

    Example:
        >>> from kerasbnn.geometry.spectrum import variance_along
        >>> patches = [[2.0, 0.0], [-2.0, 0.0], [0.0, 1.0], [0.0, -1.0]]
        >>> variance_along([[1.0, 0.0], [0.0, 3.0]], patches)
        array([1.6, 0.4])

    Reference:
        Anderson & Berg, arXiv 1705.07199, the dot product proportionality property.
    """
    x, _ = centred_patches(patches)
    w = unit_vectors(filter_matrix("weights", weights, x.shape[1]), axis=0)
    largest = float(np.max(np.abs(x)))
    if largest == 0.0:
        return np.full_like(w[0], np.nan)
    x = x / largest
    # Filters that are not finite give NaN, which is not worth a warning.
    with np.errstate(invalid="ignore"):
        products = x @ w
    return np.mean(products * products, axis=0) / np.mean(x * x)


def _corrected_ratio(
    n: int, d: int, trace: float, square_trace: float, fourth: float
) -> float:
    """Return the participation ratio from estimates without bias, kept in `[1, d]`.

    For four independent samples `a, b, c, e` of any law with covariance `C`, the mean
    of `|a - b|^2 |c - e|^2 / 4` is `(tr C)^2`, and that of `((a - b).(c - e))^2 / 4` is
    `tr C^2`: no sample meets itself, which is where the bias of the plain ratio comes
    from. Averaged over all choices of four different samples, both can be written in
    traces of the scatter matrix, as by Himeno and Yamada.

    Args:
        n: Number of samples.
        d: Number of elements of a sample.
        trace: Trace of the scatter matrix, `(n - 1) tr S`.
        square_trace: Trace of its square, `(n - 1)^2 tr S^2`.
        fourth: Sum of the fourth powers of the lengths of the centred samples.

    Returns:
        Float; NaN with fewer than four samples.
    """
    if n < 4:
        return math.nan
    # Both share the factor (n - 1) / (n (n - 2) (n - 3)), which cancels.
    s1, s2 = (trace / (n - 1)) ** 2, square_trace / (n - 1) ** 2
    q = fourth / (n - 1)
    of_square = (n - 1) * (n - 2) * s2 + s1 - n * q
    squared = 2 * s2 + (n * n - 3 * n + 1) * s1 - n * q
    # An estimate of `tr C^2` can be 0, where all differences are orthogonal, and below
    # it by rounding; few samples can also look more than isotropic.
    return float(np.clip(squared / of_square, 1.0, d)) if of_square > 0 else float(d)
