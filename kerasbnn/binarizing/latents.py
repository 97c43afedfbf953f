"""Trained weights as latent weights, and the scale that a quantizer takes off them."""

import numpy as np

# Root mean square of the latent weights of a filter: ten steps of Adam at its default
# learning rate. What a latent weight has to travel to flip its sign sets how fast a
# network adapts; on MNIST 0.003 to 0.01 did better than 0.03, and far better than 0.1.
SPREAD = 0.01


def as_latents(kernel: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """Scale each filter of a trained kernel into [-1, 1].

    Each filter is multiplied by one positive number, so that its signs and its angle
    with any vector stay: by what makes its root mean square `SPREAD`, or by less where
    its largest weight would leave [-1, 1]. A filter of zeros stays as it is.

    How large latent weights are changes nothing that a layer computes, only how soon
    training flips them.

    Args:
        kernel: Float array of weights.
        channel_axes: Axes along which each position is a filter of its own.

    Returns:
        Float32 array of the same shape.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.binarizing.latents import as_latents
        >>> kernel = np.array([[3.0, 0.0], [-4.0, 0.0]])
        >>> bool(np.allclose(as_latents(kernel, (-1,)), kernel * 0.01 / np.sqrt(12.5)))
        True

    Reference:
        Courbariaux et al., Binarized Neural Networks, arXiv 1602.02830, section 1.4
        (latent weights and their range).
    """
    axes = _other_axes(kernel, channel_axes)
    kernel = np.asarray(kernel, "float64")
    largest = np.abs(kernel).max(axis=axes, keepdims=True)
    # Divided by the largest first, so that no square is too small or too large.
    shape = kernel / np.where(largest > 0, largest, 1)
    spread = np.sqrt(np.square(shape).mean(axis=axes, keepdims=True))
    scale = np.minimum(SPREAD / np.where(spread > 0, spread, 1), 1)
    return (shape * scale).astype("float32")


def scale_of(
    kernel: np.ndarray, quantized: np.ndarray, channel_axes: tuple[int, ...]
) -> np.ndarray:
    """Return the multiples of quantized filters that come nearest to the trained ones.

    `alpha = <w, q> / <q, q>` for each filter; for signs that is the mean of `|w|`.

    Args:
        kernel: Float array of trained weights.
        quantized: The same after quantization, of any scale.
        channel_axes: Axes along which each position is a filter of its own.

    Returns:
        Float64 array with a size for each channel axis, in their order; 0 for a filter
        of zeros.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.binarizing.latents import scale_of
        >>> kernel = np.array([[3.0], [-4.0]])
        >>> scale_of(kernel, np.sign(kernel), (-1,))
        array([3.5])

    Reference:
        Rastegari et al., XNOR-Net, arXiv 1603.05279, section 3.1.
    """
    axes = _other_axes(kernel, channel_axes)
    product = np.multiply(kernel, quantized, dtype="float64").sum(axis=axes)
    return product / np.maximum(power_of(quantized, channel_axes), np.finfo(float).tiny)


def power_of(quantized: np.ndarray, channel_axes: tuple[int, ...]) -> np.ndarray:
    """Return the sum of squares of each filter: the variance of its outputs.

    That is the variance for independent inputs of unit variance, such as random signs.

    Args:
        quantized: Array of quantized weights.
        channel_axes: Axes along which each position is a filter of its own.

    Returns:
        Float64 array with a size for each channel axis, in their order.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.binarizing.latents import power_of
        >>> power_of(np.ones((9, 2)), (-1,))
        array([9., 9.])
    """
    axes = _other_axes(quantized, channel_axes)
    return np.square(quantized, dtype="float64").sum(axis=axes)


def _other_axes(kernel, channel_axes):
    kept = {axis % kernel.ndim for axis in channel_axes}
    return tuple(axis for axis in range(kernel.ndim) if axis not in kept)
