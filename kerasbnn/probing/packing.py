"""Numbers as text, for JSON."""

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode_halves(values: Any) -> str:
    """Return numbers of magnitude up to 1 as base64 of little-endian float16."""
    return base64.b64encode(np.asarray(values).astype("<f2").tobytes()).decode()


def decode_halves(text: str) -> NDArray[np.float32]:
    """Return what `encode_halves` has made a text of, as float32."""
    halves = np.frombuffer(base64.b64decode(text, validate=True), "<f2")
    return halves.astype(np.float32)


def rounded(value: float | None, digits: int = 6) -> float | None:
    """Round to significant digits, so that a text is short.

    Args:
        value: A number, or None.
        digits: Number of digits.

    Returns:
        The number, None for None and for what is not finite.

    Example:
        >>> from kerasbnn.probing.packing import rounded
        >>> rounded(0.123456789), rounded(float("nan"))
        (0.123457, None)
    """
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.{digits}g}")
