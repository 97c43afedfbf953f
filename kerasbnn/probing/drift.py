"""How live inputs differ from reference inputs: per layer, in numbers and in words."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from kerasbnn.probing import drift_rules as rules
from kerasbnn.probing.covariance import LEVELS, InputCovariance
from kerasbnn.probing.description import KernelDescription
from kerasbnn.probing.figures import Figures, channel_moments, figures_of
from kerasbnn.probing.layer_reference import Figure, LayerReference
from kerasbnn.probing.observation import Observation
from kerasbnn.probing.packing import rounded
from kerasbnn.probing.reference import Reference

# With fewer samples nothing is said.
FEWEST_SAMPLES = 64

COLLECTING, MEASURED = "collecting", "measured"


@dataclass(frozen=True)
class Change:
    """How a figure of live inputs differs from the reference.

    Attributes:
        change: Live figure, less what as many reference inputs are expected to have.
        spread: Standard error of that, for inputs like the reference.
        deviations: The first over the second; None where nothing varies.
    """

    change: float | None = None
    spread: float | None = None
    deviations: float | None = None


@dataclass(frozen=True)
class PartDrift:
    """How a layer, or an input of the model, differs from the reference.

    Attributes:
        name: Name of the layer's kernel, or of the input.
        live: Figures of the live inputs, by name; None where there is none.
        reference: The same of the reference inputs.
        drift: How they differ, by name.
        kinds: Kinds of the warnings, of `kerasbnn.probing.drift_rules.KINDS`.
        warnings: The warnings, in sentences.
    """

    name: str
    live: dict[str, Any]
    reference: dict[str, Any]
    drift: dict[str, Change] = field(default_factory=dict[str, Change])
    kinds: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; no NaN among them."""
        return {
            "name": self.name,
            "live": self.live,
            "reference": self.reference,
            "drift": {name: asdict(change) for name, change in self.drift.items()},
            "kinds": list(self.kinds),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Drift:
    """How live inputs differ from reference inputs.

    A warning needs a change that chance would hardly bring about in so many samples,
    and one that is large enough to matter; `kerasbnn.probing.drift_rules` has the
    limits.

    Attributes:
        samples: Number of live samples.
        layers: The layers, in the order of the calls.
        inputs: The inputs of the model. Their warnings are also those of the layers
            that see them.

    Example:
        >>> import keras, numpy as np
        >>> import kerasbnn
        >>> from kerasbnn.probing import Drift, Observation, Probe, Reference
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(8)])
        >>> report = kerasbnn.tflite.probe(model, "model.probe.tflite")
        >>> probe = Probe("model.probe.tflite")
        >>> x = np.random.default_rng(0).normal(size=(600, 64))
        >>> reference = Reference.measure(probe, x[:400])
        >>> Drift.of(Observation.measure(probe, reference, x[400:])).warnings
        {}
        >>> drift = Drift.of(Observation.measure(probe, reference, x[400:] + 3))
        >>> drift.layers[0].kinds
        ('covariance', 'input_mean')

    Reference:
        Anderson & Berg, arXiv 1705.07199, on what the geometry of a layer depends on.
    """

    samples: int
    layers: tuple[PartDrift, ...]
    inputs: tuple[PartDrift, ...]

    @classmethod
    def of(cls, observation: Observation) -> "Drift":
        """Compare what was observed with its reference.

        Args:
            observation: The observation, of any number of samples.

        Returns:
            The differences; with fewer than 64 samples there are no warnings.

        Raises:
            ValueError: The reference is of another probe.
        """
        reference = observation.reference
        description = observation.statistics.description
        reference.check(description)
        samples = observation.samples
        inputs = tuple(
            _input_drift(name, reference.inputs[name], distances)
            for name, distances in observation.distances.items()
        )
        kinds = [kind for found in inputs for kind in found.kinds]
        warnings = [text for found in inputs for text in found.warnings]
        figures = figures_of(observation.statistics)
        layers: list[PartDrift] = []
        for kernel in description.kernels:
            name = kernel.geometry.name
            moments = channel_moments(observation.statistics.kernels[name])
            layer = reference.layers[name]
            shift = None if moments is None else layer.shift(moments[0])
            found = _Comparison(reference, layer, samples)
            found.compare_shift(shift)
            found.compare_figures(kernel, figures[name])
            if kernel.geometry.inputs.is_first:
                found.kinds[:0], found.warnings[:0] = kinds, warnings
            layers.append(
                PartDrift(
                    name=name,
                    live={**_rounded(figures[name]), "shift": rounded(shift)},
                    reference={
                        **{k: rounded(f.value) for k, f in layer.figures.items()},
                        "shift": None if layer.block_shift is None else 0.0,
                    },
                    drift=found.changes,
                    kinds=tuple(dict.fromkeys(found.kinds)),
                    warnings=tuple(found.warnings),
                )
            )
        return cls(samples, tuple(layers), inputs)

    @property
    def status(self) -> str:
        """`"collecting"` below 64 samples, else `"measured"`."""
        return COLLECTING if self.samples < FEWEST_SAMPLES else MEASURED

    @property
    def warnings(self) -> dict[str, tuple[str, ...]]:
        """The warnings by layer; those of inputs that no layer sees, by input."""
        found = {layer.name: layer.warnings for layer in self.layers if layer.warnings}
        told = {text for texts in found.values() for text in texts}
        for part in self.inputs:
            if not told.issuperset(part.warnings):
                found[part.name] = part.warnings
        return found

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts; no NaN among them."""
        return {
            "status": self.status,
            "samples": self.samples,
            "samples_needed": FEWEST_SAMPLES,
            "layers": [layer.to_dict() for layer in self.layers],
            "inputs": [found.to_dict() for found in self.inputs],
        }


class _Comparison:
    """Compares one layer with its reference."""

    def __init__(self, reference: Reference, layer: LayerReference, samples: int):
        self._reference, self._layer, self._samples = reference, layer, samples
        self._limit = t_quantile(rules.DEVIATIONS, reference.blocks - 1)
        self.changes: dict[str, Change] = {}
        self.kinds: list[str] = []
        self.warnings: list[str] = []

    def compare_figures(self, kernel: KernelDescription, live: Figures):
        """Compare all figures, and collect warnings by the rules."""
        expected: dict[str, float] = {}
        for name, figure in self._layer.figures.items():
            value, likely = live[name], self._expected(figure)
            if value is None or likely is None:
                continue
            expected[name] = likely
            spread = (figure.block_sd or 0.0) * self._scale()
            self.changes[name] = _change(value - likely, spread)
        for rule in rules.RULES:
            if rule.figure not in expected:
                continue
            if rule.of_quantized and not kernel.geometry.is_quantized:
                continue
            value, change = live[rule.figure] or 0.0, self.changes[rule.figure]
            if rule.is_large(value, expected[rule.figure]) and self._is_sure(change):
                reference = self._layer.figures[rule.figure].value or 0.0
                self._warn(rule.kind, rule.words, value, reference, change.spread)

    def compare_shift(self, shift: float | None):
        """Compare the means of the channels."""
        if shift is None or self._layer.block_shift is None:
            return
        spread = self._layer.block_shift * self._scale()
        change = self.changes["shift"] = _change(shift, spread)
        if shift >= rules.SHIFT and self._is_sure(change):
            self._warn(rules.INPUT_MEAN, rules.SHIFT_WORDS, shift, 0.0, spread)

    def _expected(self, figure: Figure) -> float | None:
        """Return what as many inputs like those of the reference are expected to have.

        What few samples bias a figure by falls with their number.
        """
        if figure.value is None or figure.block_mean is None:
            return None
        share = self._reference.block / max(self._samples, 1)
        return figure.value + (figure.block_mean - figure.value) * share

    def _scale(self) -> float:
        block = self._reference.block
        return math.sqrt(
            block / max(self._samples, 1) + block / self._reference.samples
        )

    def _is_sure(self, change: Change) -> bool:
        if self._samples < FEWEST_SAMPLES:
            return False
        return change.deviations is None or abs(change.deviations) >= self._limit

    def _warn(
        self,
        kind: str,
        words: str,
        live: float,
        reference: float,
        spread: float | None,
    ):
        self.kinds.append(kind)
        self.warnings.append(rules.told(words, live, reference, spread or 0.0))


def _input_drift(
    name: str, covariance: InputCovariance, distances: np.ndarray
) -> PartDrift:
    samples = len(distances)
    reference = _described(covariance.quantiles, covariance.beyond)
    if not samples:
        nothing = np.full(covariance.quantiles.shape, np.nan)
        return PartDrift(name, _described(nothing, None), reference)
    quantiles = np.quantile(distances, LEVELS, axis=0).T
    known = [samples * (1 - level) >= 1 for level in LEVELS]
    outside = float((distances > covariance.limits).any(axis=1).mean())
    # That of the reference is itself from some samples, of which half are like others.
    count = covariance.samples / 2
    highest = (covariance.beyond * count + 3) / (count + 3)
    change = _change(
        outside - covariance.beyond, math.sqrt(highest * (1 - highest) / samples)
    )
    warns = (
        samples >= FEWEST_SAMPLES
        and outside >= rules.OUTSIDE
        and outside - highest >= rules.DEVIATIONS * (change.spread or 0.0)
    )
    medians = zip(covariance.quantiles[:, 0], quantiles[:, 0], strict=True)
    (inside_reference, inside), (far_reference, far) = (
        (f"{one:.3g}", f"{two:.3g}") for one, two in medians
    )
    text = rules.told(
        rules.OUTSIDE_WORDS,
        outside,
        covariance.beyond,
        change.spread or 0.0,
        directions=str(len(covariance.variances)),
        inside=inside,
        inside_reference=inside_reference,
        outside=far,
        outside_reference=far_reference,
    )
    return PartDrift(
        name=name,
        live=_described(np.where(known, quantiles, np.nan), outside),
        reference=reference,
        drift={"outside": change},
        kinds=(rules.COVARIANCE,) if warns else (),
        warnings=(text,) if warns else (),
    )


def _described(quantiles: np.ndarray, outside: float | None) -> dict[str, Any]:
    names = [f"{100 * level:g}%" for level in LEVELS]
    mahalanobis, residual = (
        dict(zip(names, map(rounded, row), strict=True)) for row in quantiles.tolist()
    )
    return {
        "outside": rounded(outside),
        "mahalanobis": mahalanobis,
        "residual": residual,
    }


def _change(change: float, spread: float) -> Change:
    deviations = change / spread if spread > 0 else None
    return Change(
        rounded(change),
        rounded(spread),
        None if deviations is None else rounded(deviations),
    )


def _rounded(figures: Figures) -> Figures:
    return {name: rounded(value) for name, value in figures.items()}


def t_quantile(deviations: float, freedom: int) -> float:
    """Return the quantile of a t law that has the probability of a normal one.

    Args:
        deviations: Quantile of the standard normal law.
        freedom: Degrees of freedom, from 1.

    Returns:
        The quantile, within 2 % from 7 degrees of freedom on, for 4 deviations.

    Example:
        >>> from kerasbnn.probing.drift import t_quantile
        >>> round(t_quantile(1.959964, 30), 2), round(t_quantile(4.0, 10**6), 2)
        (2.04, 4.0)

    Reference:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5.
    """
    x = deviations
    return (
        x
        + (x**3 + x) / (4 * freedom)
        + (5 * x**5 + 16 * x**3 + 3 * x) / (96 * freedom**2)
        + (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / (384 * freedom**3)
    )
