"""Whether the geometry that a model was exported with holds, in words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kerasbnn.probing import drift_rules as rules
from kerasbnn.probing.drift import COLLECTING

from ..geometry.status import OFF

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

_CHANGES = {
    rules.CORRELATION: "the correlation fell",
    rules.SATURATION: "activations saturated",
    rules.COVARIANCE: "inputs left the training covariance",
    rules.INPUT_MEAN: "the means of the inputs moved",
    rules.INPUT_SPREAD: "the inputs have another scale",
    rules.SIGNS: "signs tell less apart",
    rules.NORMALIZATION: "the batch normalization no longer fits",
}


@dataclass(frozen=True)
class Health:
    """The state of a model or of a layer.

    Attributes:
        tone: "good", "warn" or "none"; gives the color.
        word: One or two words.
        sentence: The same in a sentence; "" for a layer.
    """

    tone: str
    word: str
    sentence: str = ""


def model_health(model: "ServedModel", live: Mapping[str, Any] | None) -> Health:
    """Tell whether the geometry of a model holds on live requests.

    Args:
        model: The model.
        live: What its monitor says, or None without one.

    Returns:
        Its state.
    """
    if live is None:
        lacks = "reference" if model.files.probe else "probe file"
        return Health(
            "none",
            "not measured",
            f"This model came without a {lacks}, so live requests are not measured. "
            "`kerasbnn export` writes all that is needed.",
        )
    if not live.get("sampling", True):
        return Health(
            "none",
            "not measured",
            "Live requests are not measured: the setting geometry_budget is 0.",
        )
    samples, needed = live.get("samples", 0), live.get("samples_needed", 0)
    if live.get("status") == COLLECTING:
        return Health(
            "none",
            "collecting",
            f"A comparison with the reference needs {needed:,} live samples; "
            f"{samples:,} were measured so far.",
        )
    seen = f"the last {samples:,} live samples that were measured"
    count = sum(1 for layer in live.get("layers", ()) if layer.get("warnings"))
    if count:
        layers = "1 layer" if count == 1 else f"{count} layers"
        return Health(
            "warn",
            f"{layers} drifted",
            f"In {layers} the geometry is no longer that of the reference, by {seen}.",
        )
    return Health(
        "good",
        "geometry holds",
        f"The geometry that the model was exported with holds on {seen}.",
    )


def layer_health(layer: Mapping[str, Any] | None, status: str | None) -> Health:
    """Tell whether the geometry of a layer holds.

    Args:
        layer: What the monitor says of it, or None.
        status: What it says of all.

    Returns:
        Its state.
    """
    if layer is None or status == OFF:
        return Health("none", "not measured")
    if status == COLLECTING:
        return Health("none", "collecting")
    if layer.get("warnings"):
        return Health("warn", "drifted")
    return Health("good", "holds")


def changes(kinds: Iterable[str]) -> str:
    """Write kinds of warnings in a few words.

    Args:
        kinds: Some of `kerasbnn.probing.drift_rules.KINDS`.

    Example:
        >>> from kerasbnn.serve.page.health import changes
        >>> changes(["correlation", "saturation"])
        'The correlation fell, activations saturated'
    """
    text = ", ".join(_CHANGES.get(kind, kind) for kind in kinds)
    return text[:1].upper() + text[1:]
