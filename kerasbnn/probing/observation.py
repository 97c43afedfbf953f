"""What live inputs look like to a probe, beside a reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.probing.description import ProbeDescription
from kerasbnn.probing.reading import BATCH_SIZE, Probe
from kerasbnn.probing.reference import Reference
from kerasbnn.probing.statistics import ProbeStatistics


class Observation:
    """Statistics of a probe, and how far inputs are from those of a reference.

    Args:
        description: What the probe measures.
        reference: What its reference inputs looked like.

    Attributes:
        statistics: What the probe has measured.
        distances: By input, the squared distances of each sample from the reference
            inputs, `(samples, 2)`; see `InputCovariance`.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.probing import Observation, Probe, Reference
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> report = kerasbnn.tflite.probe(model, "model.probe.tflite")
        >>> probe = Probe("model.probe.tflite")
        >>> x = np.random.default_rng(0).normal(size=(600, 64))
        >>> reference = Reference.measure(probe, x[:400])
        >>> observation = Observation.measure(probe, reference, x[400:500])
        >>> observation.merge(Observation.measure(probe, reference, x[500:]))
        >>> observation.samples
        200
    """

    def __init__(self, description: ProbeDescription, reference: Reference):
        self.reference = reference
        self.statistics = ProbeStatistics(description)
        self.distances: dict[str, NDArray[np.float64]] = {
            name: np.zeros((0, 2)) for name in reference.inputs
        }

    @classmethod
    def measure(
        cls,
        probe: Probe,
        reference: Reference,
        x: Any,
        *,
        batch_size: int = BATCH_SIZE,
    ) -> "Observation":
        """Measure some inputs.

        Args:
            probe: The probe.
            reference: What its reference inputs looked like.
            x: As for `Probe.measure`.
            batch_size: Samples that are computed at once.

        Returns:
            The observation.

        Raises:
            ValueError: The inputs are not those of the file, or are not finite; or the
                reference is of another probe.
            TypeError: A dtype is not that of the file.
            ModelError: LiteRT cannot run the file on such inputs.
        """
        arrays: Mapping[str, NDArray[Any]] = probe.named_inputs(x)
        found = cls(probe.description, reference)
        reference.check(probe.description, arrays)
        found.distances = {
            name: covariance.distances(arrays[name])
            for name, covariance in reference.inputs.items()
        }
        found.statistics = probe.measure(arrays, batch_size=batch_size)
        return found

    @property
    def samples(self) -> int:
        """Number of samples seen."""
        return self.statistics.samples

    def merge(self, other: "Observation"):
        """Add everything that another instance has seen.

        Args:
            other: An observation with the same probe and reference.

        Raises:
            ValueError: It is of another probe.
        """
        self.statistics.merge(other.statistics)
        for name, distances in other.distances.items():
            self.distances[name] = np.concatenate([self.distances[name], distances])
