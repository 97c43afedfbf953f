"""How many quantized weights change from one training step to the next."""

import contextlib
from contextvars import ContextVar

import keras
from keras import ops

from kerasbnn._registration import register


class FlipState(keras.layers.Layer):
    """The counters of a flip ratio, as variables that any backend's `fit` carries along.

    JAX hands only layers' variables, not those of metrics, through the forward pass.
    They are counters rather than weights, so they are not written to files.

    Args:
        shape: Shape of the tracked values.
        values_dtype: Dtype to compare them in.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, shape, values_dtype, **kwargs):
        super().__init__(**kwargs)
        self.previous = self._counter(shape, values_dtype, "previous_values")
        self.has_previous = self._counter((), "bool", "has_previous")
        self.total = self._counter((), "float32", "total")
        self.count = self._counter((), "float32", "count")
        self.built = True

    def _counter(self, shape, dtype, name):
        return self.add_weight(
            shape=tuple(shape), dtype=dtype, initializer="zeros", trainable=False, name=name
        )

    def call(self, inputs):
        return inputs

    def save_own_variables(self, store):
        pass

    def load_own_variables(self, store):
        pass


@register
class FlipRatio(keras.metrics.Metric):
    """Mean fraction of values that changed from one update to the next.

    A layer with `metrics=["flip_ratio"]` keeps one for its quantized kernel; it is in
    the history of `fit` as `"<layer name>_flip_ratio"`. A ratio that falls towards 0
    says that training has settled; one near 0 from the start, that latent weights are
    too large or the learning rate too low for signs to change.

    On JAX the value is known at the end of each epoch only: the progress bar shows NaN
    before that.

    Args:
        values_dtype: Dtype to compare values in.
        name: Name of the metric.
        dtype: Dtype of the result.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.metrics import FlipRatio
        >>> metric = FlipRatio()
        >>> for signs in ([1, 1, 1, 1], [1, 1, -1, -1], [1, 1, -1, -1]):
        ...     metric.update_state(np.array(signs))
        >>> float(metric.result())
        0.25

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107 (flips per update).
    """

    def __init__(self, values_dtype="int8", name="flip_ratio", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.values_dtype = keras.backend.standardize_dtype(values_dtype)
        self.state = None

    def build(self, shape):
        """Make the counters.

        Args:
            shape: Shape of the values to come.

        Returns:
            The layer that holds the counters, for an owner to track.
        """
        self.state = FlipState(shape, self.values_dtype)
        return self.state

    def update_state(self, values, sample_weight=None):
        """Count the values that differ from those of the last update.

        Args:
            values: Array or tensor, of one shape in all updates.
            sample_weight: Not used: every value counts the same.
        """
        values = ops.cast(ops.stop_gradient(ops.convert_to_tensor(values)), self.values_dtype)
        if self.state is None:
            self.build(values.shape)
        state = self.state
        changed = ops.mean(ops.cast(ops.not_equal(state.previous, values), "float32"))
        counts = ops.cast(state.has_previous, "float32")
        state.total.assign_add(changed * counts)
        state.count.assign_add(counts)
        state.has_previous.assign(True)
        state.previous.assign(values)

    def result(self):
        """Return the mean ratio since the last reset, a scalar from 0 to 1.

        Returns:
            Scalar tensor: 0 as long as fewer than two updates were seen.
        """
        if self.state is None:
            return ops.zeros(())
        if _value_is_away(self.state.total):
            return ops.full((), float("nan"))
        return ops.divide_no_nan(self.state.total, self.state.count)

    def reset_state(self):
        """Forget the ratios seen so far, but keep the values to compare with."""
        if self.state is not None:
            self.state.total.assign(0.0)
            self.state.count.assign(0.0)

    def get_config(self):
        return {"name": self.name, "dtype": self.dtype, "values_dtype": self.values_dtype}


def _value_is_away(variable):
    """Tell whether JAX's `fit` has taken the value out for the length of an epoch."""
    if keras.backend.backend() != "jax":
        return False
    scope = keras.src.backend.common.stateless_scope.get_stateless_scope()
    return scope is not None and scope.get_current_value(variable) is None


_scope: ContextVar[tuple[str, ...]] = ContextVar("metrics_scope", default=())


@contextlib.contextmanager
def metrics_scope(metrics=()):
    """Give every quantized layer made inside the scope these metrics.

    Args:
        metrics: Names of metrics; `"flip_ratio"` is the only one.

    Example:
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.metrics import metrics_scope
        >>> with metrics_scope(["flip_ratio"]):
        ...     layer = QuantDense(4, kernel_quantizer="ste_sign", name="head")

    Reference:
        Named after the scope of the same purpose in Larq.
    """
    token = _scope.set(tuple(metrics))
    try:
        yield
    finally:
        _scope.reset(token)


def metrics_in_scope():
    """Return the names that the innermost `metrics_scope` asks for."""
    return _scope.get()
