"""The input patches that the filters of a layer meet, a sample of them."""

import math

import keras
import numpy as np
from keras import ops

# Exact classes would leave out the layers of this package, which derive from these.
_CONVOLUTIONS = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


def layer_patches(layer, inputs, max_patches, seed=0):
    """Sample the patches that a layer's filters are multiplied with.

    The inputs are quantized first, if the layer does that. Patches lie as the weights
    of a filter do: along the window, then along the input channels. Of a convolution in
    groups each group's patch counts by itself.

    Args:
        layer: A built dense layer or convolution (1D, 2D, 3D).
        inputs: A batch of inputs for the layer, array or tensor.
        max_patches: Largest number of patches; less if there are less.
        seed: Seed of the choice.

    Returns:
        Numpy array of shape `(patches, fan_in)`.

    Raises:
        TypeError: The layer is of another kind.
        ValueError: The inputs do not fit the layer, or are smaller than its window.

    Example:
        >>> import numpy as np
        >>> from kerasbnn import QuantConv2D
        >>> from kerasbnn.quantizers.patches import layer_patches
        >>> layer = QuantConv2D(8, 3)
        >>> layer.build((None, 6, 6, 2))
        >>> layer_patches(layer, np.ones((5, 6, 6, 2)), max_patches=50).shape
        (50, 18)
    """
    if not isinstance(layer, (keras.layers.Dense, *_CONVOLUTIONS)):
        raise TypeError(
            "Patches are known of dense layers and of Conv1D, Conv2D and Conv3D. "
            f"Received: {type(layer).__name__} '{layer.name}'. Use `adapt` with an "
            "array of the patches, (n, fan_in)."
        )
    rng = np.random.default_rng(seed)
    x = _quantized_inputs(layer, inputs)
    if isinstance(layer, keras.layers.Dense):
        features = _checked_channels(layer, x, x.shape[-1])
        rows = x.reshape(-1, features)
        return rows[_choice(len(rows), max_patches, rng)]
    if layer.data_format == "channels_first":
        x = np.moveaxis(x, 1, -1)
    _checked_channels(layer, x, x.shape[-1] // layer.groups)
    x = _padded(layer, x)
    reaches = [
        (k - 1) * d for k, d in zip(layer.kernel_size, layer.dilation_rate, strict=True)
    ]
    counts = [
        (size - reach - 1) // stride + 1
        for size, reach, stride in zip(
            x.shape[1:-1], reaches, layer.strides, strict=True
        )
    ]
    if min(counts) < 1:
        raise ValueError(
            f"The window of layer '{layer.name}' reaches over {reaches} positions, but "
            f"the inputs have only {list(x.shape[1:-1])}. Pass larger inputs."
        )
    positions = (len(x), *counts)
    wanted = -(-max_patches // layer.groups)
    chosen = np.unravel_index(_choice(math.prod(positions), wanted, rng), positions)
    patches = x[_indices_of_windows(layer, chosen)]
    per_group = x.shape[-1] // layer.groups
    patches = patches.reshape(*patches.shape[:-1], layer.groups, per_group)
    fan_in = math.prod(layer.kernel_size) * per_group
    return np.moveaxis(patches, -2, 1).reshape(-1, fan_in)[:max_patches]


def _quantized_inputs(layer, inputs):
    x = ops.convert_to_tensor(inputs, dtype=layer.compute_dtype)
    if hasattr(layer, "quantize_inputs"):
        x = layer.quantize_inputs(x)
    return np.asarray(ops.convert_to_numpy(x), "float32")


def _checked_channels(layer, x, channels):
    rank = getattr(layer, "rank", None)
    fits = x.ndim >= 2 if rank is None else x.ndim == rank + 2
    if not fits or channels != layer.kernel.shape[-2]:
        raise ValueError(
            f"The inputs do not fit layer '{layer.name}', whose kernel has the shape "
            f"{tuple(layer.kernel.shape)}. Received inputs of shape {x.shape}, with "
            "channels last."
        )
    return channels


def _padded(layer, x):
    """Pad as the layer does; TensorFlow's "same" has the larger half behind."""
    if layer.padding == "valid":
        return x
    widths = [(0, 0)]
    for size, k, stride, dilation in zip(
        x.shape[1:-1],
        layer.kernel_size,
        layer.strides,
        layer.dilation_rate,
        strict=True,
    ):
        reach = (k - 1) * dilation
        if layer.padding == "causal":
            widths.append((reach, 0))
        else:
            total = max((size - 1) // stride * stride + reach + 1 - size, 0)
            widths.append((total // 2, total - total // 2))
    value = getattr(layer, "pad_values", 0)
    return np.pad(x, [*widths, (0, 0)], constant_values=value)


def _choice(count, wanted, rng):
    if count <= wanted:
        return np.arange(count)
    return rng.choice(count, wanted, replace=False)


def _indices_of_windows(layer, chosen):
    """Return what indexes `(patches, *window)` in a padded batch, channels kept."""
    samples, *starts = chosen
    rank = len(starts)
    indices = [samples.reshape(-1, *[1] * rank)]
    for axis, start in enumerate(starts):
        offsets = np.arange(layer.kernel_size[axis]) * layer.dilation_rate[axis]
        along = start[:, None] * layer.strides[axis] + offsets
        shape = [len(start)] + [1] * rank
        shape[axis + 1] = len(offsets)
        indices.append(along.reshape(shape))
    return tuple(indices)
