"""Larq's optimizers: Bop, and one that divides the variables among others."""

import warnings

import keras
from keras import ops

from kerasbnn import optimizers
from kerasbnn.larq.registration import register
from kerasbnn.quantizers.gradients import sign

__all__ = ["Bop", "CaseOptimizer"]


@register
class Bop(optimizers.Bop):
    r"""Binary optimizer that flips weights on the evidence of an average gradient.

    With `g` the gradient of a weight `w`, each step computes

        m <- m + gamma (g - m)
        w <- sign(-sgn(w m - threshold) w)

    where sgn(0) = 0 and sign(0) = +1. It differs from `kerasbnn.optimizers.Bop` as
    Larq's code differs from the paper: weights stay real-valued until the first step,
    one whose average gradient meets the threshold exactly becomes +1, and a variable
    that is not binary brings no warning.

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
        >>> import kerasbnn.larq as lq
        >>> binary = lq.quantizers.NoOp(precision=1)
        >>> model = keras.Sequential([
        ...     keras.Input((64,)),
        ...     lq.layers.QuantDense(10, kernel_quantizer=binary, use_bias=False),
        ... ])
        >>> model.compile(lq.optimizers.Bop(threshold=1e-6, gamma=1e-3), loss="mse")

    Reference:
        Helwegen et al., Latent Weights Do Not Exist, arXiv 1906.02107, algorithm 1.
    """

    def __init__(self, threshold=1e-8, gamma=1e-4, name="Bop", **kwargs):
        super().__init__(threshold=threshold, gamma=gamma, name=name, **kwargs)

    def build(self, var_list):
        if self.built:
            return
        # Past Bop's own, which makes the weights ±1.
        keras.optimizers.Optimizer.build(self, var_list)
        (self._momentums,) = self.add_optimizer_variables(var_list, ["momentum"])

    def update_step(self, gradient, variable, learning_rate):
        gradient = ops.cast(gradient, variable.dtype)
        gamma = ops.cast(self.gamma, variable.dtype)
        threshold = ops.cast(self.threshold, variable.dtype)
        average = self._momentums[self._get_variable_index(variable)]
        updated = average + gamma * (gradient - average)
        self.assign(average, updated)
        flips = ops.sign(variable * updated - threshold)
        self.assign(variable, sign(-flips * variable))


@register
class CaseOptimizer(optimizers.CaseOptimizer):
    """Optimizer that lets predicates say which optimizer trains which variable.

    As `kerasbnn.optimizers.CaseOptimizer`, but a variable that no predicate claims and
    for which there is no default optimizer is left untrained, with a warning.

    Args:
        *predicate_optimizer_pairs: Pairs `(predicate, optimizer)`; a predicate takes a
            `keras.Variable` and returns a bool.
        default_optimizer: Optimizer of all variables that no predicate claims, or None.
        name: Name of the optimizer.
        loss_scale_factor: As for every Keras optimizer; holds for all of them.

    Raises:
        TypeError: An argument is not such a pair, or not an optimizer.
        ValueError: When training starts: two predicates claim the same variable, or an
            optimizer gets none.

    Example:
        >>> import keras
        >>> import kerasbnn.larq as lq
        >>> optimizer = lq.optimizers.CaseOptimizer(
        ...     (lq.optimizers.Bop.is_binary_variable, lq.optimizers.Bop()),
        ...     default_optimizer=keras.optimizers.Adam(0.01),
        ... )
        >>> len(optimizer.optimizers)
        2

    Reference:
        Named after the optimizer of the same purpose in Larq.
    """

    def __init__(
        self,
        *predicate_optimizer_pairs,
        default_optimizer=None,
        name="optimizer_case",
        loss_scale_factor=None,
    ):
        super().__init__(
            *predicate_optimizer_pairs,
            default_optimizer=default_optimizer or Untrained(),
            loss_scale_factor=loss_scale_factor,
            name=name,
        )

    @property
    def pred_opt_pairs(self):
        """The pairs of a predicate and an optimizer, a tuple."""
        return tuple(self._optimizer_map.pairs)

    @property
    def default(self):
        """The optimizer of variables that no predicate claims, or None."""
        default = self._optimizer_map.default_optimizer
        return None if isinstance(default, Untrained) else default

    @property
    def weights(self):
        """The variables of all optimizers, a list."""
        return self.variables

    @property
    def var_opt_mapping(self):
        """Paths of variables with the index of their optimizer; None before training.

        Those that are not trained are left out.
        """
        assignment = self._assignment()
        if not self.built or assignment is None:
            return None
        pairs = zip(self._trainable_variables, assignment, strict=True)
        return {
            variable.path: index
            for variable, index in pairs
            if not isinstance(self.optimizers[index], Untrained)
        }

    def _check_chosen(self, chosen, var_list):
        super()._check_chosen(chosen, var_list)
        for optimizer, variable in zip(chosen, var_list, strict=True):
            if isinstance(optimizer, Untrained):
                warnings.warn(
                    f"The variable '{variable.path}' is not trained: no optimizer "
                    "claims it. Pass `default_optimizer`, or set `trainable = False` "
                    "on its layer.",
                    UserWarning,
                    stacklevel=2,
                )


@register
class Untrained(keras.optimizers.Optimizer):
    """The optimizer of variables that stay as they are.

    Args:
        name: Name of the optimizer.
        **kwargs: Arguments of `keras.optimizers.Optimizer`, without effect.

    Example:
        >>> import keras
        >>> from kerasbnn.larq.optimizers import Untrained
        >>> variable = keras.Variable([1.0])
        >>> Untrained().apply([keras.ops.ones(1)], [variable])
        >>> variable.numpy().tolist()
        [1.0]
    """

    def __init__(self, name="untrained", **kwargs):
        kwargs.pop("learning_rate", None)
        super().__init__(learning_rate=0.0, name=name, **kwargs)

    def update_step(self, gradient, variable, learning_rate):
        pass
