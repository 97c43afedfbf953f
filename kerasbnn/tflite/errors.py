"""Errors of a conversion."""


class ConversionError(ValueError):
    """A model cannot be converted, or the file would compute something else.

    No file is left.

    Args:
        message: What happened, what was expected and how to fix it.
        layer: Path of the layer that it is about, or None.

    Attributes:
        layer: Path of the layer that it is about, or None.

    Example:
        >>> from kerasbnn.tflite import ConversionError
        >>> ConversionError("Layer 'head' differs.", "head").layer
        'head'
    """

    def __init__(self, message: str, layer: str | None = None):
        super().__init__(message)
        self.layer = layer
