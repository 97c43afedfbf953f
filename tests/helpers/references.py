"""Quantizers and their gradients written out in numpy, in float64.

Each gradient function returns the gradient with respect to the inputs for one upstream
gradient, as the docstring of the quantizer states it.
"""

import numpy as np


def sign(x):
    return np.where(x >= 0, 1.0, -1.0)


def heaviside(x):
    return np.where(x > 0, 1.0, 0.0)


def straight_through(x, upstream, clip_value):
    if clip_value is None:
        return upstream.copy()
    return np.where(np.abs(x) <= clip_value, upstream, 0.0)


def approx_sign_gradient(x, upstream):
    slope = np.zeros_like(x)
    inside = np.abs(x) <= 1
    slope[inside] = 2 - 2 * np.abs(x[inside])
    return slope * upstream


def approx_sign_integral(x):
    """The piecewise quadratic function of Bi-Real Net, whose derivative is used."""
    middle = np.where(x < 0, 2 * x + x**2, 2 * x - x**2)
    return np.where(x < -1, -1.0, np.where(x > 1, 1.0, middle))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def swish_sign_integral(x, beta):
    """SignSwish as BNN+ defines it: `2 s(bx) (1 + bx (1 - s(bx))) - 1`."""
    s = sigmoid(beta * x)
    return 2 * s * (1 + beta * x * (1 - s)) - 1


def swish_sign_gradient(x, upstream, beta):
    bx = np.clip(beta * x, -700, 700)
    slope = beta * (2 - bx * np.tanh(bx / 2)) / (1 + np.cosh(bx))
    return slope * upstream


def channel_slices(shape, channel_axes):
    """Yield, for each channel, the index of its values."""
    axes = sorted(axis % len(shape) for axis in channel_axes)
    for position in np.ndindex(*(shape[axis] for axis in axes)):
        index: list = [slice(None)] * len(shape)
        for axis, place in zip(axes, position, strict=True):
            index[axis] = place
        yield tuple(index)


def magnitude_aware_sign(w, upstream, clip_value, channel_axes=(-1,)):
    outputs, gradient = np.empty_like(w), np.empty_like(w)
    for channel in channel_slices(w.shape, channel_axes):
        scale = np.abs(w[channel]).mean()
        outputs[channel] = scale * sign(w[channel])
        gradient[channel] = scale * straight_through(
            w[channel], upstream[channel], clip_value
        )
    return outputs, gradient


def irnet_sign(w, upstream, t, standardize=True, scale=True, channel_axes=(-1,)):
    """Value and gradient of IR-Net's sign, the standardisation differentiated by hand.

    With `z = (w - m) / s`, `s` the unbiased deviation of `n` weights and `g = dL/dz`:
    `dL/dw = (g - mean(g) - z sum(g z) / (n - 1)) / s`.
    """
    outputs, gradient = np.empty_like(w), np.empty_like(w)
    k = max(1 / t, 1.0)
    for channel in channel_slices(w.shape, channel_axes):
        values = w[channel]
        n = values.size
        z = values
        if standardize:
            deviation = np.sqrt(((values - values.mean()) ** 2).sum() / (n - 1))
            z = (values - values.mean()) / deviation
        s = 2.0 ** np.round(np.log2(np.abs(z).mean())) if scale else 1.0
        outputs[channel] = s * sign(z)
        g = upstream[channel] * s * k * t * (1 - np.tanh(t * z) ** 2)
        if standardize:
            g = (g - g.mean() - z * (g * z).sum() / (n - 1)) / deviation
        gradient[channel] = g
    return outputs, gradient


def ternary(x, threshold):
    """Values above the threshold in magnitude keep their sign; the others are 0."""
    return np.where(x > threshold, 1.0, np.where(x < -threshold, -1.0, 0.0))


def best_ternary(x):
    """The ternary array of the smallest angle to `x`, of all that keep the largest."""
    flat = x.ravel()
    order = np.argsort(-np.abs(flat), kind="stable")
    best, best_cosine = None, -1.0
    for kept in range(1, flat.size + 1):
        candidate = np.zeros_like(flat)
        candidate[order[:kept]] = sign(flat[order[:kept]])
        norm = np.linalg.norm(candidate) * np.linalg.norm(flat)
        cosine = candidate @ flat / norm
        if cosine > best_cosine:
            best, best_cosine = candidate, cosine
    return best.reshape(x.shape), best_cosine


def dorefa_activations(x, upstream, k_bit):
    n = 2**k_bit - 1
    outputs = np.round(n * np.clip(x, 0, 1)) / n
    return outputs, np.where((x >= 0) & (x <= 1), upstream, 0.0)


def dorefa_weights(w, upstream, k_bit):
    n = 2**k_bit - 1
    largest = np.abs(np.tanh(w)).max()
    outputs = 2 * np.round(n * (np.tanh(w) / (2 * largest) + 0.5)) / n - 1
    return outputs, upstream * (1 - np.tanh(w) ** 2) / largest


def shifted_sign(x, shift, upstream):
    """Value and the gradients to the inputs and to a shift of one value per channel."""
    u = x + shift
    gradient = approx_sign_gradient(u, upstream)
    axes = tuple(a for a in range(x.ndim) if np.shape(shift)[a] == 1)
    return sign(u), gradient, gradient.sum(axis=axes, keepdims=True)
