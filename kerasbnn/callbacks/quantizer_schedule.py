"""A schedule for the parameters of quantizers."""

import math
import numbers

import keras
import numpy as np
from keras import ops

from kerasbnn import quantizers
from kerasbnn._checks import checked_number, suggestion
from kerasbnn._state import TrainingState
from kerasbnn.quantizers.base import plain


class QuantizerSchedule(keras.callbacks.Callback):
    """Set a numeric parameter of quantizers by epoch or by training step.

    Works on every backend, compiled or not: for the length of `fit` the parameter is a
    variable that the compiled step reads. Before and after it is a plain number, at the
    end the last one set. A model saved in between, by `keras.callbacks.ModelCheckpoint`
    for example, has the current value. The value of each epoch is in the history of
    `fit`, and in the log of callbacks that come later in the list.

    The parameters of one's own quantizers can be set too, if they are plain attributes
    that `get_config` returns. `call` then sees a scalar float32 variable:
    `keras.ops.cast(self.alpha, inputs.dtype)` reads it.

    If training is interrupted by an error, the model stays usable with the value it
    has; `restore` makes it a plain number again, as does the next `fit` with a schedule
    for it.

    Args:
        quantizer: Which quantizers: a name such as `"irnet_sign"` or a class for all of
            that kind; an instance, also where several layers share it; or the name of a
            layer's argument, such as `"kernel_quantizer"`, for all that came in by it.
        parameter: Name of the parameter, such as `"temperature"`.
        schedule: Function of the epoch (from 0) or of the step (the optimizer's
            iterations, from 0) that returns the value. A
            `keras.optimizers.schedules.LearningRateSchedule` is one, too.
        on: `"epoch"` or `"step"`: what the schedule is called with, and when.
        layers: Names of layers, or layers, to which to keep; None means all.
        name: Name of the value in the history; None means that of the parameter.

    Raises:
        TypeError: `schedule` is not callable, or, as training starts, returns something
            other than a number.
        ValueError: An argument is unknown or, as training starts, no quantizer of the
            model matches, the parameter is unknown or fixed, or its value out of range.

    Example:
        >>> import keras
        >>> import numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.callbacks import QuantizerSchedule, irnet_temperature
        >>> model = keras.Sequential([
        ...     keras.Input((4,)), QuantDense(2, kernel_quantizer="irnet_sign"),
        ... ])
        >>> model.compile("sgd", loss="mse")
        >>> schedule = QuantizerSchedule(
        ...     "irnet_sign", "temperature", irnet_temperature(epochs=3)
        ... )
        >>> x, y = np.ones((8, 4)), np.ones((8, 2))
        >>> history = model.fit(x, y, epochs=3, callbacks=[schedule], verbose=0)
        >>> [round(t, 6) for t in history.history["temperature"]]
        [0.01, 0.1, 1.0]

    Reference:
        Qin et al., IR-Net, arXiv 1909.10788, section 3.3 (a gradient that changes over
        training).
    """

    def __init__(
        self, quantizer, parameter, schedule, on="epoch", layers=None, name=None
    ):
        super().__init__()
        if on not in ("epoch", "step"):
            raise ValueError(f"`on` must be 'epoch' or 'step'. Received: {on!r}.")
        if not callable(schedule):
            raise TypeError(
                "`schedule` must be a function of the epoch or step, or a "
                f"LearningRateSchedule. Received: {schedule!r}."
            )
        self.quantizer, self._matches = quantizer, _matcher(quantizer)
        self.parameter = parameter
        self.schedule = schedule
        self.on = on
        self.layers = layers
        self.name = name or parameter
        self._targets: list = []
        self._value: ScheduledValue | None = None

    def on_train_begin(self, logs=None):
        self.restore()
        self._targets = self._find(self.model)
        for target in self._targets:
            _check_parameter(target, self.parameter)

    def on_epoch_begin(self, epoch, logs=None):
        if self.on == "epoch":
            self._set(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        if self.on == "step":
            # On JAX, asking for the model brings the variables up to date.
            iterations = self.model.optimizer.iterations
            self._set(int(ops.convert_to_numpy(iterations)))

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and self._value is not None:
            logs[self.name] = self._value.number

    def on_train_end(self, logs=None):
        self.restore()

    def restore(self):
        """Make the parameter a plain number again, the last one set.

        Training does so when it ends; call it after one that an error has ended.
        """
        if self._value is None:
            return
        for target in self._targets:
            if _scheduled(target).get(self.parameter) is self._value:
                _make_plain(target, self.parameter)
        self._value = None
        _forget_compiled_functions(self.model)

    def _set(self, position):
        try:
            number = _number(self.schedule(position), f"{self.on} {position}")
            if self._value is None or number != self._value.number:
                _check_value(self._targets[0], self.parameter, number)
            if self._value is None:
                self._start(number)
            else:
                self._value.set(number)
        except Exception:
            self.restore()
            raise

    def _start(self, number):
        self._value = ScheduledValue(number)
        for target in self._targets:
            if self.parameter in _scheduled(target):
                # Left over from a training that an error has ended.
                _make_plain(target, self.parameter)
            _make_variable(target, self.parameter, self._value)
        _forget_compiled_functions(self.model)
        # Training asks for this one only before it starts.
        self.model.make_train_function()

    def _find(self, model):
        roots = [model] if self.layers is None else self._named_layers(model)
        found = {}
        for root in roots:
            for layer in root._flatten_layers():
                for candidate in self._matches(layer):
                    found[id(candidate)] = candidate
        if not found:
            where = "" if self.layers is None else f" among the layers {self.layers}"
            present = sorted({type(q).__name__ for q in _quantizers_in(model)})
            raise ValueError(
                f"The model has no quantizer that matches {self.quantizer!r}{where}. "
                f"It has these kinds: {', '.join(present) or 'none'}."
            )
        return list(found.values())

    def _named_layers(self, model):
        layers = model._flatten_layers()
        wanted = self.layers or []
        if isinstance(wanted, (str, keras.layers.Layer)):
            wanted = [wanted]
        roots = []
        for name in wanted:
            matching = [layer for layer in layers if name in (layer, layer.name)]
            if not matching:
                known = [layer.name for layer in layers]
                name = getattr(name, "name", name)
                raise ValueError(
                    f"The model has no layer {name!r}.{suggestion(str(name), known)}"
                )
            roots += matching
        return roots


def irnet_temperature(epochs, first=0.01, last=10.0):
    """Return IR-Net's schedule of the temperature of `quantizers.IRNetSign`.

    In epoch `i` it is `first * (last / first)^(i / epochs)`: log-linear, from a
    gradient that reaches all weights to one that is close to that of sign.

    Args:
        epochs: Number of epochs to train for, positive.
        first: Temperature at the start, positive.
        last: Temperature after the last epoch, positive.

    Returns:
        A function of the epoch, for `QuantizerSchedule`.

    Raises:
        TypeError: An argument is not a number.
        ValueError: An argument is not positive.

    Example:
        >>> from kerasbnn.callbacks import irnet_temperature
        >>> temperature = irnet_temperature(epochs=120)
        >>> round(temperature(60), 6)
        0.316228

    Reference:
        Qin et al., IR-Net, arXiv 1909.10788, equation 13, and the code that came with
        it.
    """
    for name, value in {"epochs": epochs, "first": first, "last": last}.items():
        checked_number(name, value, minimum=0, exclusive=True)

    def temperature(epoch):
        return first * (last / first) ** (min(epoch, epochs) / epochs)

    return temperature


class ScheduledValue(TrainingState):
    """The value that quantizers share, as a number and as a variable of the model.

    Args:
        number: The first value, a float.
    """

    def __init__(self, number):
        super().__init__()
        self.number = number
        constant = keras.initializers.Constant(number)
        self.variable = self.add_variable_of("value", initializer=constant)

    def set(self, number):
        """Set the value.

        Args:
            number: The new value, a float.
        """
        self.number = number
        self.variable.assign(number)


def _matcher(quantizer):
    """Return a function that lists what the user means by `quantizer` in one layer."""
    if isinstance(quantizer, str):
        try:
            kind: type = type(quantizers.get(quantizer))
        except ValueError:
            if not quantizer.endswith("_quantizer"):
                raise
            return lambda layer: _layers_only([getattr(layer, quantizer, None)])
        return lambda layer: [layer] if isinstance(layer, kind) else []
    if isinstance(quantizer, type) and issubclass(quantizer, keras.layers.Layer):
        return lambda layer: [layer] if isinstance(layer, quantizer) else []
    if isinstance(quantizer, keras.layers.Layer):
        return lambda layer: [layer] if layer is quantizer else []
    raise TypeError(
        "`quantizer` must be the name of a quantizer or of a layer's argument, a "
        f"quantizer class or an instance. Received: {quantizer!r}. A plain function "
        "has no parameters to set; make it a kerasbnn.quantizers.Quantizer."
    )


def _layers_only(values):
    return [value for value in values if isinstance(value, keras.layers.Layer)]


def _quantizers_in(model):
    layers = model._flatten_layers()
    return [layer for layer in layers if isinstance(layer, quantizers.Quantizer)]


# How many bits a value takes is part of the architecture.
_FIXED = ("k_bit", "num_bits", "precision")


def _parameters(quantizer):
    """Return the numeric parameters of a quantizer that can change while it trains."""
    of_every_layer = keras.layers.Layer().get_config()
    config = quantizer.get_config()
    return [
        name
        for name, value in config.items()
        if name not in (*of_every_layer, *_FIXED)
        and name in vars(quantizer)
        and (value is None or _is_number(value))
    ]


def _is_number(value):
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _check_parameter(quantizer, parameter):
    known = _parameters(quantizer)
    if parameter in known:
        return
    kind = type(quantizer).__name__
    if parameter in _FIXED:
        problem = (
            f"The parameter {parameter!r} of {kind} is fixed when a model is built."
        )
    elif parameter in quantizer.get_config():
        problem = f"The parameter {parameter!r} of {kind} is not a number."
    else:
        problem = (
            f"{kind} has no parameter {parameter!r}.{suggestion(parameter, known)}"
        )
    raise ValueError(
        f"{problem} Parameters that can be set: {', '.join(known) or 'none'}."
    )


def _number(value, position):
    """Return what a schedule has returned as a finite float, or raise."""
    if ops.is_tensor(value) or isinstance(value, keras.Variable):
        value = ops.convert_to_numpy(value)
    number = plain(value) if np.ndim(value) == 0 else value
    if not _is_number(number):
        raise TypeError(
            f"The schedule returned {value!r} for {position}. It must return a number."
        )
    if not math.isfinite(number):
        raise ValueError(
            f"The schedule returned {number} for {position}. It must return a finite "
            "number."
        )
    return float(number)


def _check_value(quantizer, parameter, value):
    """Let the quantizer's own constructor say whether it takes the value."""
    try:
        type(quantizer).from_config({**quantizer.get_config(), parameter: value})
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The schedule of {type(quantizer).__name__}'s parameter {parameter!r} "
            f"returned {value}, which the quantizer refuses: {error}"
        ) from error


def _scheduled(quantizer):
    """Return the parameters of a quantizer that are variables now."""
    return vars(quantizer).get("_scheduled_values", {})


# The attributes go into the instance's dict without Keras' `__setattr__`: that would
# make the variable a weight of the quantizer, to be saved with it.
def _make_variable(quantizer, parameter, value):
    if not _scheduled(quantizer):
        values = vars(quantizer)["_scheduled_values"] = {}
        original = quantizer.get_config

        def get_config():
            # Any quantizer can be saved now, whether or not it knows of variables.
            return {**original(), **{name: v.number for name, v in values.items()}}

        vars(quantizer)["get_config"] = get_config
    _scheduled(quantizer)[parameter] = value
    vars(quantizer)[parameter] = value.variable
    # A sublayer, so that JAX finds the variable. A built layer takes no more of them
    # unless asked to, as Keras' own `enable_lora` does.
    was_locked = quantizer._tracker.locked
    quantizer._tracker.unlock()
    setattr(quantizer, f"_scheduled_{parameter}", value)
    if was_locked:
        quantizer._tracker.lock()


def _make_plain(quantizer, parameter):
    values = _scheduled(quantizer)
    value = values.pop(parameter)
    vars(quantizer)[parameter] = value.number
    quantizer._tracker.untrack(value)
    delattr(quantizer, f"_scheduled_{parameter}")
    if not values:
        del vars(quantizer)["_scheduled_values"], vars(quantizer)["get_config"]


def _forget_compiled_functions(model):
    """Make the model compile anew, as it would go on with what it has seen."""
    model.train_function = model.test_function = model.predict_function = None
