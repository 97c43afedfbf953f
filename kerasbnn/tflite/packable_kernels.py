"""Which kernels have a packed form: told by their values, not by their quantizer."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class PackableKernel:
    """A kernel as signs, zeros and one magnitude for each output channel.

    Attributes:
        signs: int8 array of -1, 0 and 1, in the shape of the kernel.
        scale: float32 magnitudes `(channels,)`, or None where all are 1.
        bits: Bits of one weight: 1, or 2 where some are 0.
    """

    signs: np.ndarray
    scale: np.ndarray | None
    bits: int


def packable_kernel(values: np.ndarray) -> PackableKernel | str:
    """Split a quantized kernel into signs and magnitudes.

    Args:
        values: float32 array `(..., channels)`: the kernel as the forward pass uses it.

    Returns:
        The parts, or why there are none, as the end of a sentence.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.tflite.packable_kernels import packable_kernel
        >>> kernel = packable_kernel(np.array([[0.5, -1], [-0.5, 0]], "float32"))
        >>> kernel.signs.tolist(), kernel.scale.tolist(), kernel.bits
        ([[1, -1], [-1, 0]], [0.5, 1.0], 2)
        >>> packable_kernel(np.array([[0.5], [0.25]], "float32"))
        'its kernel has more than one magnitude in a channel'
    """
    if not np.isfinite(values).all():
        return "its kernel has weights that are NaN or infinite"
    magnitudes = np.abs(values).reshape(-1, values.shape[-1])
    scale = magnitudes.max(axis=0)
    if not ((magnitudes == scale) | (magnitudes == 0)).all():
        return "its kernel has more than one magnitude in a channel"
    # The signs of a channel of zeros do not matter: its scale is 0.
    has_zeros = ((magnitudes == 0) & (scale > 0)).any()
    signs = np.where(values < 0, -1, 1)
    if has_zeros:
        signs = np.where(values == 0, 0, signs)
    return PackableKernel(
        signs.astype(np.int8),
        None if (scale == 1).all() else scale.astype(np.float32),
        2 if has_zeros else 1,
    )
