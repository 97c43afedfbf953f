"""What a file says about itself: name, version, labels and how to normalize inputs."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from kerasbnn._version import __version__
from kerasbnn.runtime.composites import FORMAT_VERSION

MEAN_AND_STD = ("mean", "std")


def make_metadata(
    name: str,
    version: str | None,
    labels: Sequence[str] | None,
    normalization: Mapping[str, Any] | None,
    inputs: Sequence[Sequence[int]],
    outputs: Sequence[Sequence[int]],
) -> dict[str, Any]:
    """Check and collect the metadata of a file.

    Args:
        name: Name of the model.
        version: Its version, any text, or None.
        labels: A name for each value of the only output, or None.
        normalization: Dict with `"mean"` and `"std"`, numbers or one for each channel:
            the model takes `(raw - mean) / std`. None where it takes inputs as they
            are.
        inputs: Shape of each input, the batch axis included.
        outputs: The same for the outputs.

    Returns:
        Dict of plain values, without what is None.

    Raises:
        TypeError: Something is of a wrong type.
        ValueError: The number of labels is not that of the outputs, or there are
            several outputs; a number is not usable, or there is not one for each
            channel.

    Example:
        >>> from kerasbnn.tflite.metadata import make_metadata
        >>> scaling = {"mean": 127.5, "std": 127.5}
        >>> make_metadata("net", "1", None, scaling, [(-1, 9)], [])["normalization"]
        {'mean': 127.5, 'std': 127.5}
    """
    for key, value in (("name", name), ("version", version)):
        if value is not None and not isinstance(value, str):
            raise TypeError(
                f"`{key}` must be a string. Received: {value!r} of type "
                f"{type(value).__name__}. Example: {key}='1'."
            )
    values = {
        "format": FORMAT_VERSION,
        "kerasbnn": __version__,
        "name": name,
        "version": version,
        "labels": _checked_labels(labels, outputs),
        "normalization": _checked_normalization(normalization, inputs),
    }
    return {key: value for key, value in values.items() if value is not None}


def encode(metadata: Mapping[str, Any]) -> bytes:
    """Return metadata as it is in the file: JSON, always the same for the same values.

    Args:
        metadata: Dict of plain values.

    Returns:
        UTF-8 text.
    """
    text = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    return text.encode("utf-8")


def _checked_labels(labels, outputs):
    if labels is None:
        return None
    if isinstance(labels, str) or not all(isinstance(label, str) for label in labels):
        raise TypeError(
            "`labels` must be a list of strings, one for each output. Received: "
            f"{labels!r}."
        )
    labels = list(labels)
    if len(outputs) != 1:
        raise ValueError(
            "`labels` name the values of one output, but the model has "
            f"{len(outputs)}. Leave `labels` out, or convert a model with one output."
        )
    if len(outputs[0]) == 2 and len(labels) != outputs[0][1]:
        raise ValueError(
            f"`labels` must have one entry for each of the {outputs[0][1]} outputs. "
            f"Received: {len(labels)}."
        )
    return labels


def _checked_normalization(normalization, inputs):
    if normalization is None:
        return None
    if not isinstance(normalization, Mapping) or set(normalization) != set(
        MEAN_AND_STD
    ):
        raise ValueError(
            "`normalization` must be a dict with the keys 'mean' and 'std', such as "
            "{'mean': 127.5, 'std': 127.5} for bytes that become -1 to 1. Received: "
            f"{normalization!r}."
        )
    numbers = {key: _plain_numbers(key, normalization[key]) for key in MEAN_AND_STD}
    channels = sorted({shape[-1] for shape in inputs if len(shape) > 1})
    for key, values in numbers.items():
        if isinstance(values, list) and len(values) not in (1, *channels):
            raise ValueError(
                f"`normalization['{key}']` must be one number, or one for each of the "
                f"{' or '.join(map(str, channels))} channels, the last axis of the "
                f"inputs. Received: {len(values)} numbers."
            )
    return numbers


def _plain_numbers(key, value):
    numbers = value.tolist() if hasattr(value, "tolist") else value
    is_single = not isinstance(numbers, (list, tuple))
    try:
        flat = [float(number) for number in ([numbers] if is_single else numbers)]
    except (TypeError, ValueError):
        flat = [math.nan]
    too_small = key == "std" and any(number <= 0 for number in flat)
    if not flat or too_small or not all(math.isfinite(number) for number in flat):
        positive = "positive " if key == "std" else ""
        raise ValueError(
            f"`normalization['{key}']` must be a finite {positive}number, or a list "
            f"with one for each channel. Received: {value!r}."
        )
    return flat[0] if is_single else flat
