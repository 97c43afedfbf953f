"""Compares what a probe measures with what an audit does."""

import keras
import numpy as np

from kerasbnn.auditing import audit
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.probing import Probe
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.tensorflow_export import input_names

# Signs that fall the other way at a tie move figures of few samples a little.
TOLERANCE = 0.02

_PRODUCTS = ("pooled", "slope", "mean", "raw_flips")
_INPUTS = ("mean", "sd")


def verify(
    model: keras.Model,
    content: bytes,
    samples: list[np.ndarray],
    input_shape=None,
    quantizer="ste_sign",
):
    """Compare a probe with an audit on the same inputs.

    Args:
        model: The model, on the TensorFlow backend.
        content: The file.
        samples: An array for each input.
        input_shape: As for `probe`.
        quantizer: As for `probe`.

    Raises:
        ConversionError: They differ; it names the layer.
    """
    args, kwargs, _ = symbolic_inputs(model, input_shape)
    names = input_names(model, keras.tree.flatten((args, kwargs)))
    data = keras.tree.pack_sequence_as((args, kwargs), samples)
    with Probe(content) as probe:
        named = dict(zip(names, samples, strict=True))
        # The converter drops inputs that nothing needs.
        found = probe.measure({k: named[k] for k in probe.inputs}).report()
    expected = _audited(model, data, quantizer)
    for layer in found:
        theirs = expected[layer.name]
        pairs = [
            (f"{part}.{figure}", getattr(getattr(layer, part), figure), value)
            for part, figures in (("products", _PRODUCTS), ("inputs", _INPUTS))
            for figure in figures
            if (value := getattr(getattr(theirs, part), figure)) is not None
        ]
        for figure, mine, value in pairs:
            bound = TOLERANCE * max(1.0, abs(value))
            if mine is None or abs(mine - value) > bound:
                raise ConversionError(
                    f"Layer '{layer.name}' would be measured otherwise than by "
                    f"kerasbnn.audit: {figure} is {mine} in the file and {value} "
                    "there. No file was written. Please report this with the model; "
                    "training and `kerasbnn.audit` are not affected.",
                    layer.name,
                )


def _audited(model, data, quantizer):
    args, kwargs = data
    if kwargs:
        args = (kwargs,)
    return audit(model, args[0], max_samples=None, quantizer=quantizer, verbose=0)
