"""Small helpers that code around Larq uses."""

import contextlib

import keras

__all__ = [
    "memory_as_readable_str",
    "patch_object",
    "register_alias",
    "register_keras_custom_object",
    "set_precision",
]


def memory_as_readable_str(num_bits):
    """Write a number of bits as bytes with a binary unit.

    Args:
        num_bits: Number of bits, from 0 on.

    Returns:
        Text with two decimals and one of the units B, KiB, MiB and GiB.

    Example:
        >>> from kerasbnn.larq.utils import memory_as_readable_str
        >>> memory_as_readable_str(8 * 1536)
        '1.50 KiB'
    """
    size = num_bits / 8
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:,.2f} {unit}"
        size /= 1024
    return f"{size:,.2f} GiB"


def register_keras_custom_object(cls):
    """Make a class or function known to Keras under its own name.

    Args:
        cls: The class or function.

    Returns:
        The same, so that this is a decorator.

    Example:
        >>> from kerasbnn.larq import quantizers, utils
        >>> @utils.register_keras_custom_object
        ... class Identity(quantizers.Quantizer):
        ...     def call(self, inputs):
        ...         return inputs
        >>> type(quantizers.get("Identity")).__name__
        'Identity'
    """
    return register_alias(cls.__name__)(cls)


def register_alias(name):
    """Make a class or function known to Keras under a name.

    Args:
        name: The name.

    Returns:
        A decorator.

    Example:
        >>> from kerasbnn.larq import quantizers, utils
        >>> @utils.register_alias("same")
        ... class Identity(quantizers.Quantizer):
        ...     def call(self, inputs):
        ...         return inputs
        >>> type(quantizers.get("same")).__name__
        'Identity'
    """

    def decorate(cls):
        keras.saving.get_custom_objects()[name] = cls
        return cls

    return decorate


def set_precision(precision=32):
    """Say how many bits the values of a quantizer function take.

    Args:
        precision: Number of bits.

    Returns:
        A decorator, which sets the attribute `precision`.

    Example:
        >>> from kerasbnn.larq import math, utils
        >>> @utils.set_precision(1)
        ... def signs(x):
        ...     return math.sign(x)
        >>> signs.precision
        1
    """

    def decorate(function):
        function.precision = precision
        return function

    return decorate


@contextlib.contextmanager
def patch_object(object, name, value):
    """Give an attribute another value for a while.

    Args:
        object: Where the attribute is.
        name: Its name.
        value: Its value inside the scope.

    Example:
        >>> import types
        >>> from kerasbnn.larq.utils import patch_object
        >>> box = types.SimpleNamespace(size=1)
        >>> with patch_object(box, "size", 2):
        ...     box.size
        2
        >>> box.size
        1
    """
    before = getattr(object, name)
    setattr(object, name, value)
    try:
        yield
    finally:
        setattr(object, name, before)
