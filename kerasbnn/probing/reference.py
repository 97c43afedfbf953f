"""What the reference inputs of a model look like to its probe."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.probing.covariance import InputCovariance
from kerasbnn.probing.description import (
    ProbeDescription,
    decode_floats,
    encode_floats,
)
from kerasbnn.probing.figures import FIGURES, Figures, channel_moments, figures_of
from kerasbnn.probing.packing import rounded
from kerasbnn.probing.reading import Probe
from kerasbnn.probing.statistics import ProbeStatistics

FORMAT_VERSION = 1

FEWEST_SAMPLES = 64

# Inputs are measured in blocks of about so many samples, and in so many blocks.
BLOCK = 64
FEWEST_BLOCKS, MOST_BLOCKS = 8, 64


@dataclass(frozen=True)
class Figure:
    """A figure over all inputs, and how it varies from block to block.

    Attributes:
        value: Over all inputs.
        block_mean: Mean over the blocks of what each one has by itself. It differs from
            `value` where few samples bias the figure.
        block_sd: Standard deviation over the blocks.
    """

    value: float | None
    block_mean: float | None = None
    block_sd: float | None = None


@dataclass(frozen=True, eq=False)
class LayerReference:
    """What the reference inputs look like in one layer.

    Attributes:
        figures: The figures of `kerasbnn.probing.figures.FIGURES`, by name.
        channel_means: Mean of each channel of the layer's inputs, float32.
        channel_sds: Their standard deviations.
        block_shift: Distance of the channels' means of a block from `channel_means`,
            in standard deviations: root mean square over channels and blocks.
    """

    figures: dict[str, Figure]
    channel_means: NDArray[np.float32]
    channel_sds: NDArray[np.float32]
    block_shift: float | None

    def shift(self, means: NDArray[Any]) -> float | None:
        """Return how far the means of the channels have moved.

        Args:
            means: Means of the same channels over other inputs.

        Returns:
            Root of the mean squared distance, over the root of the channels' mean
            variance; None where the channels do not vary.
        """
        return _shift(means, self.channel_means, self.channel_sds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; figures as `[value, block_mean, block_sd]`."""
        return {
            "figures": {
                name: [rounded(f.value), rounded(f.block_mean), rounded(f.block_sd)]
                for name, f in self.figures.items()
                if f.value is not None
            },
            "channel_means": encode_floats(self.channel_means),
            "channel_sds": encode_floats(self.channel_sds),
            "block_shift": rounded(self.block_shift),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LayerReference":
        """Make an instance from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The instance.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry has a wrong type.
            ValueError: An entry has a wrong size or value.
        """
        figures = {
            name: Figure(*map(_number, values["figures"].get(name, (None,))))
            for name in FIGURES
        }
        means, sds = (
            decode_floats(values[name]) for name in ("channel_means", "channel_sds")
        )
        if len(means) != len(sds) or not np.isfinite([means, sds]).all():
            raise ValueError("means and deviations of channels do not fit each other")
        return cls(figures, means, sds, _number(values["block_shift"]))


@dataclass(frozen=True, eq=False)
class Reference:
    """What the reference inputs of a model look like to its probe.

    The inputs are measured in blocks as well as together, so that it is known how much
    each figure varies with the choice of the samples.

    Attributes:
        model: Name of the model.
        weights: Digest of the weights that the probe measures.
        samples: Number of samples.
        block: Samples of a block.
        blocks: Number of blocks.
        layers: The layers by name, in the order of the calls.
        inputs: Mean and covariance of the model's inputs, by name.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.probing import Probe, Reference
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> report = kerasbnn.tflite.probe(model, "model.probe.tflite")
        >>> x = np.random.default_rng(0).normal(size=(512, 64))
        >>> reference = Reference.measure(Probe("model.probe.tflite"), x)
        >>> reference.blocks, list(reference.layers)
        (8, ['dense'])
        >>> same = Reference.from_dict(reference.to_dict())
    """

    model: str
    weights: str
    samples: int
    block: float
    blocks: int
    layers: dict[str, LayerReference]
    inputs: dict[str, InputCovariance]

    @classmethod
    def measure(cls, probe: Probe, x: Any) -> "Reference":
        """Measure reference inputs: such as the model was trained on.

        Args:
            probe: The probe of the model.
            x: As for `Probe.measure`, at least 64 samples in any order; 1000 and more
                make warnings sharper.

        Returns:
            The reference.

        Raises:
            ValueError: There are fewer samples, or the inputs are not those of the
                file, or are not finite.
            TypeError: A dtype is not that of the file.
            ModelError: LiteRT cannot run the file on such inputs.
        """
        arrays = probe.named_inputs(x)
        samples = min(map(len, arrays.values()))
        if samples < FEWEST_SAMPLES:
            raise ValueError(
                f"A reference needs at least {FEWEST_SAMPLES} samples, to tell drift "
                f"from chance; 1000 are better. Received: {samples}."
            )
        blocks = min(max(samples // BLOCK, FEWEST_BLOCKS), MOST_BLOCKS)
        total = ProbeStatistics(probe.description)
        each: list[dict[str, Figures]] = []
        means: list[dict[str, NDArray[np.float64]]] = []
        # At random, for inputs may be sorted, or in an order that repeats.
        order = np.random.default_rng(0).permutation(samples)
        for chosen in np.array_split(order, blocks):
            part = {name: array[chosen] for name, array in arrays.items()}
            statistics = probe.measure(part)
            each.append(figures_of(statistics))
            means.append(_channel_means(statistics))
            total.merge(statistics)
        values = figures_of(total)
        return cls(
            model=probe.description.model,
            weights=digest_of(probe.description),
            samples=samples,
            block=samples / blocks,
            blocks=blocks,
            layers={
                name: LayerReference(
                    {
                        figure: _figure(
                            values[name][figure], [b[name][figure] for b in each]
                        )
                        for figure in FIGURES
                    },
                    *_channels(total, name, [block[name] for block in means]),
                )
                for name in values
            },
            inputs={name: InputCovariance.fit(x) for name, x in arrays.items()},
        )

    def check(self, description: ProbeDescription):
        """Check that this is the reference of a probe.

        Args:
            description: What the probe measures.

        Raises:
            ValueError: It is that of another one.
        """
        if digest_of(description) != self.weights:
            raise ValueError(
                f"The reference is of model '{self.model}' with other weights or "
                f"layers than the probe of model '{description.model}'. Export both "
                "together."
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; arrays as base64."""
        return {
            "format": FORMAT_VERSION,
            "model": self.model,
            "weights": self.weights,
            "samples": self.samples,
            "blocks": self.blocks,
            "layers": {name: layer.to_dict() for name, layer in self.layers.items()},
            "inputs": {name: found.to_dict() for name, found in self.inputs.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Reference":
        """Make a reference from what `to_dict` has returned.

        Args:
            values: The dict; keys that this version does not know are passed over.

        Returns:
            The reference.

        Raises:
            ValueError: It is not such a dict, or of a later format.
        """
        version = values.get("format") if isinstance(values, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if not isinstance(version, int):
            raise ValueError(
                "Expected the dict of a Reference, with the key 'format'. Write it "
                "again with `Reference.measure(probe, x).to_dict()`."
            )
        if version > FORMAT_VERSION:
            raise ValueError(
                f"The reference has format {version}, but this kerasbnn knows formats "
                f"up to {FORMAT_VERSION}. Install a newer kerasbnn."
            )
        try:
            samples, blocks = int(values["samples"]), int(values["blocks"])
            if not 1 < blocks <= samples:
                raise ValueError(f"{samples} samples are not {blocks} blocks")
            return cls(
                model=str(values["model"]),
                weights=str(values["weights"]),
                samples=samples,
                block=samples / blocks,
                blocks=blocks,
                layers={
                    name: LayerReference.from_dict(layer)
                    for name, layer in values["layers"].items()
                },
                inputs={
                    name: InputCovariance.from_dict(found)
                    for name, found in values["inputs"].items()
                },
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(
                "The reference is damaged: an entry is missing or wrong "
                f"({type(error).__name__}: {error}). Write it again with "
                "`Reference.measure(probe, x).to_dict()`."
            ) from error


def digest_of(description: ProbeDescription) -> str:
    """Return a short text that changes with the weights that a probe measures.

    Args:
        description: What the probe measures.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for kernel in description.kernels:
        angles = np.array(kernel.geometry.angles.per_filter, "<f4")
        digest.update(kernel.geometry.name.encode() + b"\0")
        digest.update(angles.tobytes())
        digest.update(kernel.squared_norms.astype("<f4").tobytes())
    return digest.hexdigest()[:16]


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number


def _figure(value: float | None, blocks: list[float | None]) -> Figure:
    known = [found for found in blocks if found is not None]
    if value is None or len(known) < len(blocks):
        return Figure(value)
    return Figure(value, float(np.mean(known)), float(np.std(known, ddof=1)))


def _channel_means(statistics: ProbeStatistics) -> dict[str, NDArray[np.float64]]:
    found = {
        name: channel_moments(kernel) for name, kernel in statistics.kernels.items()
    }
    return {name: moments[0] for name, moments in found.items() if moments}


def _channels(
    total: ProbeStatistics, name: str, blocks: list[NDArray[np.float64]]
) -> tuple[NDArray[np.float32], NDArray[np.float32], float | None]:
    moments = channel_moments(total.kernels[name])
    if moments is None:
        raise ValueError(f"Kernel '{name}' has seen nothing.")
    means = moments[0].astype(np.float32)
    sds = np.sqrt(moments[1]).astype(np.float32)
    shifts = [_shift(block, means, sds) for block in blocks]
    known = [shift for shift in shifts if shift is not None]
    return means, sds, float(np.sqrt(np.mean(np.square(known)))) if known else None


def _shift(means: NDArray[Any], center: NDArray[Any], sds: NDArray[Any]):
    variance = float(np.square(sds, dtype=np.float64).mean())
    if not variance > 0:
        return None
    return float(np.sqrt(np.square(means - center, dtype=np.float64).mean() / variance))
