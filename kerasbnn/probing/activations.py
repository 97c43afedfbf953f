"""What the quantizer of a layer's inputs is given."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Below this share of one of the two signs a channel says nothing.
FEWEST_SIGNS = 0.01


@dataclass(frozen=True)
class Activations:
    """The inputs of a layer before they are quantized.

    Attributes:
        negative: Fraction of them below 0.
        saturated: Fraction of them beyond where the quantizer's gradient ends; None
            where it does not end.
        sign_entropy: Mean entropy of the signs of a channel, in bits; 1 is balanced.
        dead_channels: Number of channels with fewer than 1 % of signs of one kind.
    """

    negative: float
    saturated: float | None
    sign_entropy: float
    dead_channels: int

    @classmethod
    def from_fractions(
        cls, negative: NDArray[np.float64], saturated: NDArray[np.float64] | None
    ) -> "Activations":
        """Put together what fractions of each channel say.

        Args:
            negative: Fraction of each channel below 0, `(channels,)`.
            saturated: Fraction of each channel beyond the clip, or None.

        Returns:
            The figures.

        Example:
            >>> import numpy as np
            >>> from kerasbnn.probing import Activations
            >>> found = Activations.from_fractions(np.array([0.5, 0.0]), None)
            >>> found.sign_entropy, found.dead_channels
            (0.5, 1)
        """
        shares = np.stack([negative, 1 - negative])
        with np.errstate(divide="ignore", invalid="ignore"):
            terms = np.where(shares > 0, -shares * np.log2(shares), 0.0)
        return cls(
            negative=float(negative.mean()),
            saturated=None if saturated is None else float(saturated.mean()),
            sign_entropy=float(terms.sum(axis=0).mean()),
            dead_channels=int((shares.min(axis=0) < FEWEST_SIGNS).sum()),
        )
