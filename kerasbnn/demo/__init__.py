"""The command `kerasbnn demo`: a small binary network, from images to a service."""

from kerasbnn.demo.command import add_arguments, run
from kerasbnn.demo.training import default_epochs, train

__all__ = ["add_arguments", "default_epochs", "run", "train"]
