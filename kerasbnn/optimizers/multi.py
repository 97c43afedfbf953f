"""Several optimizers in one model, with a state that survives saving."""

import warnings
from typing import Any

import keras
from keras.optimizers import Optimizer

from kerasbnn._registration import register


@register
class MultiOptimizer(keras.optimizers.MultiOptimizer):
    """Keras' MultiOptimizer, with a state that survives saving.

    Keras chooses the optimizer of a variable by matching patterns with its path. A
    Sequential model's name is part of the paths at first, but not after a reload:
    `"sequential/dense/kernel"` becomes `"dense/kernel"`. A pattern such as
    `".*/dense/kernel"` then matches no more, the variable gets another optimizer, and
    Keras gives up the state of all of them with no more than a warning. This class
    saves which optimizer each variable has and keeps to it. It also writes each state
    to the file once, where Keras does so twice.

    Keras' callbacks `LearningRateScheduler` and `ReduceLROnPlateau` go through all
    optimizers in `.optimizers`; the schedule is asked for each, with its own learning
    rate. On `Bop`, which has none, they have no effect.

    Args:
        optimizer_map: A `keras.optimizers.OptimizerMap`, or a function that takes a
            variable and returns its optimizer, one of a fixed few; to be saved, the
            function must be registered with `keras.saving`.
        loss_scale_factor: As for every Keras optimizer; holds for all of them.
        name: Name of the optimizer.

    Raises:
        ValueError: What the map returns for a variable is not a usable optimizer.

    Example:
        >>> import keras
        >>> from kerasbnn.optimizers import Bop, MultiOptimizer
        >>> optimizers = keras.optimizers.OptimizerMap(keras.optimizers.Adam(0.01))
        >>> optimizers[".*/binary_.*/kernel"] = Bop()
        >>> len(MultiOptimizer(optimizers).optimizers)
        2

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107, section 5 (Bop
        for the binary weights, Adam for the others).
    """

    _optimizer_map: Any
    _saved_assignment: tuple[int, ...] | None

    def __init__(self, optimizer_map, loss_scale_factor=None, name=None):
        super().__init__(optimizer_map, loss_scale_factor, name)
        self._saved_assignment = None

    def build(self, var_list):
        if self.built:
            return
        saved, chooser = self._saved_assignment, self._optimizer_map
        if saved is not None and len(saved) == len(var_list):
            chosen = [self.optimizers[index] for index in saved]
        else:
            chosen = [chooser(variable) for variable in var_list]
        self._check_chosen(chosen, var_list)
        remaining = iter(chosen)
        # Keras' build asks for each variable once, in the order of the list.
        self._optimizer_map = lambda variable: next(remaining)
        try:
            super().build(var_list)
        finally:
            self._optimizer_map = chooser

    def _check_chosen(self, chosen, var_list):
        """Raise if the variables must not be divided up like this."""

    def _assignment(self):
        """Return the index in `optimizers` for each variable, or None before build."""
        if not self.built:
            saved = self._saved_assignment
            return None if saved is None else list(saved)
        return [
            self._var_to_optimizer_idx[self._var_key(variable)]
            for variable in self._trainable_variables
        ]

    def save_own_variables(self, store):
        # Keras saves each of the optimizers too, under their own names.
        for i, variable in enumerate(self._variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store):
        if len(store.keys()) != len(self._variables):
            warnings.warn(
                f"The state of optimizer '{self.name}' is not loaded: the file has "
                f"{len(store.keys())} variables for it, where "
                f"{len(self._variables)} are expected. Training starts with a new one.",
                UserWarning,
                stacklevel=2,
            )
            return
        for i, variable in enumerate(self._variables):
            variable.assign(store[str(i)])

    def get_config(self):
        config = super().get_config()
        if hasattr(self._optimizer_map, "values"):
            config["assignment"] = self._assignment()
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        assignment = config.pop("assignment", None)
        optimizer = super().from_config(config, custom_objects)
        optimizer._saved_assignment = _as_tuple(assignment)
        return optimizer


def _as_tuple(assignment):
    # Keras wraps a list that is an attribute.
    return None if assignment is None else tuple(assignment)


class _Cases:
    """Chooses the optimizer of a variable by predicates; what MultiOptimizer calls."""

    def __init__(self, pairs, default_optimizer):
        self.pairs = pairs
        self.default_optimizer = default_optimizer

    def values(self):
        return [optimizer for _, optimizer in self.pairs]

    def __call__(self, variable):
        claims = [i for i, (claim, _) in enumerate(self.pairs) if claim(variable)]
        if len(claims) > 1:
            raise ValueError(
                f"Variable '{variable.path}' is claimed by the predicates of more than "
                f"one optimizer, those of the pairs {claims}. Make the predicates "
                "exclude each other."
            )
        if claims:
            return self.pairs[claims[0]][1]
        if self.default_optimizer is None:
            raise ValueError(
                f"No optimizer claims the variable '{variable.path}'. Pass "
                "`default_optimizer`, or set `trainable = False` on its layer."
            )
        return self.default_optimizer


@register
class CaseOptimizer(MultiOptimizer):
    """Optimizer that lets predicates say which optimizer trains which variable.

    Each variable goes to the optimizer whose predicate is true for it, or else to the
    default one. A saved model remembers which went where, so predicates need not be
    saved; to be saved before the first training step, they must be registered with
    `keras.saving.register_keras_serializable`, as `Bop.is_binary_variable` is. What
    `MultiOptimizer` says of callbacks holds here too.

    Args:
        *predicate_optimizer_pairs: Pairs `(predicate, optimizer)`; a predicate takes a
            `keras.Variable` and returns a bool.
        default_optimizer: Optimizer of all variables that no predicate claims, or None
            where every variable is claimed.
        loss_scale_factor: As for every Keras optimizer; holds for all of them.
        name: Name of the optimizer.

    Raises:
        TypeError: An argument is not such a pair, or not an optimizer.
        ValueError: When training starts: two predicates claim the same variable, an
            optimizer gets no variable, or a variable no optimizer.

    Example:
        >>> import keras
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.optimizers import Bop, CaseOptimizer
        >>> from kerasbnn.quantizers import NoOp
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     QuantDense(10, kernel_quantizer=NoOp(precision=1)),
        ...     keras.layers.BatchNormalization(),
        ... ])
        >>> optimizer = CaseOptimizer(
        ...     (Bop.is_binary_variable, Bop(threshold=1e-6, gamma=1e-3)),
        ...     default_optimizer=keras.optimizers.Adam(0.01),
        ... )
        >>> model.compile(optimizer, loss="mse")

    Reference:
        Named after the optimizer of the same purpose in Larq.
    """

    def __init__(
        self,
        *predicate_optimizer_pairs,
        default_optimizer=None,
        loss_scale_factor=None,
        name="case_optimizer",
    ):
        pairs = [_checked_pair(pair) for pair in predicate_optimizer_pairs]
        if default_optimizer is not None:
            _check_optimizer("default_optimizer", default_optimizer)
        super().__init__(_Cases(pairs, default_optimizer), loss_scale_factor, name)

    def _check_chosen(self, chosen, var_list):
        for i, (_, optimizer) in enumerate(self._optimizer_map.pairs):
            if not any(optimizer is other for other in chosen):
                paths = ", ".join(variable.path for variable in var_list)
                raise ValueError(
                    f"The optimizer '{optimizer.name}' of pair {i} gets no variable, "
                    f"for its predicate is false for all of them: {paths}. For Bop, "
                    "give the layers `kernel_quantizer=NoOp(precision=1)`."
                )

    def get_config(self):
        cases = self._optimizer_map
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "loss_scale_factor": self.loss_scale_factor,
            "optimizers": [serialize(optimizer) for optimizer in self.optimizers],
            "predicates": [_serialized(predicate) for predicate, _ in cases.pairs],
            "claimants": [self.optimizers.index(o) for o in cases.values()],
            "default": (
                None
                if cases.default_optimizer is None
                else self.optimizers.index(cases.default_optimizer)
            ),
            "assignment": self._assignment(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        def deserialize(item):
            return keras.saving.deserialize_keras_object(
                item, custom_objects=custom_objects
            )

        optimizers = [deserialize(item) for item in config["optimizers"]]
        predicates = [
            _unsaved_predicate if item is None else deserialize(item)
            for item in config["predicates"]
        ]
        claimants = [optimizers[index] for index in config["claimants"]]
        default = config["default"]
        optimizer = cls(
            *zip(predicates, claimants, strict=True),
            default_optimizer=None if default is None else optimizers[default],
            loss_scale_factor=config["loss_scale_factor"],
            name=config["name"],
        )
        optimizer._saved_assignment = _as_tuple(config["assignment"])
        return optimizer


def _checked_pair(pair):
    if not (isinstance(pair, (tuple, list)) and len(pair) == 2 and callable(pair[0])):
        raise TypeError(
            "CaseOptimizer takes pairs of a predicate and an optimizer, such as "
            f"(Bop.is_binary_variable, Bop()). Received: {pair!r}."
        )
    _check_optimizer("the optimizer of a pair", pair[1])
    return tuple(pair)


def _check_optimizer(name, optimizer):
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"{name} must be a Keras optimizer instance, such as "
            f"keras.optimizers.Adam(). Received: {optimizer!r}."
        )


def _serialized(predicate):
    """Return the config of a registered function; None for one that has no name."""
    name = keras.saving.get_registered_name(predicate)
    if keras.saving.get_registered_object(name) is not predicate:
        return None
    return keras.saving.serialize_keras_object(predicate)


def _unsaved_predicate(variable):
    raise ValueError(
        f"The optimizer of the variable '{variable.path}' is not known: the saved "
        "CaseOptimizer had predicates that are not registered, and no variables yet, "
        "or others. Compile the model anew, or register the predicates with "
        "keras.saving.register_keras_serializable before saving."
    )
