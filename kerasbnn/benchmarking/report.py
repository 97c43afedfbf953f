"""What a benchmark has measured."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kerasbnn.models.printing import TableReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLOAT32, INT8 = "float32", "int8"
STOCK, DELEGATE = "packed_stock", "packed_delegate"
LABELS = {
    FLOAT32: "float32 twin",
    INT8: "int8 twin",
    STOCK: "packed",
    DELEGATE: "packed + delegate",
}


@dataclass(frozen=True)
class Contender:
    """The figures of one file in one interpreter.

    Attributes:
        name: `"float32"`, `"int8"`, `"packed_stock"` or `"packed_delegate"`.
        bytes: Size of the file, or None where there is none.
        calls: Number of calls that were timed.
        latency_ms: What a call takes, in milliseconds: the median over the calls;
            those of less than 0.1 ms are timed in groups that take as long.
        latency_low_ms: The 10th percentile of the same.
        latency_high_ms: The 90th percentile.
        cpu_ms: Median of the processor's time that the calling thread uses in a call.
        same_classes: Fraction of samples with the same largest output as in Keras; None
            for the twins, which compute something else, and without classes.
        largest_difference: Largest difference of an output from that of Keras; None for
            the twins.
        problem: Why there are no figures, or None.
    """

    name: str
    bytes: int | None = None
    calls: int = 0
    latency_ms: float | None = None
    latency_low_ms: float | None = None
    latency_high_ms: float | None = None
    cpu_ms: float | None = None
    same_classes: float | None = None
    largest_difference: float | None = None
    problem: str | None = None

    @property
    def label(self) -> str:
        """The name in words."""
        return LABELS[self.name]


@dataclass(frozen=True)
class BenchmarkReport(TableReport):
    """What `benchmark` has measured.

    Attributes:
        model: Name of the model.
        batch_size: Samples of one call.
        num_threads: Threads of one call.
        samples: Number of samples that were compared with Keras.
        are_random: Whether the samples are random.
        processor: Name of the processor.
        versions: Versions of kerasbnn, Python and the libraries, by name.
        implementation: Name of the native delegate's implementation, or None where it
            is missing.
        contenders: The figures of each contender.
    """

    model: str
    batch_size: int
    num_threads: int
    samples: int
    are_random: bool
    processor: str
    versions: dict[str, str]
    implementation: str | None
    contenders: tuple[Contender, ...]

    def __getitem__(self, name: str) -> Contender:
        for contender in self.contenders:
            if contender.name == name:
                return contender
        raise KeyError(
            f"No contender {name!r} in this report. It has: "
            f"{', '.join(contender.name for contender in self.contenders)}."
        )

    def speed(self, name: str, over: str) -> float | None:
        """Return how many times faster one contender is than another.

        Args:
            name: Name of the one.
            over: Name of the other.

        Returns:
            The ratio of the medians, with one thread of the processor's time, else of
            the latency; None where one of them has no figures.

        Example:
            >>> from kerasbnn.benchmarking import BenchmarkReport, Contender
            >>> slow = Contender("int8", cpu_ms=6.0)
            >>> fast = Contender("packed_stock", cpu_ms=3.0)
            >>> both = (slow, fast)
            >>> report = BenchmarkReport("net", 1, 1, 9, True, "CPU", {}, None, both)
            >>> report.speed("packed_stock", over="int8")
            2.0
        """
        mine, theirs = self._time(self[name]), self._time(self[over])
        return None if mine is None or theirs is None else theirs / mine

    def _time(self, contender):
        # The time of one thread would leave out what the others do.
        return contender.cpu_ms if self.num_threads == 1 else contender.latency_ms

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, strings, lists and dicts."""
        values = dataclasses.asdict(self)
        values["contenders"] = [
            {
                **dataclasses.asdict(contender),
                "speed_over_float32": self.speed(contender.name, FLOAT32),
                "speed_over_int8": self.speed(contender.name, INT8),
            }
            for contender in self.contenders
        ]
        return values

    def _table(self):
        from kerasbnn.benchmarking.tables import WIDTH, rendered

        return rendered(self), WIDTH

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw latencies and sizes as bars.

        No window is opened; in a notebook the figure shows as the value of its cell.

        Args:
            path: Picture to write, whole or not at all, its format by the ending of the
                name; None only returns the figure.

        Returns:
            A `matplotlib.figure.Figure`.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: The format of the picture is unknown.
        """
        from kerasbnn.geometry.views.plots import require_matplotlib, save

        require_matplotlib()
        from kerasbnn.benchmarking.bars import draw

        figure = draw(self)
        if path is not None:
            save(figure, path)
        return figure
