"""Bop: the optimizer that flips binary weights instead of moving latent ones."""

import warnings

import keras
from keras import ops

from kerasbnn._checks import checked_number
from kerasbnn._registration import register
from kerasbnn.quantizers.gradients import sign

Schedule = keras.optimizers.schedules.LearningRateSchedule


@register
def is_binary_variable(variable):
    """Tell whether a variable is a binary weight that has no latent weight behind it.

    Layers mark the kernels whose quantizer is `NoOp(precision=1)`. The kernel of, say,
    `"ste_sign"` is a latent weight and stays unmarked: it is real-valued, and only its
    sign is binary. Mark a variable of your own with `variable.precision = 1`.

    Args:
        variable: A `keras.Variable` of a built layer.

    Returns:
        True for a binary weight, False for any other variable.

    Example:
        >>> import keras
        >>> from kerasbnn.optimizers import is_binary_variable
        >>> is_binary_variable(keras.Variable([1.0]))
        False

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107.
    """
    return getattr(variable, "precision", None) == 1


@register
class Bop(keras.optimizers.Optimizer):
    r"""Binary optimizer: flips weights on the evidence of an average gradient.

    With `g` the gradient of a weight `w`, which is -1 or +1, each step computes

        m <- m + gamma (g - m)
        w <- -w if |m| > threshold and sign(m) = sign(w), else w

    There are no latent weights: `m` is the only state. A high `gamma` adapts fast and
    is noisy, a high `threshold` flips rarely. The forward pass uses `w` as it is, so
    its kernel quantizer is `NoOp(precision=1)`.

    Weights become ±1 when the optimizer is built, at the start of `fit`: by their
    signs, with sign(0) = +1. So an initializer that is symmetric around 0 is a good
    choice, while "zeros" makes all weights +1. Where the first forward pass comes
    before that (a training loop of your own, and on TensorFlow `run_eagerly` or a model
    that `fit` itself must build), call `optimizer.build(model.trainable_variables)`
    first; otherwise the first gradient is that of the real-valued weights.

    Both hyperparameters can be set between steps, as in `optimizer.gamma = 1e-5`, or be
    schedules over the optimizer's steps. Bop has no learning rate: the `learning_rate`
    of every Keras optimizer is there, but without effect, so that Keras' callbacks for
    it can act on another optimizer beside Bop and leave `gamma` alone.

    Compared with Larq's `Bop`, trained weights differ in one case: a weight whose
    average gradient meets the threshold exactly, such as one that has never had a
    gradient at `threshold=0`, stays as it is, as in the paper; Larq makes it +1.

    With `use_ema=True` the weights are the signs of their averages.

    Args:
        threshold: Average gradient that a weight resists, at least 0; a float or a
            `LearningRateSchedule`.
        gamma: Weight of the newest gradient in the average, from 0 to 1; a float or a
            `LearningRateSchedule`.
        name: Name of the optimizer.
        **kwargs: Further arguments of `keras.optimizers.Optimizer`, without
            `learning_rate` and `weight_decay`.

    Raises:
        TypeError: `threshold` or `gamma` is neither a number nor a schedule.
        ValueError: One of them is out of range, or an argument has no meaning here.

    Example:
        >>> import keras
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.optimizers import Bop
        >>> from kerasbnn.quantizers import NoOp
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     QuantDense(10, kernel_quantizer=NoOp(precision=1), use_bias=False),
        ... ])
        >>> model.compile(Bop(threshold=1e-6, gamma=1e-3), loss="mse")

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107, algorithm 1.
    """

    def __init__(self, threshold=1e-8, gamma=1e-4, name="bop", **kwargs):
        for argument in ("learning_rate", "weight_decay"):
            if kwargs.pop(argument, None) is not None:
                raise ValueError(
                    f"Bop has no `{argument}`: it flips weights and never scales them. "
                    "Use `gamma` and `threshold` to control how often."
                )
        super().__init__(learning_rate=1.0, name=name, **kwargs)
        self._gamma = self._hyperparameter("gamma", gamma)
        self._threshold = self._hyperparameter("threshold", threshold)

    is_binary_variable = staticmethod(is_binary_variable)

    def _hyperparameter(self, name, value):
        """Return a schedule as it is, and a number as a variable that steps read."""
        value = _checked(name, value)
        if isinstance(value, Schedule):
            return value
        constant = keras.initializers.Constant(value)
        return self.add_variable(
            shape=(), initializer=constant, dtype="float32", name=name
        )

    def _current(self, value):
        return value(self._iterations) if isinstance(value, Schedule) else value

    @property
    def gamma(self):
        """Weight of the newest gradient in the average, a scalar; settable."""
        return self._current(self._gamma)

    @gamma.setter
    def gamma(self, value):
        _set("gamma", self._gamma, value)

    @property
    def threshold(self):
        """Average gradient that a weight resists, a scalar; settable."""
        return self._current(self._threshold)

    @threshold.setter
    def threshold(self, value):
        _set("threshold", self._threshold, value)

    def build(self, var_list):
        if self.built:
            return
        super().build(var_list)
        (self._momentums,) = self.add_optimizer_variables(var_list, ["momentum"])
        strangers = [v.path for v in var_list if not is_binary_variable(v)]
        if strangers:
            warnings.warn(
                f"Bop makes all variables that it trains -1 or +1, but {strangers} are "
                "not binary weights. Train them with another optimizer: "
                "CaseOptimizer((Bop.is_binary_variable, Bop()), "
                "default_optimizer=keras.optimizers.Adam()). If they are binary, use "
                "the kernel quantizer NoOp(precision=1), or set `variable.precision = "
                "1` on a variable of your own.",
                UserWarning,
                stacklevel=2,
            )
        _binarize_at_once(var_list)

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        gamma = ops.cast(self.gamma, variable.dtype)
        threshold = ops.cast(self.threshold, variable.dtype)
        average = self._momentums[self._get_variable_index(variable)]
        updated = average + gamma * (gradient - average)
        weight = sign(variable)
        # The product has the magnitude of the average, and is positive where the signs
        # agree.
        flips = ops.greater(updated * weight, threshold)
        self.assign(average, updated)
        self.assign(variable, ops.where(flips, -weight, weight))

    def apply(self, grads, trainable_variables=None):
        super().apply(grads, trainable_variables)
        if self.use_ema and self.ema_overwrite_frequency:
            for variable in self._trainable_variables:
                variable.assign(sign(variable))

    def finalize_variable_values(self, var_list):
        super().finalize_variable_values(var_list)
        if self.use_ema:
            for variable in var_list:
                variable.assign(sign(variable))

    def get_config(self):
        config = super().get_config()
        del config["learning_rate"], config["weight_decay"]
        return {
            **config,
            "threshold": _serialized(self._threshold),
            "gamma": _serialized(self._gamma),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        for name in ("gamma", "threshold"):
            if isinstance(config.get(name), dict):
                config[name] = keras.optimizers.schedules.deserialize(
                    config[name], custom_objects=custom_objects
                )
        return cls(**config)


def _checked(name, value):
    if isinstance(value, Schedule):
        return value
    try:
        checked_number(name, value, minimum=0)
    except TypeError as error:
        raise TypeError(
            f"`{name}` must be a number or a keras.optimizers.schedules."
            f"LearningRateSchedule. Received: {value!r}."
        ) from error
    if name == "gamma" and value > 1:
        raise ValueError(f"`gamma` must be at most 1. Received: {value!r}.")
    return float(value)


def _set(name, variable, value):
    value = _checked(name, value)
    if isinstance(value, Schedule) or isinstance(variable, Schedule):
        raise TypeError(
            f"`{name}` can be given a schedule only when the optimizer is made, and a "
            "schedule cannot be replaced later. Make a new Bop."
        )
    variable.assign(value)


def _serialized(value):
    if isinstance(value, Schedule):
        return keras.optimizers.schedules.serialize(value)
    return float(ops.convert_to_numpy(value))


def _binarize_at_once(variables):
    """Make values ±1 now, also while TensorFlow traces its first training step."""
    if keras.backend.backend() != "tensorflow":
        for variable in variables:
            variable.assign(sign(variable))
        return
    import tensorflow as tf

    with tf.init_scope():
        for variable in variables:
            # A model that the same trace has built gets its values after it.
            if variable.value.is_initialized():
                variable.assign(sign(variable))
