"""The types of the Open Inference Protocol, and those of numpy."""

import struct
from collections.abc import Iterable, Sequence

import numpy as np

BYTES = "BYTES"

# Binary data is little-endian.
DTYPES: dict[str, np.dtype] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
_DATATYPES = {dtype: name for name, dtype in DTYPES.items()}

_LENGTH = struct.Struct("<I")


def datatype_of(dtype: np.dtype) -> str:
    """Return the protocol's name of a numpy dtype.

    Args:
        dtype: The dtype.

    Returns:
        A key of `DTYPES`.

    Raises:
        ValueError: The protocol has no such type.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.models.datatypes import datatype_of
        >>> datatype_of(np.dtype("float32"))
        'FP32'
    """
    try:
        return _DATATYPES[np.dtype(dtype)]
    except KeyError:
        raise ValueError(
            f"The Open Inference Protocol has no type for {dtype}. Expected one of "
            f"{', '.join(str(known) for known in _DATATYPES)}."
        ) from None


def packed_strings(texts: Iterable[str]) -> bytes:
    r"""Return texts as binary data of the type BYTES.

    Args:
        texts: The texts.

    Returns:
        For each its length, 4 bytes, and itself in UTF-8.

    Example:
        >>> from kerasbnn.serve.models.datatypes import packed_strings
        >>> packed_strings(["cat"])
        b'\x03\x00\x00\x00cat'
    """
    parts = []
    for text in texts:
        encoded = text.encode()
        parts += (_LENGTH.pack(len(encoded)), encoded)
    return b"".join(parts)


def size_of(shape: Sequence[int]) -> int:
    """Return the number of values of a shape, which may be far too large for memory.

    Args:
        shape: Sizes.

    Returns:
        Their product.

    Example:
        >>> from kerasbnn.serve.models.datatypes import size_of
        >>> size_of([2**40, 2**40]) == 2**80
        True
    """
    size = 1
    for length in shape:
        size *= length
    return size
