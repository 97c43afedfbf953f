"""What a model takes or gives."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """An input or an output, in the words of the Open Inference Protocol.

    Attributes:
        name: Its name.
        datatype: Such as "FP32".
        dtype: The numpy dtype.
        shape: Sizes; -1 where a size is open, such as that of the batch.
    """

    name: str
    datatype: str
    dtype: np.dtype
    shape: tuple[int, ...]
