"""Which quantizers of activations are signs: told by what they do to numbers."""

import numpy as np
from keras import ops

from kerasbnn.quantizers import Quantizer

_TINY = np.finfo(np.float32).tiny


def is_sign(quantizer) -> bool:
    """Tell whether a quantizer of activations is the sign, with +1 for 0.

    Args:
        quantizer: A quantizer or any function of a tensor.

    Returns:
        Whether it has no weights and gives -1 below 0 and +1 from 0 on, each element by
        itself.

    Example:
        >>> from kerasbnn.quantizers import ApproxSign, SteHeaviside
        >>> from kerasbnn.tflite.sign_quantizers import is_sign
        >>> is_sign(ApproxSign()), is_sign(SteHeaviside())
        (True, False)
    """
    if isinstance(quantizer, Quantizer) and (
        quantizer.channelwise or quantizer.stateful or quantizer.weights
    ):
        # IRNetSign scales by a statistic of the batch; others have thresholds.
        return _is_plain_ir_net(quantizer)
    return all((_apply(quantizer, x) == np.where(x >= 0, 1, -1)).all() for x in _probes)


def _is_plain_ir_net(quantizer):
    return not (
        getattr(quantizer, "standardize", True) or getattr(quantizer, "scale", True)
    )


def _apply(quantizer, x):
    import tensorflow as tf

    with tf.init_scope():
        return ops.convert_to_numpy(quantizer(ops.convert_to_tensor(x)))


def _make_probes():
    rng = np.random.default_rng(0)
    edges = np.array([0.0, -0.0, _TINY, -_TINY, 1e-6, -1e-6, 0.5, -0.5, 1, -1, 2, -2])
    spread = rng.normal(size=500) * np.exp(rng.uniform(-12, 12, size=500))
    # A function of the whole batch would treat the same numbers differently.
    probes = [np.concatenate([edges, spread]), edges, np.abs(spread), -np.abs(spread)]
    return [probe.astype(np.float32).reshape(1, -1) for probe in probes]


_probes = _make_probes()
