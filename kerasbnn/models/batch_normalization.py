"""Exact statistics for the batch normalizations of a model."""

import keras
import numpy as np

from kerasbnn.models.batches import Batches, to_numpy
from kerasbnn.models.layer_paths import checked_model, named_layers
from kerasbnn.models.normalization_passes import InTurn, Together


def refit_batchnorm(
    model: keras.Model,
    data,
    *,
    batch_size: int = 256,
    steps: int | None = None,
    sequential: bool = False,
    verbose: str | int = "auto",
) -> list[str]:
    """Recompute the moving mean and variance of every BatchNormalization from data.

    The moving averages of training lag behind the weights, which hurts binary networks
    most: a weight that flips moves its channel by whole units. Do this after training,
    after the weights were changed by other means, or for data of another kind.

    Mean and population variance are taken per channel over all samples and positions,
    merged in float64 over the batches; they do not depend on the order of the batches.
    Everything but BatchNormalization works as in inference. Where a mask reaches a
    BatchNormalization, masked positions do not count. A BatchNormalization that is
    called more than once pools its calls.

    What the later BatchNormalizations see depends on how the earlier ones normalize:

    - By default each one normalizes by the statistics of the batch at hand, as in
      training. One pass over the data fits all of them. The result comes near to the
      exact one as batches grow; use batches as large as memory allows.
    - `sequential=True` fits them one after the other, in the order of their calls, each
      from a pass in which those before it already have their final statistics. The
      result is exact for inference and does not depend on the batch size, at the price
      of one pass for each BatchNormalization.

    The variables change at the end only: if anything fails, the model is as before.

    Args:
        model: A built Keras model, of any kind.
        data: Inputs, as `model.predict` takes them: an array, a list or dict of arrays,
            a `tf.data.Dataset`, a `keras.utils.PyDataset`, or a generator of batches.
            In tuples `(x, y)` or `(x, y, sample_weight)` only `x` is used.
        batch_size: Largest number of samples per batch, for arrays.
        steps: Number of batches to use; None for all.
        sequential: Whether to fit the layers one after the other; see above.
        verbose: 0 for silence, `"auto"` or 1 for a progress bar.

    Returns:
        Paths of the layers that were refitted, as in `models.summary`, in the order of
        their calls.

    Raises:
        TypeError: `model` or `data` is of the wrong kind.
        ValueError: There is no BatchNormalization in the model or no sample in the
            data; values are NaN or infinite; a channel has only one value in a batch;
            or `sequential=True` with a generator, which can be read only once.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn import models
        >>> model = keras.Sequential([
        ...     keras.Input((1,)), keras.layers.BatchNormalization(name="bn")
        ... ])
        >>> models.refit_batchnorm(model, np.array([[1.0], [2.0], [6.0]]), verbose=0)
        ['bn']
        >>> [float(w[0]) for w in model.get_weights()[2:]]  # mean, variance
        [3.0, 4.666666507720947]

    Reference:
        Wu and Johnson, Rethinking "Batch" in BatchNorm, arXiv 2105.07576 (PreciseBN).
    """
    layers = _batch_normalizations(model)
    batches = Batches(data, batch_size, steps)
    if sequential and not batches.is_repeatable:
        raise ValueError(
            "`sequential=True` reads the data once for each BatchNormalization, but a "
            "generator can be read only once. Pass arrays or a dataset."
        )
    fit = InTurn(layers) if sequential else Together(layers)
    fit.run(model, batches, verbose)
    fit.check()
    _assign([(layers[key][1], moments) for key, moments in fit.finished.items()])
    return [layers[key][0] for key in fit.finished]


def _batch_normalizations(model):
    """Return path and layer of each batch normalization, by the id of the layer."""
    checked_model(model)
    found = {
        id(layer): (path, layer)
        for path, layer in named_layers(model)
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    if not found:
        raise ValueError(f"Model '{model.name}' has no BatchNormalization to refit.")
    unbuilt = [path for path, layer in found.values() if not layer.built]
    if unbuilt:
        raise ValueError(
            f"BatchNormalization {', '.join(unbuilt)} of model '{model.name}' is not "
            "built yet. Train the model, or load its weights, before refitting."
        )
    return found


def _assign(fitted):
    """Give the layers their statistics: all of them, or none."""
    updates = []
    for layer, moments in fitted:
        updates += [
            (layer.moving_mean, moments.mean),
            (layer.moving_variance, moments.variance),
        ]
        if layer.renorm:
            # What batch renormalization carries on from when training goes on.
            deviation = np.sqrt(moments.variance + layer.epsilon)
            updates += [
                (layer.moving_stddev, deviation),
                (layer.renorm_mean, moments.mean),
                (layer.renorm_stddev, deviation),
            ]
    before = [(variable, np.array(to_numpy(variable.value))) for variable, _ in updates]
    try:
        for variable, values in updates:
            variable.assign(values.astype("float32"))
    except BaseException:
        for variable, values in before:
            variable.assign(values)
        raise
