"""Variables that belong to training rather than to the model."""

import keras


class TrainingState(keras.layers.Layer):
    """A layer whose variables training carries along, but which are no weights.

    JAX hands only the variables of layers through a compiled forward pass, not those
    of metrics or callbacks. Those of this layer are in the `variables` of the model,
    but neither in its `weights`, as `get_weights` and `count_params` see them, nor in
    files.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.built = True

    @property
    def weights(self):
        """No weights: an empty list."""
        return []

    def add_variable_of(self, name, shape=(), dtype="float32", initializer="zeros"):
        """Add a variable that keeps its dtype under mixed precision.

        Args:
            name: Name of the variable.
            shape: Its shape.
            dtype: Its dtype.
            initializer: Initializer of its value.

        Returns:
            A `keras.Variable`.
        """
        return self.add_weight(
            shape=tuple(shape),
            dtype=dtype,
            initializer=initializer,
            trainable=False,
            autocast=False,
            name=name,
        )

    def call(self, inputs):
        return inputs

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass
