"""Scopes that hold for the whole process: quantized weights and training metrics."""

import contextlib
import threading

__all__ = [
    "get_training_metrics",
    "metrics_scope",
    "quantized_scope",
    "should_quantize",
]

_state = threading.local()
_training_metrics: set[str] = set()
_KNOWN_METRICS = ("flip_ratio",)


@contextlib.contextmanager
def quantized_scope(quantize):
    """Say whether kernels read from outside are quantized ones or latent ones.

    Inside a scope with True, in this thread, `get_weights`, `save_weights` and `save`
    of a model, and `numpy()` of a kernel, give what the forward pass of the layers of
    `kerasbnn.larq` computes with: ±1 for a sign. Nothing is overwritten, so training
    may go on inside. `kernel.value` stays the latent value, as does what an operation
    of Keras makes of a kernel.

    For layers of kerasbnn itself there is `kerasbnn.models.quantized_scope`.

    Args:
        quantize: Whether to quantize.

    Yields:
        `quantize`.

    Example:
        >>> import numpy as np
        >>> import kerasbnn.larq as lq
        >>> layer = lq.layers.QuantDense(
        ...     2, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
        ... )
        >>> layer.build((None, 3))
        >>> with lq.context.quantized_scope(True):
        ...     kernel = layer.get_weights()[0]
        >>> np.unique(np.abs(kernel)).tolist()
        [1.0]
    """
    before = should_quantize()
    _state.should_quantize = quantize
    try:
        yield quantize
    finally:
        _state.should_quantize = before


def should_quantize():
    """Return what the innermost `quantized_scope` of this thread says, or False.

    Example:
        >>> import kerasbnn.larq as lq
        >>> lq.context.should_quantize()
        False
    """
    return getattr(_state, "should_quantize", False)


@contextlib.contextmanager
def metrics_scope(metrics=()):
    """Give the kernel quantizers of layers made inside the scope these metrics.

    Scopes inside each other add up.

    Args:
        metrics: Names of metrics; `"flip_ratio"` is the only one.

    Yields:
        The set of all names that hold now.

    Raises:
        ValueError: A name is unknown.

    Example:
        >>> import kerasbnn.larq as lq
        >>> with lq.context.metrics_scope(["flip_ratio"]):
        ...     sorted(lq.context.get_training_metrics())
        ['flip_ratio']
    """
    unknown = [name for name in metrics if name not in _KNOWN_METRICS]
    if unknown:
        raise ValueError(
            f"Unknown training metrics {unknown}. The known one is 'flip_ratio'."
        )
    before = set(_training_metrics)
    _training_metrics.update(metrics)
    try:
        yield _training_metrics
    finally:
        _training_metrics.clear()
        _training_metrics.update(before)


def get_training_metrics():
    """Return the set of metrics that new layers get; changing it changes them.

    Example:
        >>> import kerasbnn.larq as lq
        >>> lq.context.get_training_metrics()
        set()
    """
    return _training_metrics
