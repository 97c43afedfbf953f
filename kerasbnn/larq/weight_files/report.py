"""What went from a weight file into a model."""

from dataclasses import dataclass


@dataclass(frozen=True)
class LayerMatch:
    """The weights of one layer.

    Attributes:
        file_layer: Name of the layer in the file; below nested models and layers, the
            names on the way joined by `"/"`. Formats without names have the class in
            snake case with a number, such as `"quant_dense_1"`.
        model_layer: Name of the layer in the model, likewise.
        weights: Names of the weights, as the layer of the model calls them.
        parameters: Number of values.
    """

    file_layer: str
    model_layer: str
    weights: tuple[str, ...]
    parameters: int


@dataclass(frozen=True)
class LoadedWeights:
    """Which layer of a file went to which layer of a model.

    Attributes:
        layers: One entry per layer that has weights, in the order of the model.
        ignored: Parts of the file that are no weights of the model: the state of the
            optimizer and of metrics.

    Example:
        >>> from kerasbnn.larq import LayerMatch, LoadedWeights
        >>> match = LayerMatch("dense_7", "dense", ("kernel", "bias"), 1010)
        >>> print(LoadedWeights((match,), ("optimizer_weights",)))
        dense_7 -> dense: kernel, bias (1,010 values)
        1,010 values in 1 layer; ignored: optimizer_weights
    """

    layers: tuple[LayerMatch, ...]
    ignored: tuple[str, ...] = ()

    @property
    def parameters(self) -> int:
        """Number of values in all layers together."""
        return sum(layer.parameters for layer in self.layers)

    def __str__(self):
        lines = [
            f"{layer.file_layer} -> {layer.model_layer}: {', '.join(layer.weights)} "
            f"({layer.parameters:,} values)"
            for layer in self.layers
        ]
        count = len(self.layers)
        total = f"{self.parameters:,} values in {count} layer{'s' * (count != 1)}"
        if self.ignored:
            total += f"; ignored: {', '.join(self.ignored)}"
        return "\n".join([*lines, total])
