"""Adds up, batch by batch, what a probe yields about a model."""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.accumulators import Moments
from kerasbnn.geometry.layer_geometry import Normalization
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.geometry.summaries import summarized_normalization
from kerasbnn.probing.activations import Activations
from kerasbnn.probing.description import (
    MEAN,
    SQUARES,
    NormalizationDescription,
    ProbeDescription,
    output_name,
)
from kerasbnn.probing.kernel_statistics import KernelStatistics


class ProbeStatistics:
    """What a probe has measured so far, in memory that does not grow.

    How inputs are split into batches changes the result by rounding at most.

    Args:
        description: What the probe measures.

    Attributes:
        samples: Number of samples seen.
        kernels: The statistics of each kernel, by its name.

    Example:
        >>> from kerasbnn.probing import ProbeDescription, ProbeStatistics
        >>> statistics = ProbeStatistics(ProbeDescription("net", "1.0", ()))
        >>> len(statistics.report())
        0
    """

    def __init__(self, description: ProbeDescription):
        self.description = description
        self.samples = 0
        self.kernels = {
            kernel.geometry.name: KernelStatistics(kernel)
            for kernel in description.kernels
        }
        self._normalizations = {
            found.name: Moments(len(found.mean)) for found in description.normalizations
        }

    def update(self, outputs: Mapping[str, NDArray[Any]], samples: int):
        """Add the outputs of one run of the probe.

        Args:
            outputs: Its outputs by name, one row for each row of a layer's inputs.
            samples: Number of samples that it was run on.

        Raises:
            ValueError: Some are missing, NaN or infinite; nothing is added then.
        """
        check_outputs(self.description, outputs)
        added = ProbeStatistics(self.description)
        added.samples = samples
        for kernel in added.kernels.values():
            kernel.update(outputs)
        for found in self.description.normalizations:
            moments = _moments_of(found, outputs)
            added._normalizations[found.name].merge(moments)
        self.merge(added)

    def merge(self, other: "ProbeStatistics"):
        """Add everything that another instance has seen.

        Args:
            other: Statistics of the same probe.

        Raises:
            ValueError: It is of another probe.
        """
        if not _are_same(self.description, other.description):
            raise ValueError(
                "Only statistics of the same probe can be merged. This one is of model "
                f"'{self.description.model}', the other of '{other.description.model}' "
                "or of other weights."
            )
        for name, kernel in self.kernels.items():
            kernel.merge(other.kernels[name])
        for name, moments in self._normalizations.items():
            moments.merge(other._normalizations[name])
        self.samples += other.samples

    def report(self) -> GeometryReport:
        """Return what was measured, in the form that an audit has.

        Returns:
            The report. Figures that take single windows or random choices, and the
            verdicts that rest on them, are not in it.
        """
        seen = {
            found.name: self._summarized(found)
            for found in self.description.normalizations
        }
        return GeometryReport(
            model=self.description.model,
            layers=tuple(
                kernel.geometry(seen.get(kernel.description.normalization or ""))
                for kernel in self.kernels.values()
            ),
            samples=self.samples,
            version=self.description.version,
            skipped=dict(self.description.skipped),
        )

    def activations(self) -> dict[str, Activations]:
        """Return what the quantizers of inputs are given, by the name of the kernel."""
        found = {name: kernel.activations() for name, kernel in self.kernels.items()}
        return {name: values for name, values in found.items() if values is not None}

    def _summarized(self, found: NormalizationDescription) -> Normalization | None:
        moments = self._normalizations[found.name]
        return summarized_normalization(
            found.name,
            (found.mean.astype(np.float64), found.variance.astype(np.float64)),
            (moments.mean, moments.variance),
            found.epsilon,
            float(moments.count.max(initial=0)),
        )


def check_outputs(description: ProbeDescription, outputs: Collection[str]):
    """Check that all is there that a probe should yield.

    Args:
        description: What the probe measures.
        outputs: Names of outputs.

    Raises:
        ValueError: An output is missing.
    """
    needed = [
        output_name(kernel.geometry.name, call, figure)
        for kernel in description.kernels
        for call in range(len(kernel.calls))
        for figure in kernel.figures(call)
    ]
    for found in description.normalizations:
        for number, call in enumerate(found.calls):
            figures = [MEAN] if call.positions == 1 else [MEAN, SQUARES]
            needed += [output_name(found.name, number, figure) for figure in figures]
    missing = [name for name in needed if name not in outputs]
    if missing:
        raise ValueError(f"of its outputs {', '.join(missing)} are missing")


def _are_same(mine: ProbeDescription, theirs: ProbeDescription) -> bool:
    if mine is theirs:
        return True
    return mine.to_dict() == theirs.to_dict()


def _moments_of(
    found: NormalizationDescription, outputs: Mapping[str, NDArray[Any]]
) -> Moments:
    total = Moments(len(found.mean))
    for number, call in enumerate(found.calls):
        mean = outputs[output_name(found.name, number, MEAN)]
        moments = Moments(len(found.mean))
        if not len(mean):
            continue
        moments.update(mean)
        if call.positions > 1:
            within = outputs[output_name(found.name, number, SQUARES)]
            moments.count *= call.positions
            moments.squares *= call.positions
            moments.squares += within.sum(axis=0, dtype=np.float64)
        if not np.isfinite(moments.squares).all():
            raise ValueError(
                f"The inputs of batch normalization '{found.name}' are NaN or "
                "infinite. The batch was not counted. Leave out inputs that are not "
                "finite or far too large."
            )
        total.merge(moments)
    return total
