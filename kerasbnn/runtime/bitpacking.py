"""THE bit convention: how -1, 0 and +1 are held in bytes, everywhere in kerasbnn.

- A bit is 1 where the value is -1, that is where `x < 0`, and 0 where it is +1. So the
  sign of 0 is +1.
- Bits run along the channels, 32 to a little-endian uint32 word, low bit first. The
  tail of the last word is 0, so that an exclusive or gives 0 there.
- The dot product of two vectors of K values is `K - 2 * popcount(a ^ w)`.
- A ternary weight takes two neighbouring bits: the low one is 1 where it is negative,
  the high one where it is 0. Channels are padded with zero bits to a multiple of 32.
"""

import numpy as np

WORD = 32


def words_for(channels: int) -> int:
    """Return how many 32-bit words hold one bit for each channel.

    Args:
        channels: Number of channels.

    Returns:
        Number of words.

    Example:
        >>> from kerasbnn.runtime.bitpacking import words_for
        >>> words_for(32), words_for(33)
        (1, 2)
    """
    return -(-channels // WORD)


def pack_bits(values: np.ndarray) -> np.ndarray:
    """Pack the signs of values along the last axis.

    Args:
        values: Real array `(..., channels)`; negative values give 1, all others 0.

    Returns:
        uint8 array `(..., 4 * ceil(channels / 32))`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.runtime.bitpacking import pack_bits
        >>> pack_bits(np.array([-1.0, 1.0, -0.0, -0.5]))
        array([9, 0, 0, 0], dtype=uint8)
    """
    return _packed(np.asarray(values) < 0)


def unpack_bits(packed: np.ndarray, channels: int) -> np.ndarray:
    """Return the values that `pack_bits` has packed.

    Args:
        packed: uint8 array `(..., 4 * ceil(channels / 32))`.
        channels: Number of channels.

    Returns:
        int8 array `(..., channels)` of -1 and 1.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.runtime.bitpacking import unpack_bits
        >>> unpack_bits(np.array([9, 0, 0, 0], np.uint8), 4)
        array([-1,  1,  1, -1], dtype=int8)
    """
    bits = np.unpackbits(packed, axis=-1, count=channels, bitorder="little")
    return (1 - 2 * bits.astype(np.int8)).astype(np.int8)


def pack_ternary(values: np.ndarray) -> np.ndarray:
    """Pack values of -1, 0 and +1 along the last axis, two bits each.

    Args:
        values: Real array `(..., channels)`; only the signs count.

    Returns:
        uint8 array `(..., 8 * ceil(channels / 32))`.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.runtime.bitpacking import pack_ternary
        >>> pack_ternary(np.array([-1, 0, 1]))
        array([9, 0, 0, 0, 0, 0, 0, 0], dtype=uint8)
    """
    values = np.asarray(values)
    codes = np.stack([values < 0, values == 0], axis=-1)
    tail = -values.shape[-1] % WORD
    codes = np.pad(codes, [(0, 0)] * (values.ndim - 1) + [(0, tail), (0, 0)])
    return _packed(codes.reshape(*values.shape[:-1], -1))


def unpack_ternary(packed: np.ndarray, channels: int) -> np.ndarray:
    """Return the values that `pack_ternary` has packed.

    Args:
        packed: uint8 array `(..., 8 * ceil(channels / 32))`.
        channels: Number of channels.

    Returns:
        int8 array `(..., channels)` of -1, 0 and 1.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.runtime.bitpacking import pack_ternary, unpack_ternary
        >>> unpack_ternary(pack_ternary(np.array([-1, 0, 1])), 3)
        array([-1,  0,  1], dtype=int8)
    """
    bits = np.unpackbits(packed, axis=-1, count=2 * channels, bitorder="little")
    bits = bits.reshape(*packed.shape[:-1], channels, 2).astype(np.int8)
    return ((1 - 2 * bits[..., 0]) * (1 - bits[..., 1])).astype(np.int8)


def _packed(bits):
    tail = -bits.shape[-1] % WORD
    bits = np.pad(bits, [(0, 0)] * (bits.ndim - 1) + [(0, tail)])
    return np.packbits(bits, axis=-1, bitorder="little")
