"""Where the inputs of a model lie: their mean and covariance."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.probing.description import decode_floats, encode_floats
from kerasbnn.probing.figures import spread_evenly
from kerasbnn.probing.packing import decode_halves, encode_halves

# What is kept of the covariance: principal directions up to this share of the variance,
RETAINED = 0.95
MOST_DIRECTIONS = 32
# of at most so many components of an input, from at most so many inputs.
MOST_COMPONENTS = 4096
MOST_SAMPLES = 4096

LEVELS = (0.5, 0.9, 0.99, 0.999)
# Inputs beyond this quantile are called outside.
LIMIT_LEVEL = 0.99

# Below this share of the variance a direction is rounding.
_ROUNDING = 1e-6
_SMALLEST = float(np.finfo(np.float32).tiny)

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InputCovariance:
    """Mean and covariance of an input of a model, and how far from it inputs lie.

    An input has two squared distances. The one inside is that of Mahalanobis within
    the principal directions: the sum of the squared coordinates, each over its
    variance. The one outside is what is left of the squared length, over its mean for
    the reference.

    Attributes:
        size: Number of components of an input.
        mean: Mean of the components that are looked at, float32 `(components,)`.
        directions: Principal directions, `(directions, components)`, of a length of 1
            up to the rounding of float16.
        variances: Variances along them, float32 and descending.
        retained: Share of the variance that lies along them.
        outside_scale: Mean of the squared length outside of them.
        quantiles: For each of the two distances its 50, 90, 99 and 99.9 % quantiles,
            `(2, 4)`; NaN where there were too few inputs to tell.
        beyond: Fraction of inputs for which one of the two is beyond its 99 % quantile.
        samples: Number of inputs that the quantiles are from; every other one took part
            in the mean and the directions.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.probing import InputCovariance
        >>> rng = np.random.default_rng(0)
        >>> covariance = InputCovariance.fit(rng.normal(size=(4000, 3)) * [9, 3, 1])
        >>> len(covariance.variances), round(covariance.retained, 1)
        (2, 1.0)
        >>> covariance.is_outside(np.array([[9.0, 3, 1], [0, 30, 0]])).tolist()
        [False, True]

    Reference:
        Mahalanobis, On the generalized distance in statistics, 1936.
    """

    size: int
    mean: NDArray[np.float32]
    directions: NDArray[np.float32]
    variances: NDArray[np.float32]
    retained: float
    outside_scale: float
    quantiles: Floats
    beyond: float
    samples: int

    @classmethod
    def fit(cls, x: NDArray[Any]) -> "InputCovariance":
        """Estimate mean and directions from one half, quantiles from both.

        The directions fit the half that they are from better than any other inputs;
        with the quantiles of both halves neither counts as far away.

        Args:
            x: Array `(samples, ...)` of finite numbers, of at least four samples.

        Returns:
            The covariance.

        Raises:
            ValueError: There are fewer samples, no components, or values that are not
                finite.
        """
        if len(x) < 4 or not x.size:
            raise ValueError(
                "A covariance needs at least 4 samples that are not empty. Received: "
                f"an array of shape {x.shape}."
            )
        # At random, for inputs may be in an order that repeats.
        order = np.random.default_rng(0).permutation(len(x))[:MOST_SAMPLES]
        flat = _chosen_components(x[order])
        fitted = flat[::2]
        mean = fitted.mean(axis=0).astype(np.float32)
        directions, variances, retained = _principal(fitted - mean)
        # What a file holds of them is what the distances have to be measured with.
        halves = decode_halves(encode_halves(directions)).reshape(directions.shape)
        found = cls(
            size=math.prod(x.shape[1:]),
            mean=mean,
            directions=halves,
            variances=variances.astype(np.float32),
            retained=retained,
            outside_scale=1.0,
            quantiles=np.full((2, len(LEVELS)), np.nan),
            beyond=math.nan,
            samples=len(flat),
        )
        distances = found._distances(flat)
        rounding = _ROUNDING * float(np.square(fitted).sum(axis=1).mean())
        scale = max(float(distances[:, 1].mean()), rounding, _SMALLEST)
        distances[:, 1] /= scale
        quantiles = np.quantile(distances, LEVELS, axis=0).T
        limits = quantiles[:, LEVELS.index(LIMIT_LEVEL)]
        known = [
            level <= LIMIT_LEVEL or len(flat) * (1 - level) >= 1 for level in LEVELS
        ]
        return replace(
            found,
            outside_scale=scale,
            quantiles=np.where(known, quantiles, np.nan),
            beyond=float((distances > limits).any(axis=1).mean()),
        )

    @property
    def limits(self) -> Floats:
        """The 99 % quantiles of the two distances."""
        return self.quantiles[:, LEVELS.index(LIMIT_LEVEL)]

    def distances(self, x: NDArray[Any]) -> Floats:
        """Return the squared distances of inputs.

        Args:
            x: Array `(samples, ...)` of finite numbers.

        Returns:
            Array `(samples, 2)`: inside and outside of the principal directions.

        Raises:
            ValueError: The inputs have another number of components, or values that
                are not finite.
        """
        size = math.prod(x.shape[1:])
        if size != self.size:
            raise ValueError(
                f"The reference is of inputs with {self.size} components. Received: "
                f"inputs of shape {x.shape[1:]}, with {size}."
            )
        return self._distances(_chosen_components(x))

    def _distances(self, flat: Floats) -> Floats:
        centred = flat - self.mean
        along = centred @ self.directions.T.astype(np.float64)
        inside = (along**2 / self.variances).sum(axis=1)
        lengths = np.einsum("nc,nc->n", centred, centred)
        outside = lengths - np.einsum("nk,nk->n", along, along)
        return np.stack([inside, np.maximum(outside, 0) / self.outside_scale], axis=1)

    def is_outside(self, x: NDArray[Any]) -> NDArray[np.bool_]:
        """Tell which inputs lie outside of where 99 % of the reference inputs lie.

        Args:
            x: Array `(samples, ...)` of finite numbers.

        Returns:
            Bools `(samples,)`.
        """
        return np.any(self.distances(x) > self.limits, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; arrays as base64."""
        return {
            "size": self.size,
            "mean": encode_floats(self.mean),
            "directions": encode_halves(self.directions),
            "variances": encode_floats(self.variances),
            "retained": self.retained,
            "outside_scale": self.outside_scale,
            "quantiles": [
                [None if math.isnan(value) else value for value in row]
                for row in self.quantiles.tolist()
            ],
            "beyond": self.beyond,
            "samples": self.samples,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "InputCovariance":
        """Make an instance from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The covariance.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry has a wrong type.
            ValueError: An entry has a wrong size or value.
        """
        mean, variances = (
            decode_floats(values[name]) for name in ("mean", "variances")
        )
        directions = decode_halves(values["directions"])
        quantiles = np.array(values["quantiles"], np.float64)
        size = int(values["size"])
        if (
            size < 1
            or len(mean) != len(spread_evenly(size, MOST_COMPONENTS))
            or directions.size != len(mean) * len(variances)
            or quantiles.shape != (2, len(LEVELS))
        ):
            raise ValueError("the arrays of an input do not fit each other")
        scale, beyond = float(values["outside_scale"]), float(values["beyond"])
        found = cls(
            size=size,
            mean=mean,
            directions=directions.reshape(len(variances), len(mean)),
            variances=variances,
            retained=float(values["retained"]),
            outside_scale=scale,
            quantiles=quantiles,
            beyond=beyond,
            samples=int(values["samples"]),
        )
        numbers = [mean, directions, found.limits, [scale, beyond, found.retained]]
        if (
            not all(np.isfinite(array).all() for array in numbers)
            or not (variances > 0).all()
            or np.isinf(quantiles).any()
            or not scale > 0
            or not 0 <= beyond <= 1
            or found.samples < 1
        ):
            raise ValueError("a number of an input is not finite, or out of its range")
        return found


def _chosen_components(x: NDArray[Any]) -> Floats:
    flat = x.reshape(len(x), math.prod(x.shape[1:]))
    chosen = spread_evenly(flat.shape[1], MOST_COMPONENTS)
    flat = flat[:, chosen].astype(np.float64)
    if not np.isfinite(flat).all():
        raise ValueError("The inputs have values that are NaN or infinite.")
    return flat


def _principal(centred: Floats) -> tuple[Floats, Floats, float]:
    """Return the principal directions, their variances, and their share of it."""
    samples = len(centred)
    largest = float(np.abs(centred).max(initial=0.0))
    if largest == 0.0:
        return np.zeros((0, centred.shape[1])), np.zeros(0), 0.0
    unit = centred / largest
    if samples < centred.shape[1]:
        squares, vectors = np.linalg.eigh(unit @ unit.T)
        vectors = unit.T @ vectors
    else:
        squares, vectors = np.linalg.eigh(unit.T @ unit)
    squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
    shares = np.cumsum(squares) / squares.sum()
    count = int(np.searchsorted(shares, RETAINED)) + 1
    count = min(count, MOST_DIRECTIONS, int((squares > _ROUNDING * squares[0]).sum()))
    directions = vectors[:, :count].T
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    variances = squares[:count] / samples * largest**2
    return directions, variances, float(shares[count - 1])
