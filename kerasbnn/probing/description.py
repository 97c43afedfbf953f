"""What a probe file says of itself, and what its outputs are called."""

import base64
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.layer_geometry import LayerGeometry

FORMAT_VERSION = 1

# Key of the description in a file's metadata.
METADATA_KEY = "probe"

# What is measured for each row of a kernel's inputs, all of shape `(rows, channels)`:
# products with the two kinds of weights, their means over the windows of the row,
QUANTIZED, CONTINUOUS = "quantized", "continuous"
# sums over the windows of squared deviations from these means, and of their products;
QUANTIZED_SQUARES = "quantized_squares"
CONTINUOUS_SQUARES = "continuous_squares"
JOINT_SQUARES = "joint_squares"
# windows in which the signs of the two differ, over all filters, `(rows, 1)`;
FLIPS = "flips"
# inputs, their means over the positions of the row,
INPUTS = "inputs"
# sums over the windows of the deviations that each tap meets, and of their squares;
ELEMENTS, ELEMENT_SQUARES = "elements", "element_squares"
# and fractions of what the quantizer of the inputs is given: below 0, beyond its clip.
NEGATIVE, SATURATED = "negative", "saturated"

# What is measured for each row of a batch normalization's inputs.
MEAN, SQUARES = "mean", "squares"


def output_name(owner: str, call: int, figure: str) -> str:
    """Return the name of an output of a probe.

    Args:
        owner: Name of the kernel, or path of the batch normalization.
        call: How often it was called before.
        figure: What is measured.

    Returns:
        The name.
    """
    return f"{owner}:{call}:{figure}"


@dataclass(frozen=True)
class Call:
    """One call of a kernel or a batch normalization.

    Attributes:
        positions: Windows, or values per channel, of one row.
        covered: For each spatial axis and each tap along it, the number of windows in
            which the tap meets an input and not padding.
        pad_value: What it meets otherwise.
    """

    positions: int
    covered: tuple[tuple[int, ...], ...] = ()
    pad_value: float = 0.0

    @property
    def inputs_per_tap(self) -> NDArray[np.float64]:
        """For each tap, the number of windows of a row in which it meets an input."""
        total = np.ones(1)
        for along in self.covered:
            total = np.multiply.outer(total, along).ravel()
        return total


@dataclass(frozen=True)
class KernelDescription:
    """What does not depend on the inputs of a kernel.

    Attributes:
        geometry: Its geometry, as an audit without data has it.
        squared_norms: Squared length of each filter's continuous weights, float32
            `(filters,)`.
        calls: Its calls in one forward pass.
        clip_value: Where the gradient of the quantizer of its inputs ends, or None.
        normalization: Path of the batch normalization that follows, or None.
    """

    geometry: LayerGeometry
    squared_norms: NDArray[np.float32]
    calls: tuple[Call, ...]
    clip_value: float | None = None
    normalization: str | None = None

    def figures(self, call: int) -> list[str]:
        """Return what a call of the kernel yields at least.

        Args:
            call: Number of the call.

        Returns:
            Names of figures.
        """
        names = [QUANTIZED, CONTINUOUS, INPUTS]
        if self.calls[call].covered:
            names += [ELEMENTS, ELEMENT_SQUARES]
        if self.calls[call].positions > 1:
            names += [QUANTIZED_SQUARES, CONTINUOUS_SQUARES, JOINT_SQUARES, FLIPS]
        return names

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, without what is empty."""
        geometry = self.geometry.to_dict()
        angles = np.array(self.geometry.angles.per_filter, np.float32)
        geometry["angles"].pop("per_filter")
        edges = geometry["weights"]["edges"]
        if edges and edges == _edges(edges[-1], len(edges)):
            geometry["weights"]["edges"] = [edges[-1], len(edges)]
        return {
            "geometry": _without_empty(geometry),
            "angles": encode_floats(angles),
            "squared_norms": encode_floats(self.squared_norms),
            "calls": [_call_to_dict(call) for call in self.calls],
            "clip_value": self.clip_value,
            "normalization": self.normalization,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "KernelDescription":
        """Make a description from what `to_dict` has returned."""
        geometry = LayerGeometry.from_dict(values["geometry"])
        weights = geometry.weights
        if len(weights.edges) == 2 < len(weights.histogram):
            edges = tuple(_edges(weights.edges[0], int(weights.edges[1])))
            geometry = replace(geometry, weights=replace(weights, edges=edges))
        angles = decode_floats(values["angles"])
        per_filter = tuple(
            None if math.isnan(angle) else angle for angle in angles.tolist()
        )
        geometry = replace(
            geometry, angles=replace(geometry.angles, per_filter=per_filter)
        )
        norms = decode_floats(values["squared_norms"])
        if not len(angles) == len(norms) == geometry.filters:
            raise ValueError(
                f"'{geometry.name}' has {geometry.filters} filters, but "
                f"{len(angles)} angles and {len(norms)} lengths"
            )
        return cls(
            geometry,
            norms,
            tuple(_call_from_dict(call) for call in values["calls"]),
            values["clip_value"],
            values["normalization"],
        )


@dataclass(frozen=True)
class NormalizationDescription:
    """A batch normalization that follows kernels.

    Attributes:
        name: Path of the layer.
        epsilon: What it adds to a variance.
        mean: Mean that it has, float32 `(channels,)`.
        variance: Variance that it has, likewise.
        calls: Its calls in one forward pass.
    """

    name: str
    epsilon: float
    mean: NDArray[np.float32]
    variance: NDArray[np.float32]
    calls: tuple[Call, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {
            "name": self.name,
            "epsilon": self.epsilon,
            "mean": encode_floats(self.mean),
            "variance": encode_floats(self.variance),
            "calls": [_call_to_dict(call) for call in self.calls],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "NormalizationDescription":
        """Make a description from what `to_dict` has returned."""
        return cls(
            values["name"],
            values["epsilon"],
            decode_floats(values["mean"]),
            decode_floats(values["variance"]),
            tuple(_call_from_dict(call) for call in values["calls"]),
        )


@dataclass(frozen=True)
class ProbeDescription:
    """What a probe file measures, and all that it knows without inputs.

    Attributes:
        model: Name of the model.
        version: Version of kerasbnn that wrote the file.
        kernels: The kernels, in the order of the calls.
        normalizations: The batch normalizations that follow them.
        skipped: Layers with kernels that are not measured, by path, and why.

    Example:
        >>> from kerasbnn.probing import ProbeDescription
        >>> empty = ProbeDescription("net", "1.0", ())
        >>> ProbeDescription.from_dict(empty.to_dict()) == empty
        True
    """

    model: str
    version: str
    kernels: tuple[KernelDescription, ...]
    normalizations: tuple[NormalizationDescription, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict[str, str])

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; arrays as base64."""
        return {
            "format": FORMAT_VERSION,
            "model": self.model,
            "version": self.version,
            "kernels": [kernel.to_dict() for kernel in self.kernels],
            "normalizations": [found.to_dict() for found in self.normalizations],
            "skipped": self.skipped,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ProbeDescription":
        """Make a description from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The description.

        Raises:
            ValueError: It is not such a dict, or of a later format.
        """
        version = values.get("format")
        if not isinstance(version, int):
            raise ValueError("it has no number of its format")
        if version > FORMAT_VERSION:
            raise ValueError(
                f"it has format {version}, but this kerasbnn knows formats up to "
                f"{FORMAT_VERSION}; install a newer kerasbnn"
            )
        try:
            return cls(
                values["model"],
                values["version"],
                tuple(map(KernelDescription.from_dict, values["kernels"])),
                tuple(
                    map(NormalizationDescription.from_dict, values["normalizations"])
                ),
                dict(values["skipped"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"an entry is missing or wrong: {error}") from error


def encode_floats(values: Any) -> str:
    """Return numbers as base64 of little-endian float32."""
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def decode_floats(text: str) -> NDArray[np.float32]:
    """Return what `encode_floats` has made a text of."""
    return np.frombuffer(base64.b64decode(text, validate=True), "<f4")


def _edges(largest: float, count: int) -> list[float]:
    """Return the edges of equal bins from minus a value to that value."""
    return (np.linspace(-1.0, 1.0, count) * largest).tolist()


def _call_to_dict(call: Call):
    values: dict[str, Any] = {"positions": call.positions}
    if call.covered:
        values["covered"] = [list(along) for along in call.covered]
        values["pad_value"] = call.pad_value
    return values


def _call_from_dict(values: Mapping[str, Any]):
    covered = tuple(tuple(along) for along in values.get("covered", ()))
    return Call(values["positions"], covered, values.get("pad_value", 0.0))


def _without_empty(value: Any) -> Any:
    """Leave out what `LayerGeometry.from_dict` fills in by itself."""
    if not isinstance(value, dict):
        return value
    kept = {key: _without_empty(item) for key, item in value.items()}
    return {
        key: item
        for key, item in kept.items()
        if item is not None and item != [] and item != {} and key != "score"
    }
