"""What image a model takes, and how its pixels become numbers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ServiceError

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

_CHANNELS = (1, 3)


@dataclass(frozen=True)
class ImageInput:
    """The only input of a model that takes images.

    Attributes:
        name: Its name.
        shape: Its shape without the batch.
        height: Rows of an image.
        width: Columns of an image.
        channels: 1 for gray, 3 for red, green and blue.
        dtype: Its dtype.
        mean: What is taken off each raw value from 0 to 255, one number or one for each
            channel.
        std: What each is then divided by.
    """

    name: str
    shape: tuple[int, ...]
    height: int
    width: int
    channels: int
    dtype: np.dtype
    mean: np.ndarray
    std: np.ndarray

    @classmethod
    def of(cls, model: "ServedModel") -> "ImageInput":
        """Find out what image a model takes.

        Args:
            model: The model.

        Returns:
            Its input.

        Raises:
            ServiceError: Its input is no image, or not of a type that pixels have; 400.
        """
        if len(model.inputs) != 1:
            raise _refused(model, f"it has the inputs {', '.join(model.inputs)}")
        (spec,) = model.inputs.values()
        shape = spec.shape[1:]
        channels = shape[2] if len(shape) == 3 else 1
        if len(shape) not in (2, 3) or channels not in _CHANNELS or min(shape) < 1:
            raise _refused(model, f"its input has the shape {list(spec.shape)}")
        is_float = np.issubdtype(spec.dtype, np.floating)
        normalization = model.normalization or {"mean": 0.0, "std": 1.0}
        if not is_float and (spec.dtype != np.uint8 or model.normalization):
            raise _refused(model, f"its input has the type {spec.datatype}")
        try:
            mean, std = (
                np.broadcast_to(np.asarray(normalization[key], np.float64), (channels,))
                for key in ("mean", "std")
            )
        except (KeyError, TypeError, ValueError) as error:
            raise _refused(
                model, f"its file has the normalization {normalization!r}"
            ) from error
        height, width = shape[:2]
        return cls(spec.name, shape, height, width, channels, spec.dtype, mean, std)

    def array(self, pixels: np.ndarray) -> np.ndarray:
        """Normalize the pixels of an image, as the model was trained.

        Args:
            pixels: `(height, width, channels)`, uint8.

        Returns:
            `(raw - mean) / std` as `(1, *shape)`, in the dtype of the input; as it is
            where the file of the model has no normalization.
        """
        if self.dtype == np.uint8:
            return pixels.reshape(1, *self.shape)
        values = (pixels - self.mean) / self.std
        return values.astype(self.dtype).reshape(1, *self.shape)


def _refused(model, reason):
    return ServiceError(
        400,
        f"Model '{model.name}' does not take an image: {reason}. Expected one input of "
        "the shape [batch, height, width, channels], with 1 or 3 channels. Send "
        f"numbers to /v2/models/{model.name}/infer.",
    )
