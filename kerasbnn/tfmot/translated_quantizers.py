"""TFMOT's quantizers given to our layers: told by class, without loading TFMOT."""

from kerasbnn.quantizers.foreign import translates
from kerasbnn.tfmot.range_quantizers import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)

PACKAGE = "tensorflow_model_optimization"
_COUNTERPARTS = {
    cls.__name__: cls
    for cls in (AllValuesQuantizer, LastValueQuantizer, MovingAverageQuantizer)
}
# What a subclass would do otherwise than TFMOT's own class.
_METHODS = ("__call__", "build")


@translates(PACKAGE)
def translate(quantizer):
    """Make a quantizer of ours from one of TFMOT's.

    Args:
        quantizer: An instance of TFMOT's `LastValueQuantizer`,
            `MovingAverageQuantizer` or `AllValuesQuantizer`, or of what TFMOT derives
            from them, such as its default for the weights of convolutions; or of
            `NoQuantizer`.

    Returns:
        The quantizer of `kerasbnn.tfmot` of the same name and arguments, not built; or
        None.

    Raises:
        TypeError: It is another quantizer of TFMOT's, or a subclass of the user's own
            that computes something else.
    """
    cls = type(quantizer)
    for base in cls.__mro__:
        is_of_tfmot = base.__module__.partition(".")[0] == PACKAGE
        if not is_of_tfmot and any(name in vars(base) for name in _METHODS):
            raise TypeError(
                f"{cls.__name__} is a subclass of a TFMOT quantizer with a "
                f"`{'` or `'.join(_METHODS)}` of its own, which Keras 3 layers cannot "
                "run. Derive from kerasbnn.quantizers.Quantizer and write it with "
                "keras.ops."
            )
        if is_of_tfmot and base.__name__ == "NoQuantizer":
            return None
        if is_of_tfmot and base.__name__ in _COUNTERPARTS:
            return _COUNTERPARTS[base.__name__](
                num_bits=quantizer.num_bits,
                per_axis=quantizer.per_axis,
                symmetric=quantizer.symmetric,
                narrow_range=quantizer.narrow_range,
            )
    raise TypeError(
        f"TFMOT's {cls.__name__} has no counterpart for Keras 3 layers. Those that "
        f"have one: {', '.join(sorted(_COUNTERPARTS))} (and NoQuantizer, which is "
        "None). For binary and ternary weights see kerasbnn.quantizers."
    )
