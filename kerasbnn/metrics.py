"""How many quantized weights change from one training step to the next."""

import contextlib
import weakref
from contextvars import ContextVar

import keras
from keras import ops

from kerasbnn._registration import register
from kerasbnn._state import TrainingState

try:
    # Keras has no public way to tell one call of a model from the next, or whether JAX
    # computes with values that are not in the variables. Another Keras may have other
    # private modules: then each call of a layer counts by itself.
    from keras.src.backend.common.global_state import get_global_attribute
except ImportError:

    def get_global_attribute(name):
        """Return nothing."""


class FlipState(TrainingState):
    """The counters of a flip ratio.

    Args:
        shape: Shape of the tracked values.
        values_dtype: Dtype to compare them in.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, shape, values_dtype, **kwargs):
        super().__init__(**kwargs)
        self.previous = self.add_variable_of("previous_values", shape, values_dtype)
        self.has_previous = self.add_variable_of("has_previous", dtype="bool")
        self.total = self.add_variable_of("total")
        self.count = self.add_variable_of("count")

    def load_own_variables(self, store):
        # Weights that come from a file have not flipped.
        self.has_previous.assign(False)


@register
class FlipRatio(keras.metrics.Metric):
    """Mean fraction of values that changed from one update to the next.

    A layer with `metrics=["flip_ratio"]` keeps one for its quantized kernel; it is in
    the history of `fit` as `"<layer name>_flip_ratio"`. A ratio that falls towards 0
    says that training has settled; one near 0 from the start, that latent weights are
    too large or the learning rate too low for signs to change.

    What counts, in a layer:

    - Each training step sees the flips of the update before it. So the first epoch of
      `n` steps averages `n - 1` ratios, every later one `n`, the first of which is
      due to the last update of the epoch before. (Larq drops the first after each
      reset.) Evaluation and prediction count nothing: `val_..._flip_ratio` is 0.
    - The signs of a binary kernel, not a scale that moves with them; the levels of
      other kernels.
    - One forward pass of the model, even if it calls the layer several times. A
      training loop that calls the model twice in a step halves the ratio; so do
      gradients that are accumulated over two steps.

    On JAX the value is known at the end of each epoch only: the progress bar shows NaN
    before that, and `train_on_batch` returns NaN; ask
    `layer.flip_ratios["kernel"].result()` after it.

    The counters are no weights: `get_weights` and files do not have them, and weights
    load into a model with other metrics. Loaded weights do not count as flips.

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
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107 (flips per
        update).
    """

    def __init__(self, values_dtype="int8", name="flip_ratio", dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.values_dtype = keras.backend.standardize_dtype(values_dtype)
        self.state: FlipState | None = None
        self._last_call = None

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

        Raises:
            ValueError: The values have another shape than those before.
        """
        del sample_weight
        values = ops.stop_gradient(ops.convert_to_tensor(values))
        values = ops.cast(values, self.values_dtype)
        state = self.build(values.shape) if self.state is None else self.state
        if tuple(values.shape) != tuple(state.previous.shape):
            raise ValueError(
                f"The values of '{self.name}' must keep their shape "
                f"{tuple(state.previous.shape)}. Received: {tuple(values.shape)}."
            )
        if self._has_seen_this_call():
            return
        changed = ops.mean(ops.cast(ops.not_equal(state.previous, values), "float32"))
        counts = ops.cast(state.has_previous, "float32")
        state.total.assign_add(changed * counts)
        state.count.assign_add(counts)
        state.has_previous.assign(True)
        state.previous.assign(values)

    def _has_seen_this_call(self):
        """Tell whether the call of the model in progress has updated this already."""
        # JAX computes the whole model in one stateless scope, without a call around it.
        scope = get_global_attribute("stateless_scope")
        call = scope or get_global_attribute("current_call_ctx")
        if call is None:
            return False
        if self._last_call is not None and self._last_call() is call:
            return True
        self._last_call = weakref.ref(call)
        return False

    def result(self):
        """Return the mean ratio since the last reset, a scalar from 0 to 1.

        Returns:
            Scalar tensor: 0 as long as there is nothing to compare, NaN where JAX's
            `fit` keeps the value to itself.
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
        return {
            "name": self.name,
            "dtype": self.dtype,
            "values_dtype": self.values_dtype,
        }


def _value_is_away(variable):
    """Tell whether a compiled step on JAX has the value in its hands just now."""
    scope = get_global_attribute("stateless_scope")
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
        ...     layer = QuantDense(4, kernel_quantizer="irnet_sign", name="head")

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
