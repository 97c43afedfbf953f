"""What the reference inputs of a model look like to its probe."""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.probing.covariance import InputCovariance
from kerasbnn.probing.description import KernelDescription, ProbeDescription
from kerasbnn.probing.figures import (
    FIGURES,
    MOST_CHANNELS,
    Figures,
    channel_moments,
    figures_of,
    spread_evenly,
)
from kerasbnn.probing.layer_reference import Figure, LayerReference, shift_of
from kerasbnn.probing.reading import Probe
from kerasbnn.probing.statistics import ProbeStatistics

FORMAT_VERSION = 1

FEWEST_SAMPLES = 64

# Inputs are measured in blocks of about so many samples, and in so many blocks.
BLOCK = 64
FEWEST_BLOCKS, MOST_BLOCKS = 8, 64


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

    def check(
        self, description: ProbeDescription, inputs: Collection[str] | None = None
    ):
        """Check that this is the reference of a probe.

        Args:
            description: What the probe measures.
            inputs: Names of its inputs; None does not compare them.

        Raises:
            ValueError: It is that of another one, or not of all that it measures.
        """
        if digest_of(description) != self.weights:
            raise ValueError(
                f"The reference is of model '{self.model}' with other weights or "
                f"layers than the probe of model '{description.model}'. Export both "
                "together."
            )
        layers = {kernel.geometry.name: kernel for kernel in description.kernels}
        self._check_names("layers", self.layers, layers)
        if inputs is not None:
            self._check_names("inputs", self.inputs, inputs)
        for name, kernel in layers.items():
            found, expected = len(self.layers[name].channel_means), _compared(kernel)
            if found != expected:
                raise ValueError(
                    f"The reference of model '{self.model}' has {found} channels of "
                    f"layer '{name}', and its probe {expected}. Export both together."
                )

    def _check_names(self, kind: str, found: Collection[str], expected):
        missing, unknown = (
            ", ".join(repr(name) for name in sorted(names)[:5])
            for names in (set(expected) - set(found), set(found) - set(expected))
        )
        if missing or unknown:
            lacks = f"lacks the {kind} {missing} of its probe"
            knows = f"has the {kind} {unknown}, which its probe does not have"
            raise ValueError(
                f"The reference of model '{self.model}' {lacks if missing else knows}. "
                "Export both together."
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
            samples, blocks = (_count(values[name]) for name in ("samples", "blocks"))
            if not 1 < blocks <= samples:
                raise ValueError(f"{samples} samples are not {blocks} blocks")
            found = cls(
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
            if any(one.samples > samples for one in found.inputs.values()):
                raise ValueError(f"an input has more than {samples} samples")
            return found
        except (
            KeyError,
            TypeError,
            AttributeError,
            ValueError,
            OverflowError,
        ) as error:
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


def _count(value: Any) -> int:
    if isinstance(value, bool) or int(value) != value:
        raise ValueError(f"{value!r} is no count")
    return int(value)


def _compared(kernel: KernelDescription) -> int:
    """Return how many channels of a kernel's inputs are compared one by one."""
    taps = kernel.calls[0].inputs_per_tap.size
    channels = kernel.geometry.fan_in * kernel.geometry.groups // taps
    return len(spread_evenly(channels, MOST_CHANNELS))


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
    shifts = [shift_of(block, means, sds) for block in blocks]
    known = [shift for shift in shifts if shift is not None]
    return means, sds, float(np.sqrt(np.mean(np.square(known)))) if known else None
