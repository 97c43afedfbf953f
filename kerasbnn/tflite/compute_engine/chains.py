"""What lies between a binary layer's dot products and the sign that decides on them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from kerasbnn.tflite.thresholds import Step, directions, thresholds

Pool = tuple[tuple[int, ...], tuple[int, ...], str]


@dataclass(frozen=True, eq=False)
class Chain:
    """Dot products and what a model makes of them, channel by channel.

    Attributes:
        dots: Tensor `(batch, height, width, channels)` of whole numbers.
        channels: Number of channels.
        largest: Largest magnitude that a dot product can have, its fan-in.
        path: Path of the layer.
        steps: Multiplications and additions before a pooling, or where there is none.
        pool: Window, strides and padding of a max-pooling, or None.
        late_steps: What follows the pooling.
    """

    dots: Any
    channels: int
    largest: int
    path: str = ""
    steps: tuple[Step, ...] = ()
    pool: Pool | None = None
    late_steps: tuple[Step, ...] = ()

    def with_step(self, scale, shift) -> "Chain":
        """Return a chain that multiplies and adds once more.

        Args:
            scale: float32 array, one for each channel, or None.
            shift: The same.

        Returns:
            The longer chain.
        """
        step = Step(scale, shift)
        if self.pool is None:
            return replace(self, steps=(*self.steps, step))
        return replace(self, late_steps=(*self.late_steps, step))

    def with_pool(self, pool: Pool) -> "Chain | None":
        """Return a chain with a max-pooling at its end.

        Args:
            pool: Window, strides and padding.

        Returns:
            The longer chain, or None where there is a pooling already.
        """
        return None if self.pool is not None else replace(self, pool=pool)


@dataclass(frozen=True, eq=False)
class Decision:
    """A chain's sign as that of a dot product against a threshold.

    Attributes:
        scale: float32 array `(channels,)` of -1 and 1.
        bias: float32 array `(channels,)`, each a whole number and a half:
            `scale * dot + bias` is exact and never 0.
        flips: Array `(channels,)` of -1 where the sign of the largest such number in a
            window is the opposite of the chain's, else 1; None where all are 1.
    """

    scale: np.ndarray
    bias: np.ndarray
    flips: np.ndarray | None


def decision(chain: Chain) -> Decision:
    """Find the threshold that decides as a chain's rounded arithmetic does.

    Args:
        chain: The chain.

    Returns:
        The threshold.

    Example:
        >>> import numpy as np
        >>> from kerasbnn.tflite.compute_engine.chains import Chain, decision
        >>> chain = Chain(None, 1, 9).with_pool(((2, 2), (2, 2), "VALID"))
        >>> falling = chain.with_step(np.float32([-0.5]), np.float32([1.6]))
        >>> found = decision(falling)
        >>> found.scale.tolist(), found.bias.tolist(), found.flips.tolist()
        ([1.0], [-3.5], [-1.0])
    """
    steps = [*chain.steps, *chain.late_steps]
    scale, bias = thresholds(steps, chain.channels, chain.largest)
    if chain.pool is None:
        return Decision(scale, bias, None)
    # After the pooling a fall makes the sign of the largest that of the smallest, so
    # the largest of the opposites is taken.
    late = directions(chain.late_steps, chain.channels).astype(np.float32)
    return Decision(scale * late, bias * late, None if (late == 1).all() else late)
