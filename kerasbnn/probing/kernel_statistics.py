"""Adds up, batch by batch, what a probe yields about one kernel."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.geometry.accumulators import Moments, PairMoments
from kerasbnn.geometry.layer_geometry import LayerGeometry, Normalization, plain
from kerasbnn.geometry.summaries import (
    constant_filters_problem,
    median_of,
    predictions_of,
    summarized_elements,
    summarized_products,
)
from kerasbnn.probing.activations import Activations
from kerasbnn.probing.description import (
    CONTINUOUS,
    CONTINUOUS_SQUARES,
    ELEMENT_SQUARES,
    ELEMENTS,
    FLIPS,
    INPUTS,
    JOINT_SQUARES,
    NEGATIVE,
    QUANTIZED,
    QUANTIZED_SQUARES,
    SATURATED,
    Call,
    KernelDescription,
    output_name,
)


class KernelStatistics:
    """Moments of the products and of the inputs of one kernel, in float64.

    Args:
        description: What does not depend on inputs.

    Attributes:
        pairs: Joint moments of the products, as the audit has them.
        elements: Moments of what each tap of the kernel meets of each channel, taps
            first; None where nothing was seen.
        negative: Fractions of the raw inputs below 0, by channel, or None.
        saturated: Fractions of them beyond the clip, by channel, or None.
    """

    def __init__(self, description: KernelDescription):
        self.description = description
        self.pairs = PairMoments(description.geometry.filters)
        self.elements: Moments | None = None
        self.negative: Moments | None = None
        self.saturated: Moments | None = None

    def update(self, outputs: Mapping[str, NDArray[Any]]):
        """Add the outputs of one run of the probe.

        Args:
            outputs: Arrays by name, as `output_name` makes it.

        Raises:
            ValueError: Some are NaN or infinite; nothing is added then.
        """
        name = self.description.geometry.name
        added = KernelStatistics(self.description)
        for number, call in enumerate(self.description.calls):
            prefix = output_name(name, number, "")
            figures = {
                key.removeprefix(prefix): values
                for key, values in outputs.items()
                if key.startswith(prefix)
            }
            added._add(call, figures)
        self.merge(added)

    def merge(self, other: "KernelStatistics"):
        """Add everything that another instance has seen.

        Args:
            other: Statistics of the same kernel.
        """
        self.pairs.merge(other.pairs)
        for attribute in ("elements", "negative", "saturated"):
            theirs = getattr(other, attribute)
            if theirs is not None:
                if getattr(self, attribute) is None:
                    setattr(self, attribute, Moments(len(theirs.mean)))
                getattr(self, attribute).merge(theirs)

    def _add(self, call: Call, figures: Mapping[str, NDArray[Any]]):
        bad = [name for name, x in figures.items() if not np.isfinite(x).all()]
        if bad:
            raise ValueError(
                f"Values of kernel '{self.description.geometry.name}' are NaN or "
                f"infinite: {', '.join(bad)}. The batch was not counted. Leave out "
                "inputs that are not finite or far too large."
            )
        if not len(figures[QUANTIZED]):
            return
        self.pairs.merge(_pair_moments(call, figures))
        moments = _element_moments(call, figures)
        self.elements = self.elements or Moments(len(moments.mean))
        self.elements.merge(moments)
        for name in (NEGATIVE, SATURATED):
            if name in figures:
                fractions = Moments(figures[name].shape[1])
                fractions.update(figures[name])
                held = getattr(self, name)
                if held is None:
                    setattr(self, name, fractions)
                else:
                    held.merge(fractions)

    def element_moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
        """Return mean and variance of the components of the windows.

        Returns:
            Arrays `(groups, fan_in)`, in the order of the weights; None where nothing
            was seen.
        """
        if self.elements is None:
            return None
        geometry = self.description.geometry
        size = geometry.groups * geometry.fan_in
        taps = int(self.description.calls[0].inputs_per_tap.size)
        shape = (taps, geometry.groups, size // taps // geometry.groups)
        mean, variance = (
            values.reshape(shape).transpose(1, 0, 2).reshape(geometry.groups, -1)
            for values in (self.elements.mean, self.elements.variance)
        )
        return mean, variance

    def activations(self) -> Activations | None:
        """Return what the quantizer of the inputs is given, or None without one."""
        if self.negative is None:
            return None
        saturated = None if self.saturated is None else self.saturated.mean
        return Activations.from_fractions(self.negative.mean, saturated)

    def geometry(self, normalization: Normalization | None = None) -> LayerGeometry:
        """Return the geometry, in the fields that an audit has for it.

        Args:
            normalization: What is known of the batch normalization that follows.

        Returns:
            The geometry, without what takes single windows or random choices.
        """
        known, moments = self.description.geometry, self.element_moments()
        if moments is None:
            return known
        angles = np.array(known.angles.per_filter, np.float64)
        predicted, rho = predictions_of(
            self.pairs,
            angles,
            self.description.squared_norms.astype(np.float64),
            moments[1].mean(axis=1),
        )
        products = summarized_products(self.pairs, angles, predicted)
        mean, sd = summarized_elements(*moments)
        problems = known.problems
        if products.constant_filters and self.pairs.count > 1:
            problem = constant_filters_problem(products, known.filters)
            problems = (*problems, problem)
        return replace(
            known,
            calls=len(self.description.calls),
            positions=self.pairs.count,
            products=products,
            inputs=replace(
                known.inputs,
                mean=mean,
                sd=sd,
                rho_median=median_of(rho),
                rho_per_filter=tuple(plain(rho)),
            ),
            normalization=normalization,
            problems=problems,
        )


def _pair_moments(call: Call, figures: Mapping[str, NDArray[Any]]) -> PairMoments:
    quantized, continuous = figures[QUANTIZED], figures[CONTINUOUS]
    rows = PairMoments(quantized.shape[1])
    rows.update(quantized, continuous)
    if call.positions == 1:
        return rows
    # What is known of each row are means over its windows and squares about them.
    rows.negative = round(float(figures[FLIPS].sum(dtype=np.float64)))
    rows.count *= call.positions
    within = [
        figures[name].sum(axis=0, dtype=np.float64)
        for name in (QUANTIZED_SQUARES, CONTINUOUS_SQUARES, JOINT_SQUARES)
    ]
    rows.squares = rows.squares * call.positions + np.stack(within)
    return rows


def _element_moments(call: Call, figures: Mapping[str, NDArray[Any]]) -> Moments:
    inputs = figures[INPUTS].astype(np.float64)
    count, channels = inputs.shape
    if call.positions == 1 and ELEMENTS not in figures:
        moments = Moments(channels)
        moments.update(inputs)
        return moments
    covered = call.inputs_per_tap[:, np.newaxis]
    shape = (count, len(covered), channels)
    shift = inputs[:, np.newaxis]
    padding = call.pad_value - shift
    padded = call.positions - covered
    first = figures[ELEMENTS].reshape(shape) + padded * padding
    second = figures[ELEMENT_SQUARES].reshape(shape) + padded * padding**2
    moments = Moments(len(covered) * channels)
    moments.update((shift + first / call.positions).reshape(count, -1))
    moments.count *= call.positions
    within = np.maximum(second - first**2 / call.positions, 0.0)
    moments.squares = moments.squares * call.positions + within.sum(axis=0).ravel()
    return moments
