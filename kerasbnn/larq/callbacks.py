"""The callback that sets a hyperparameter of an optimizer by epoch or step."""

from kerasbnn.callbacks import HyperparameterScheduler

__all__ = ["HyperparameterScheduler"]
