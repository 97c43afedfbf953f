"""What the new network takes from data: statistics of outputs and of inputs."""

import keras
import numpy as np

from kerasbnn.binarizing.first_values import copy_weights
from kerasbnn.binarizing.rebuilding import Rebuilder, copy_state
from kerasbnn.binarizing.replacements import Replacement, float_chain
from kerasbnn.geometry.accumulators import Moments
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.batches import Batches
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.normalization_passes import (
    Progress,
    StatisticsPass,
    without_gradients,
)
from kerasbnn.quantizers.patches import layer_patches

# Patches of inputs, per layer, that a covariance is fitted to.
MAX_PATCHES = 16_384


class _Outputs(StatisticsPass):
    """Measures what comes to normalizations, and lets it pass them unchanged."""

    def run(self, model, batches, verbose):
        progress = Progress(batches.count, verbose)
        self.pass_over(model, batches, progress)
        progress.finish()

    def normalize(self, layer, inputs, mask, call):
        moments = self.measure(layer, inputs, mask)
        channels = len(moments.count)
        self.finished.setdefault(id(layer), Moments(channels)).merge(moments)
        return inputs


def float_moments(
    model: keras.Model, replacements: list[Replacement], batches: Batches
) -> dict[str, Moments]:
    """Measure the outputs of the layers that a `norm` comes behind.

    What is measured is the float layer with its bias, before its activation.

    Args:
        model: The float model.
        replacements: Those of all its layers to quantize.
        batches: Inputs of the model.

    Returns:
        Moments per channel, by the path of the layer.

    Raises:
        ValueError: There is no data, or outputs are NaN or infinite.
    """
    # In a copy, so that the measured layers can do without their activations.
    chains = {new.path: float_chain(new) for new in replacements if new.norm}
    if not chains:
        return {}
    layers = {new.path: new.original for new in replacements}
    rebuilder = Rebuilder({id(layers[path]): chain for path, chain in chains.items()})
    twin = rebuilder.rebuild(model)
    for new in replacements:
        if new.path in chains:
            linear, _, *after = chains[new.path]
            copy_weights(new, linear)
            for activation in after:
                if isinstance(new.original.activation, keras.layers.Layer):
                    copy_state(new.original.activation, activation)
    norms = {path: norm for path, (_, norm, *_) in chains.items()}
    outputs = _Outputs({id(norm): (path, norm) for path, norm in norms.items()})
    outputs.run(twin, batches, verbose=0)
    outputs.check()
    return {path: outputs.finished[id(norm)] for path, norm in norms.items()}


def adapt_whitening(
    model: keras.Model, layers: list[QuantizedLayer], batches: Batches
) -> None:
    """Fit the kernel quantizers of layers to the inputs that the layers meet.

    Args:
        model: The model that holds the layers.
        layers: Layers with a `WhitenedSign` for their kernel.
        batches: Inputs of the model.

    Raises:
        ValueError: The inputs of a layer do not vary.
    """
    patches: dict[int, list[np.ndarray]] = {id(layer): [] for layer in layers}
    per_batch = -(-MAX_PATCHES // (batches.count or 16))

    def collect(layer, proceed, args, kwargs):
        if id(layer) in patches:
            inputs = args[0] if args else kwargs["inputs"]
            taken = patches[id(layer)]
            taken.append(layer_patches(layer, inputs, per_batch, seed=len(taken)))
        return proceed(*args, **kwargs)

    for inputs in batches:
        with keras.StatelessScope(), without_gradients(), intercept_calls(collect):
            model(inputs, training=False)
    for layer in layers:
        layer.kernel_quantizer.adapt(patches[id(layer)])
