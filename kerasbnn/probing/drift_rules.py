"""Which drift is worth a warning, and in which words."""

from dataclasses import dataclass
from typing import Literal

# Kinds of warnings, as `LayerDrift.kinds` has them.
CORRELATION = "correlation"
SATURATION = "saturation"
COVARIANCE = "covariance"
INPUT_MEAN = "input_mean"
INPUT_SPREAD = "input_spread"
SIGNS = "signs"
NORMALIZATION = "normalization"
KINDS = (
    *(CORRELATION, SATURATION, COVARIANCE, INPUT_MEAN, INPUT_SPREAD, SIGNS),
    NORMALIZATION,
)

# A change counts only where chance alone would hardly bring it about: beyond so many
# standard errors of a normal law; for few blocks, as improbable ones of a t law.
DEVIATIONS = 4.0

# Fraction of live inputs outside of where 99 % of the reference inputs lie.
OUTSIDE = 0.05
# Distance of the means of the channels, in standard deviations.
SHIFT = 0.25


@dataclass(frozen=True)
class Rule:
    """When the change of one figure is worth a warning.

    Attributes:
        kind: One of `KINDS`.
        figure: A name of `kerasbnn.probing.figures.FIGURES`.
        way: Whether the figure has to rise, to fall, or to be multiplied or divided.
        least: By how much at least.
        words: The warning, with places for `live`, `reference` and `spread`, and for
            `live_percent` and `reference_percent`.
        of_quantized: Whether it says something about quantized weights only.
    """

    kind: str
    figure: str
    way: Literal["rises", "falls", "factor"]
    least: float
    words: str
    of_quantized: bool = False

    def is_large(self, live: float, expected: float) -> bool:
        """Tell whether a change is large enough to matter.

        Args:
            live: The figure for live inputs.
            expected: The figure that as many reference inputs are expected to have.

        Returns:
            Whether it is.
        """
        if self.way == "factor":
            low, high = sorted((abs(live), abs(expected)))
            return high > 0 and high >= self.least * low
        change = live - expected if self.way == "rises" else expected - live
        return change >= self.least


RULES = (
    Rule(
        CORRELATION,
        "correlation",
        "falls",
        0.03,
        "The correlation fell from {reference:.3f} to {live:.3f} (spread of as many "
        "reference inputs: {spread:.3f}): the quantized weights no longer preserve "
        "what the layer computes on live inputs.",
        of_quantized=True,
    ),
    Rule(
        CORRELATION,
        "mean_correlation",
        "falls",
        0.03,
        "The mean correlation of a filter fell from {reference:.3f} to {live:.3f} "
        "(spread of as many reference inputs: {spread:.3f}): the quantized weights no "
        "longer preserve what the filters compute on live inputs.",
        of_quantized=True,
    ),
    Rule(
        CORRELATION,
        "raw_flips",
        "rises",
        0.05,
        "{live_percent} of the products have another sign than with continuous "
        "weights, {reference_percent} in the reference: the quantized weights no "
        "longer preserve what the layer computes on live inputs.",
        of_quantized=True,
    ),
    Rule(
        SATURATION,
        "saturated",
        "rises",
        0.05,
        "{live_percent} of the activations are saturated, {reference_percent} in the "
        "reference: they lie beyond the clip of the quantizer of the layer's inputs.",
    ),
    Rule(
        INPUT_SPREAD,
        "input_sd",
        "factor",
        1.5,
        "The standard deviation of the inputs is {live:.3g}, {reference:.3g} in the "
        "reference: live inputs have another scale or contrast.",
    ),
    Rule(
        SIGNS,
        "sign_entropy",
        "falls",
        0.05,
        "The entropy of the signs of a channel fell from {reference:.2f} to {live:.2f} "
        "bits: the layer's inputs tell less apart than they did in the reference.",
    ),
    Rule(
        SIGNS,
        "dead_channels",
        "rises",
        0.1,
        "{live_percent} of the input channels all but never change their sign, "
        "{reference_percent} in the reference.",
    ),
    Rule(
        NORMALIZATION,
        "batchnorm_shift",
        "rises",
        0.25,
        "The mean that the batch normalization has is {live:.2f} standard deviations "
        "from the one that it sees, {reference:.2f} in the reference: its thresholds "
        "no longer lie where they were trained.",
    ),
    Rule(
        NORMALIZATION,
        "batchnorm_variance_ratio",
        "factor",
        2.0,
        "The variance that the batch normalization has is {live:.2f} times the one "
        "that it sees, {reference:.2f} times in the reference.",
    ),
)

SHIFT_WORDS = (
    "The means of the input channels are {live:.2f} standard deviations from those of "
    "the reference (as many reference inputs: {spread:.2f})."
)

OUTSIDE_WORDS = (
    "{live_percent} of live inputs lie outside of where 99 % of the reference inputs "
    "lie, {reference_percent} in the reference (median squared Mahalanobis distance "
    "{inside} in the {directions} principal directions, {inside_reference} in the "
    "reference; median squared distance from these directions {outside}, "
    "{outside_reference} in the reference): they left the training covariance."
)


def told(words: str, live: float, reference: float, spread: float, **more: str) -> str:
    """Put figures into the words of a warning.

    Args:
        words: The words.
        live: The figure for live inputs.
        reference: That for the reference inputs.
        spread: Standard error of the figure for as many reference inputs.
        **more: What else there are places for.

    Returns:
        The warning.

    Example:
        >>> from kerasbnn.probing.drift_rules import told
        >>> told("{live_percent}, not {reference_percent}", 0.731, 0.12, 0.01)
        '73.1 %, not 12 %'
    """
    return words.format(
        live=live,
        reference=reference,
        spread=spread,
        live_percent=f"{100 * live:.3g} %",
        reference_percent=f"{100 * reference:.3g} %",
        **more,
    )
