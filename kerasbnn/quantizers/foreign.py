"""Quantizers of other libraries, which stand for quantizers of kerasbnn."""

from collections.abc import Callable
from typing import Any

_translators: dict[str, Callable[[Any], Any]] = {}


def translates(package: str):
    """Declare a function that translates the objects of another library.

    Args:
        package: Name of the library's top-level package.

    Returns:
        A decorator for a function that maps a quantizer of that library to one of ours,
        or to None for one that does nothing. It need not import the library.

    Example:
        >>> from kerasbnn import quantizers
        >>> from kerasbnn.quantizers.foreign import translates
        >>> @translates("statistics")
        ... def clip_of_deviation(distribution):
        ...     return quantizers.SteSign(clip_value=distribution.stdev)
        >>> from statistics import NormalDist
        >>> quantizers.foreign.translated(NormalDist(0, 2)).clip_value
        2.0
    """

    def declare(function):
        _translators[package] = function
        return function

    return declare


def translated(identifier):
    """Translate a quantizer of another library.

    Args:
        identifier: Any object.

    Returns:
        The quantizer that it stands for; the object itself where its class comes from
        no library that is known.

    Raises:
        TypeError: The library is known, but has this quantizer no counterpart.

    Example:
        >>> from kerasbnn.quantizers.foreign import translated
        >>> translated(len) is len
        True
    """
    for cls in type(identifier).__mro__:
        translate = _translators.get(cls.__module__.partition(".")[0])
        if translate is not None:
            return translate(identifier)
    return identifier
