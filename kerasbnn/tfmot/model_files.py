"""Reading models of tf_keras that TFMOT has quantized, from files.

Importing this module imports tensorflow-model-optimization.
"""

import contextlib
import os
from typing import Any

from kerasbnn.tfmot.annotating import WeightClip
from kerasbnn.tfmot.loading import load

tfmot, tf_keras, tf = load()


def load_model(path: str | os.PathLike) -> Any:
    """Load a model of tf_keras that was quantized with TFMOT.

    It reads `.h5`, folders of SavedModel, and `.keras`, which TFMOT 0.8.1 itself
    writes but cannot read.

    Args:
        path: What `model.save` of tf_keras wrote.

    Returns:
        The model of tf_keras, not compiled.

    Raises:
        OSError: There is no such file.
        ValueError: It holds no such model.

    Example:
        >>> from kerasbnn.tfmot import load_model
        >>> import tensorflow_model_optimization as tfmot, tf_keras
        >>> dense = tf_keras.layers.Dense(2, input_shape=(3,), name="head")
        >>> model = tf_keras.Sequential([dense])
        >>> tfmot.quantization.keras.quantize_model(model).save("trained.keras")
        >>> [layer.name for layer in load_model("trained.keras").layers]
        ['quantize_layer', 'quant_head']
    """
    # In HDF5 a constraint has its name only, without that of the package.
    scope = tfmot.quantization.keras.quantize_scope({"WeightClip": WeightClip})
    with scope, _last_variables():
        return tf_keras.models.load_model(path, compile=False)


@contextlib.contextmanager
def _last_variables():
    """Let TFMOT's layers take the variables of a `.keras` file that they compute with.

    How many they have depends on whether they were made from annotated layers or from
    a config: weights are then listed twice, or variables of an earlier build are still
    there. Those in use are always the last.
    """
    find = tf_keras.saving.get_registered_object
    with contextlib.ExitStack() as stack:
        for cls in (find("QuantizeWrapper"), find("QuantizeLayer")):
            had = vars(cls).get("load_own_variables")
            cls.load_own_variables = _load_last
            stack.callback(_restore, cls, had)
        yield


def _restore(cls, had):
    if had is None:
        del cls.load_own_variables
    else:
        cls.load_own_variables = had


def _load_last(layer, store):
    variables = layer._trainable_weights + layer._non_trainable_weights
    values = [store[str(number)] for number in range(len(store))]
    count = min(len(variables), len(values))
    for variable, value in zip(variables[-count:], values[-count:], strict=True):
        if tuple(variable.shape) != tuple(value.shape):
            raise ValueError(
                f"The variable '{variable.name}' of layer '{layer.name}' has the shape "
                f"{tuple(variable.shape)}, but the file has {tuple(value.shape)}."
            )
        variable.assign(value)
