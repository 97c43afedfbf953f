"""Compares what a probe measures with what an audit does."""

import keras
import numpy as np

from kerasbnn.auditing import audit
from kerasbnn.geometry.layer_geometry import LayerGeometry
from kerasbnn.models.input_shapes import symbolic_inputs
from kerasbnn.probing import Probe
from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.tensorflow_export import input_names

# A sign that falls the other way at a tie moves figures of few samples a little.
TOLERANCE = 0.02


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
        for figure, mine, value, scale in _compared(layer, theirs):
            if abs(mine - value) > TOLERANCE * scale:
                raise ConversionError(
                    f"Layer '{layer.name}' would be measured otherwise than by "
                    f"kerasbnn.audit: {figure} is {mine} in the file and {value} "
                    "there. No file was written. Please report this with the model; "
                    "training and `kerasbnn.audit` are not affected.",
                    layer.name,
                )


def _compared(mine: LayerGeometry, theirs: LayerGeometry):
    """Return names, both values and scales of the figures that both reports have."""
    inputs = (theirs.inputs.sd or 0.0) + abs(theirs.inputs.mean or 0.0)
    slope = abs(theirs.products.slope or 0.0)
    found = [
        ("the number of products", mine.positions, theirs.positions, 1),
        ("products.pooled", mine.products.pooled, theirs.products.pooled, 1),
        ("products.mean", mine.products.mean, theirs.products.mean, 1),
        ("products.slope", mine.products.slope, theirs.products.slope, slope),
        ("inputs.mean", mine.inputs.mean, theirs.inputs.mean, inputs),
        ("inputs.sd", mine.inputs.sd, theirs.inputs.sd, inputs),
    ]
    # What does not vary has no correlation; rounding decides what does not.
    return [row for row in found if row[1] is not None and row[2] is not None]


def _audited(model, data, quantizer):
    args, kwargs = data
    if kwargs:
        args = (kwargs,)
    return audit(model, args[0], max_samples=None, quantizer=quantizer, verbose=0)
