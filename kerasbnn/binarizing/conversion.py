"""From a trained float network to the same network with quantized layers."""

from collections.abc import Mapping

import keras

from kerasbnn.binarizing.calibration import adapt_whitening, float_moments
from kerasbnn.binarizing.dataflow import Dataflow
from kerasbnn.binarizing.first_values import FirstValues
from kerasbnn.binarizing.plans import checked_graph, checked_plan
from kerasbnn.binarizing.rebuilding import Rebuilder, copy_state
from kerasbnn.binarizing.replacements import Replacement, Replacer
from kerasbnn.layers.padding import checked_pad_value
from kerasbnn.models import refit_batchnorm
from kerasbnn.models.batches import Batches
from kerasbnn.models.layer_paths import checked_model


def binarize(
    model: keras.Model,
    plan: Mapping[str, str] | None = None,
    *,
    data=None,
    binarize_inputs: bool = True,
    pad_values: int = 0,
    batch_size: int = 256,
    steps: int | None = None,
    sequential: bool = False,
) -> keras.Model:
    """Return a trained float network with quantized layers in place of float ones.

    The network is the same but for the layers that the plan names, or all that can be
    binary: their trained weights become latent weights, ready for `fit`. The original
    does not change. Layers keep their names; what is inserted is named after the layer
    that it belongs to. In the place of a layer `conv` come, in this order:

    1. `conv_input_norm`, a BatchNormalization, where a sign would see values that are
       not centered, such as those behind a ReLU or a max-pooling. There is none behind
       a normalization or a sign.
    2. `conv`, its `Quant*` counterpart. Its inputs become signs (`"ste_sign"`), unless
       they are the model's own, with no layer in between that mixes channels, or
       `binarize_inputs` is False. Each filter of latent weights is the trained one
       times a positive number that brings it into [-1, 1], where `"weight_clip"` holds
       it; signs and angles stay. A kernel regularizer is left out, since it would only
       shrink latent weights. LoRA is merged into them.
    3. `conv_norm`, a BatchNormalization that replaces the scale of the weights and the
       bias. There is none where a BatchNormalization follows the layer, or a
       max-pooling behind it: then its moving statistics are rescaled instead.
    4. `conv_activation`, the activation that was part of the layer, if any.

    Without a plan every dense and convolutional layer becomes binary, blindly: whether
    it preserves what the layer computes is not looked at. Layers inside of others whose
    `call` is Python code, such as `TimeDistributed` or a class of your own, stay as
    they are, with a warning. Layers that are quantized already stay as they are too.

    With `data`, every `conv_norm` starts with the mean and the deviation that the float
    layer has on these inputs, and all normalizations of the new model are refitted on
    them, so that it predicts before it is trained. Without `data`, `conv_norm` restores
    `alpha * outputs + bias`, where `alpha` is the mean magnitude of the filter (for
    other quantizers, what brings them nearest to it). That preserves predictions where
    only weights are binary; signs of inputs change what the layers see, and a fresh
    `conv_input_norm` knows nothing of its inputs before training.

    Fine-tune with Adam at about 1e-3. The moving statistics of a binary network lag
    behind its weights, those with a momentum of 0.99 far behind (inserted ones have
    0.9): use `models.refit_batchnorm` after training, or before any evaluation.

    Args:
        model: A built functional or sequential model; such models may be nested in it.
        plan: None, or a dict from the paths of layers, such as `"block/conv_1"` (those
            of `models.summary`), to `"binary"`; `"ternary"` (-1, 0 and 1, by the rule
            of ternary weight networks); `"rotated"` (signs in a rotated basis, see
            `quantizers.RotatedSign`); `"whitened"` (signs where inputs are white, see
            `quantizers.WhitenedSign`, fitted to `data`); or `"continuous"`, as are all
            layers that it does not name. `report.plan()` of an audit returns one.
        data: Inputs, as `model.predict` takes them, a few hundred or more; None for no
            calibration. They are read several times, so no generator.
        binarize_inputs: Whether quantized layers take signs of their inputs.
        pad_values: What `padding="same"` puts around signs: 0, as in the float model,
            or 1 or -1, which keep the border binary.
        batch_size: Largest number of samples per batch of `data`, for arrays.
        steps: Number of batches of `data` to use; None for all.
        sequential: Whether to refit the normalizations one after the other: exact
            whatever the batch size, but a pass over `data` for each; see
            `models.refit_batchnorm`.

    Returns:
        A model of the same class, not compiled. An output layer that got a
        normalization or an activation is an output by the name of that.

    Raises:
        TypeError: `model` is no Keras model, or has a `call` of its own, which cannot
            be rewritten; or `plan` is no mapping.
        ValueError: The model is not built or has nothing to binarize; the plan names an
            unknown path, an unknown word, or a layer without quantized counterpart;
            weights are NaN or infinite, or were quantized by Keras; a layer cannot be
            copied; or `data` is not usable, or missing where it is needed.

    Example:
        >>> import keras
        >>> from kerasbnn.binarizing import binarize
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)),
        ...     keras.layers.Conv2D(4, 3, activation="relu", name="conv"),
        ...     keras.layers.Flatten(name="flatten"),
        ...     keras.layers.Dense(10, activation="softmax", name="head"),
        ... ])
        >>> [layer.name for layer in binarize(model, {"conv": "binary"}).layers]
        ['conv', 'conv_norm', 'conv_activation', 'flatten', 'head']

    Reference:
        Anderson & Berg, arXiv 1705.07199 (what binarization preserves); Courbariaux et
        al., arXiv 1602.02830 (latent weights); Rastegari et al., arXiv 1603.05279 (the
        scale of a filter).
    """
    checked_graph(checked_model(model))
    pad_values = checked_pad_value(pad_values)
    batches = None if data is None else _checked_batches(data, batch_size, steps)
    flow = Dataflow(model)
    replacer = Replacer(model, flow, binarize_inputs, pad_values)
    chosen = checked_plan(model, plan, flow, data is not None)
    replacements = replacer.replace_all(chosen)

    rebuilder = Rebuilder({id(new.original): new.chain for new in replacements})
    binary = rebuilder.rebuild(model)
    all_values = [_with_first_values(new, rebuilder) for new in replacements]
    if batches is None or not replacements:
        return binary

    moments = float_moments(model, replacements, batches)

    def calibrate(all_values):
        for values in all_values:
            if values.new.path in moments:
                values.match(moments[values.new.path])
        refit_batchnorm(
            binary,
            data,
            batch_size=batch_size,
            steps=steps,
            sequential=sequential,
            verbose=0,
        )

    calibrate(all_values)
    whitened = [
        new.quantized
        for new, (_, _, word) in zip(replacements, chosen, strict=True)
        if word == "whitened"
    ]
    if whitened:
        # To the inputs in the calibrated network, which then computes something else.
        adapt_whitening(binary, whitened, batches)
        calibrate([_with_first_values(new, rebuilder) for new in replacements])
    return binary


def _checked_batches(data, batch_size, steps):
    batches = Batches(data, batch_size, steps)
    if not batches.is_repeatable:
        raise ValueError(
            "`data` is read several times, but a generator can be read only once. "
            "Pass arrays or a dataset."
        )
    return batches


def _with_first_values(new: Replacement, rebuilder: Rebuilder):
    values = FirstValues(new)
    values.set_norm()
    for norm in new.absorbing:
        values.rescale(norm, rebuilder.copy_of(norm))
    if isinstance(new.original.activation, keras.layers.Layer):
        copy_state(new.original.activation, new.activation)
    return values
