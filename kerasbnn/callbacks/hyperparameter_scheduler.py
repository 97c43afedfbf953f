"""A schedule for the hyperparameters of optimizers."""

import inspect
import numbers
from typing import Any

import keras
import numpy as np
from keras import ops

from kerasbnn.quantizers.base import plain


class HyperparameterScheduler(keras.callbacks.Callback):
    """Set a hyperparameter of an optimizer by epoch or by training step.

    For any of them, such as `gamma` and `threshold` of `optimizers.Bop`, the learning
    rate, or Adam's `beta_1`, also of one optimizer inside a `CaseOptimizer`. The value
    of each epoch is in the history of `fit`.

    What the optimizer keeps in a variable changes at no cost. Any other number is
    compiled into the training step, which is compiled anew whenever the number changes:
    keep schedules of those to epochs.

    Args:
        schedule: Function of the epoch (from 0) or of the step (the optimizer's
            iterations, from 0), and, if it takes a second argument, of the value so
            far; returns the new value.
        hyperparameter: Name of the optimizer's attribute.
        optimizer: The optimizer; None means that of the model.
        update_freq: `"epoch"` or `"step"`: what the schedule is called with, and when.
        verbose: 1 to print every new value, 0 not to.
        log_name: Name of the value in the history; None means that of the
            hyperparameter.

    Raises:
        TypeError: `schedule` is not callable or, in training, does not return a number.
        ValueError: `update_freq` is unknown or, as training starts, the optimizer lacks
            the attribute.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.callbacks import HyperparameterScheduler
        >>> from kerasbnn.optimizers import Bop
        >>> from kerasbnn.quantizers import NoOp
        >>> model = keras.Sequential([
        ...     keras.Input((4,)),
        ...     QuantDense(2, kernel_quantizer=NoOp(precision=1), use_bias=False),
        ... ])
        >>> model.compile(Bop(gamma=0.5), loss="mse")
        >>> schedule = HyperparameterScheduler(lambda epoch: 0.5 / 2**epoch, "gamma")
        >>> x, y = np.ones((8, 4)), np.ones((8, 2))
        >>> history = model.fit(x, y, epochs=3, callbacks=[schedule], verbose=0)
        >>> history.history["gamma"]
        [0.5, 0.25, 0.125]

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107, section 5.2 (a
        gamma that decays). Named after the callback of the same purpose in Larq.
    """

    def __init__(
        self,
        schedule,
        hyperparameter,
        optimizer=None,
        update_freq="epoch",
        verbose=0,
        log_name=None,
    ):
        super().__init__()
        if not callable(schedule):
            raise TypeError(
                "`schedule` must be a function of the epoch or step. Received: "
                f"{schedule!r}."
            )
        if update_freq not in ("epoch", "step"):
            raise ValueError(
                f"`update_freq` must be 'epoch' or 'step'. Received: {update_freq!r}."
            )
        self.schedule = schedule
        self.hyperparameter = hyperparameter
        self.optimizer: Any = optimizer
        self.update_freq = update_freq
        self.verbose = verbose
        self.log_name = log_name or hyperparameter
        self._takes_value = _takes_two(schedule)

    def set_model(self, model):
        super().set_model(model)
        if self.optimizer is None:
            self.optimizer = model.optimizer
        if not hasattr(self.optimizer, self.hyperparameter):
            # Mixed precision wraps the optimizer in one that scales the loss.
            inner = getattr(self.optimizer, "inner_optimizer", None)
            self.optimizer = inner or self.optimizer
        if not hasattr(self.optimizer, self.hyperparameter):
            advice = ""
            if hasattr(self.optimizer, "optimizers"):
                advice = " Pass the one of its optimizers that is meant as `optimizer`."
            raise ValueError(
                f"The optimizer {type(self.optimizer).__name__} has no attribute "
                f"{self.hyperparameter!r}.{advice}"
            )

    def on_epoch_begin(self, epoch, logs=None):
        if self.update_freq == "epoch":
            self._update(epoch, "Epoch")

    def on_train_batch_begin(self, batch, logs=None):
        if self.update_freq == "step":
            # On JAX, asking for the model brings the variables up to date.
            _ = self.model
            iterations = ops.convert_to_numpy(self.optimizer.iterations)
            self._update(int(iterations), "Step")

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs[self.log_name] = self._value()

    def _value(self):
        """Return the value now: a Python number, or None."""
        value = getattr(self.optimizer, self.hyperparameter)
        if ops.is_tensor(value):
            value = ops.convert_to_numpy(value)
        return plain(value)

    def _update(self, position, unit):
        before = self._value()
        arguments = (position, before) if self._takes_value else (position,)
        after = _number(self.schedule(*arguments), f"{unit.lower()} {position}")
        self._set(before, after)
        if self.verbose > 0:
            print(f"{unit} {position}: {self.log_name} = {self._value():g}")

    def _set(self, before, after):
        held = getattr(self.optimizer, self.hyperparameter)
        is_property = isinstance(
            inspect.getattr_static(self.optimizer, self.hyperparameter), property
        )
        if isinstance(held, keras.Variable) and not is_property:
            held.assign(after)
        elif is_property:
            setattr(self.optimizer, self.hyperparameter, after)
        elif before is None or isinstance(before, numbers.Real):
            if after == before:
                return
            setattr(self.optimizer, self.hyperparameter, after)
            self.model.train_function = None
            self.model.make_train_function()
        else:
            raise TypeError(
                f"The hyperparameter {self.hyperparameter!r} of "
                f"{type(self.optimizer).__name__} is {before!r}, which is no number "
                "and so cannot be scheduled."
            )


def _takes_two(schedule):
    """Tell whether a schedule takes the value so far beside the epoch or step."""
    try:
        inspect.signature(schedule).bind(0, 0.0)
    except TypeError:
        return False
    except ValueError:
        # A builtin that does not tell.
        return False
    return True


def _number(value, position):
    if ops.is_tensor(value) or isinstance(value, keras.Variable):
        value = ops.convert_to_numpy(value)
    value = plain(value) if np.ndim(value) == 0 else value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"The schedule returned {value!r} for {position}. It must return a number."
        )
    return value
