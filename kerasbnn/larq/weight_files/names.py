"""Names that Keras makes up for layers: the class in snake case, and a number."""

import re

# What a class is called in tf_keras' names, where it is another in Keras 3.
_SAME_CLASS = {
    "model": "functional",
    "syncbatchnormalization": "batchnormalization",
}


def class_base(name: str) -> str:
    """Return one name for what is one class in files and in models.

    tf_keras and Keras 3 put the underscores of unusual names in other places, so that
    they do not count.

    Args:
        name: Name of a class, or its snake case.

    Returns:
        Letters and digits.

    Example:
        >>> from kerasbnn.larq.weight_files.names import class_base
        >>> class_base("QuantConv2D"), class_base("quant_conv2d"), class_base("Model")
        ('quantconv2d', 'quantconv2d', 'functional')
    """
    base = re.sub(r"[\W_]+", "", name).lower()
    return _SAME_CLASS.get(base, base)


def split_number(name: str) -> tuple[str, int]:
    """Split a name as Keras makes it up.

    Args:
        name: Such as `"quant_dense_10"`; without a number it counts as 0.

    Returns:
        What is before the number, and the number.

    Example:
        >>> from kerasbnn.larq.weight_files.names import split_number
        >>> split_number("quant_dense_10"), split_number("conv2d")
        (('quant_dense', 10), ('conv2d', 0))
    """
    numbered = re.fullmatch(r"(.+)_(\d+)", name)
    return (numbered[1], int(numbered[2])) if numbered else (name, 0)
