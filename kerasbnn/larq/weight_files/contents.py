"""What a weight file holds, whatever its format."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

# Where tf_keras keeps the state of training, and Larq what its metrics count.
TRAINING_STATE = frozenset({"flip_ratio", "metrics", "optimizer", "optimizer_weights"})


@dataclass(frozen=True)
class StoredWeight:
    """One array.

    Attributes:
        name: Name of the variable without its layer, such as `"kernel"`; None where
            the format tells only the order of the variables.
        value: The array.
    """

    name: str | None
    value: np.ndarray


@dataclass
class StoredLayer:
    """A layer, or the model as a whole.

    Attributes:
        path: Name to tell a user, unique in the file.
        names: Names of the layer and of the layers between it and the one that holds
            it here; None where the format tells only classes.
        base: Class in snake case, where it is known.
        position: Place in the order of the model's layers, where that is known.
        number: Place among the layers of the same class, where that is known.
        weights: Arrays of the layer itself, without those of its layers.
        layers: Layers in it.
        attributes: Layers in it, or lists of them, by the attribute that holds them;
            instead of `layers`, in the formats that tell attributes.
        is_flat: Whether `layers` are all that have weights, at any depth.
    """

    path: str
    names: tuple[str, ...] | None = None
    base: str | None = None
    position: int | None = None
    number: int | None = None
    weights: list[StoredWeight] = field(default_factory=list)
    layers: list["StoredLayer"] = field(default_factory=list)
    attributes: dict[str, "StoredLayer | list[StoredLayer]"] = field(
        default_factory=dict
    )
    is_flat: bool = False

    def below(self) -> Iterator["StoredLayer"]:
        """Yield the layer and all in it."""
        yield self
        for layer in self.layers:
            yield from layer.below()
        for found in self.attributes.values():
            for layer in found if isinstance(found, list) else [found]:
                yield from layer.below()

    @property
    def has_weights(self) -> bool:
        """Whether the layer or one in it has weights."""
        return any(layer.weights for layer in self.below())


@dataclass(frozen=True)
class FileContents:
    """A file as a whole.

    Attributes:
        root: The model.
        ignored: Parts of the file that are no weights of the model, such as the
            state of the optimizer.
    """

    root: StoredLayer
    ignored: tuple[str, ...] = ()


class UnusableFile(ValueError):
    """The file does not hold what its format asks for."""


def read_array(dataset) -> np.ndarray:
    """Read an array of numbers.

    Args:
        dataset: `h5py.Dataset`.

    Returns:
        The array.

    Raises:
        UnusableFile: It holds something else.
    """
    value = np.asarray(dataset)
    if value.dtype.kind not in "fiub":
        raise UnusableFile(
            f"'{dataset.name}' in it has the dtype {value.dtype}, but weights are "
            "numbers."
        )
    return value
