"""An image to try the packaged model with: a digit that it was not trained on."""

from typing import TYPE_CHECKING

from ..models.repository import packaged_models
from .rendering import HERE

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

SAMPLE = HERE / "static" / "digit.png"


def has_sample(model: "ServedModel") -> bool:
    """Tell whether the sample is an image for a model.

    Args:
        model: The model.

    Returns:
        Whether it is the one that comes with the package.
    """
    return model.files.model.is_relative_to(packaged_models().resolve())
