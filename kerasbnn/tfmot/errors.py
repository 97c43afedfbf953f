"""The error of what has no counterpart in Keras 3."""


class TranslationError(ValueError):
    """Part of a model of tf_keras cannot be had in Keras 3; says which, and what to do.

    Example:
        >>> from kerasbnn.tfmot.errors import TranslationError
        >>> issubclass(TranslationError, ValueError)
        True
    """
