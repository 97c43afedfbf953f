"""What the reference inputs of a model look like in one layer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kerasbnn.probing.description import decode_floats, encode_floats
from kerasbnn.probing.figures import FIGURES
from kerasbnn.probing.packing import rounded


@dataclass(frozen=True)
class Figure:
    """A figure over all inputs, and how it varies from block to block.

    Attributes:
        value: Over all inputs.
        block_mean: Mean over the blocks of what each one has by itself. It differs from
            `value` where few samples bias the figure.
        block_sd: Standard deviation over the blocks.
    """

    value: float | None
    block_mean: float | None = None
    block_sd: float | None = None


@dataclass(frozen=True, eq=False)
class LayerReference:
    """What the reference inputs look like in one layer.

    Attributes:
        figures: The figures of `kerasbnn.probing.figures.FIGURES`, by name.
        channel_means: Mean of each channel of the layer's inputs, float32.
        channel_sds: Their standard deviations.
        block_shift: Distance of the channels' means of a block from `channel_means`,
            in standard deviations: root mean square over channels and blocks.
    """

    figures: dict[str, Figure]
    channel_means: NDArray[np.float32]
    channel_sds: NDArray[np.float32]
    block_shift: float | None

    def shift(self, means: NDArray[Any]) -> float | None:
        """Return how far the means of the channels have moved.

        Args:
            means: Means of the same channels over other inputs.

        Returns:
            Root of the mean squared distance, over the root of the channels' mean
            variance; None where the channels do not vary.
        """
        return shift_of(means, self.channel_means, self.channel_sds)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; figures as `[value, block_mean, block_sd]`."""
        return {
            "figures": {
                name: [rounded(f.value), rounded(f.block_mean), rounded(f.block_sd)]
                for name, f in self.figures.items()
                if f.value is not None
            },
            "channel_means": encode_floats(self.channel_means),
            "channel_sds": encode_floats(self.channel_sds),
            "block_shift": rounded(self.block_shift),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "LayerReference":
        """Make an instance from what `to_dict` has returned.

        Args:
            values: The dict.

        Returns:
            The instance.

        Raises:
            KeyError: An entry is missing.
            TypeError: An entry has a wrong type.
            ValueError: An entry has a wrong size or value.
        """
        figures = {
            name: Figure(*map(_number, values["figures"].get(name, (None,))))
            for name in FIGURES
        }
        shift = _number(values["block_shift"])
        spreads = [shift, *(figure.block_sd for figure in figures.values())]
        means, sds = (
            decode_floats(values[name]) for name in ("channel_means", "channel_sds")
        )
        if len(means) != len(sds) or not np.isfinite([means, sds]).all():
            raise ValueError("means and deviations of channels do not fit each other")
        if (sds < 0).any() or min(spread or 0.0 for spread in spreads) < 0:
            raise ValueError("a deviation is negative")
        return cls(figures, means, sds, shift)


def shift_of(
    means: NDArray[Any], center: NDArray[Any], sds: NDArray[Any]
) -> float | None:
    """Return how far means of channels are from others, in standard deviations.

    Args:
        means: Means of the channels.
        center: The others.
        sds: Standard deviations of the channels.

    Returns:
        Root of the mean squared distance, over the root of the channels' mean variance;
        None where the channels do not vary.
    """
    variance = float(np.square(sds, dtype=np.float64).mean())
    if not variance > 0:
        return None
    return float(np.sqrt(np.square(means - center, dtype=np.float64).mean() / variance))


def _number(value: Any) -> float | None:
    if value is None:
        return None
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value} is not finite")
    return number
