"""The latest samples, and all of them, as statistics of bounded size."""

from collections import deque
from typing import Any

from kerasbnn.probing import Observation, ProbeDescription, ProbeStatistics, Reference
from kerasbnn.probing.drift import FEWEST_SAMPLES
from kerasbnn.probing.figures import figures_of
from kerasbnn.probing.packing import rounded

BLOCKS = 16


class Window:
    """A ring of blocks of samples, of which the oldest are forgotten.

    Statistics can be added up but not taken away again, so the window moves by blocks.

    Args:
        description: What the probe measures.
        reference: What the samples are compared with.
        size: Samples that the window has at most; but the 64 that warnings need are
            kept, so that a small one may have a block more.

    Example:
        >>> from kerasbnn.probing import ProbeDescription, Reference
        >>> from kerasbnn.serve.geometry.window import Window
        >>> nothing = Reference("net", "", 64, 8.0, 8, {}, {})
        >>> Window(ProbeDescription("net", "1.0", ()), nothing, 1024).observed().samples
        0
    """

    def __init__(self, description: ProbeDescription, reference: Reference, size: int):
        self._description, self._reference = description, reference
        self._size = size
        self._blocks: deque[Observation] = deque()
        self._newest = self._empty()
        self._total = ProbeStatistics(description)
        self._outside = dict.fromkeys(reference.inputs, 0)

    def add(self, observation: Observation):
        """Add samples, and forget the oldest block if need be."""
        self._newest.merge(observation)
        if self._newest.samples >= max(1, self._size // BLOCKS):
            self._count(self._newest)
            self._blocks.append(self._newest)
            self._newest = self._empty()
        samples = self._newest.samples + sum(block.samples for block in self._blocks)
        while samples > self._size:
            rest = samples - self._blocks[0].samples
            if rest < FEWEST_SAMPLES:
                break
            samples = rest
            self._blocks.popleft()

    def observed(self) -> Observation:
        """Return the samples of the window together."""
        found = self._empty()
        for block in (*self._blocks, self._newest):
            found.merge(block)
        return found

    def since_start(self) -> dict[str, Any]:
        """Return the figures of all samples whose block is complete."""
        samples = self._total.samples
        return {
            "samples": samples,
            "layers": [
                {
                    "name": name,
                    "live": {key: rounded(value) for key, value in figures.items()},
                }
                for name, figures in figures_of(self._total).items()
            ],
            "inputs": [
                {
                    "name": name,
                    "live": {"outside": rounded(count / samples) if samples else None},
                }
                for name, count in self._outside.items()
            ],
        }

    def _count(self, block: Observation):
        self._total.merge(block.statistics)
        for name, distances in block.distances.items():
            limits = self._reference.inputs[name].limits
            self._outside[name] += int((distances > limits).any(axis=1).sum())

    def _empty(self) -> Observation:
        return Observation(self._description, self._reference)
