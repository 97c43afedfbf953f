"""Ready-made networks, as plain functions that return a `keras.Model`."""

from kerasbnn.applications.binarynet import binarynet_cifar10, binarynet_mnist_mlp

__all__ = ["binarynet_cifar10", "binarynet_mnist_mlp"]
