"""Numbers for a report: None where there is none."""

import math
from typing import Any

import numpy as np


def mean_of(values: np.ndarray) -> float | None:
    """Return the mean of the finite values, or None where there is none."""
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else None


def median_of(values: np.ndarray) -> float | None:
    """Return the median of the finite values, or None where there is none."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else None


def finite(value) -> Any:
    """Return a value with None in the place of numbers that are not finite."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, tuple):
        return tuple(finite(v) for v in value)
    return value
