"""`benchmark`: a model, packed, against its float32 and int8 twins."""

import tempfile
from pathlib import Path

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from kerasbnn._checks import checked_count, checked_number
from kerasbnn.benchmarking.float_twins import float_twins
from kerasbnn.benchmarking.machine import cpu_name, versions
from kerasbnn.benchmarking.report import (
    DELEGATE,
    FLOAT32,
    INT8,
    STOCK,
    BenchmarkReport,
    Contender,
)
from kerasbnn.benchmarking.runs import Run, agreement, named_inputs, outputs_of_keras
from kerasbnn.benchmarking.timing import ROUNDS, time_in_turns
from kerasbnn.models.layer_paths import checked_model
from kerasbnn.runtime import delegate as native
from kerasbnn.runtime.errors import ModelError
from kerasbnn.tflite import convert
from kerasbnn.tflite.verification import check_samples, default_samples

RANDOM_SAMPLES = 100


def benchmark(
    model: keras.Model,
    data=None,
    *,
    batch_size: int = 1,
    num_threads: int = 1,
    max_samples: int = 256,
    seconds: float = 6.0,
    input_shape=None,
    verbose: int | str = "auto",
) -> BenchmarkReport:
    """Measure what packing brings a model: latency, size, agreement with Keras.

    Four contenders run in LiteRT, in turns, in this process:

    - `"float32"`: the same network as people deploy it without binarization: the Keras
      layers that the quantized ones are named after, float weights, a ReLU in the place
      of each quantizer of activations, zeros as padding. XNNPACK computes it.
    - `"int8"`: that network after TensorFlow's full-integer post-training quantization,
      calibrated on the samples. XNNPACK computes it too.
    - `"packed_stock"`: the file of `kerasbnn.convert` in any LiteRT interpreter.
    - `"packed_delegate"`: the same file with kerasbnn's native delegate, as
      `kerasbnn.Interpreter` runs it.

    The first two are of the same size and speed as if they had been trained like that,
    but compute something else than the model, so they are not compared with Keras.

    A call takes inputs in, computes and takes outputs out. Its figure is the median
    over all calls; those of less than 0.1 ms are timed in groups that take as long.
    With one thread, speeds are compared by the processor's time, which
    other programs on the machine disturb less than the clock on the wall.

    Args:
        model: A trained Keras model, on any backend.
        data: Inputs, as `model.predict` takes them; None for 100 samples of random
            multiples of 1/256 between -1 and 1. With other inputs the sums of a first
            layer are rounded, so that now and then a sign may fall the other way.
        batch_size: Samples of one call, an integer from 1.
        num_threads: Threads of one call, an integer from 1.
        max_samples: Number of samples of `data` to compare with Keras on, and to
            calibrate on.
        seconds: What to spend on timing.
        input_shape: Shape of one sample without the batch axis; only needed where the
            model does not know it.
        verbose: 0 for silence, `"auto"` or 1 for a progress bar on the standard error.

    Returns:
        The figures; `show()` prints them, `plot()` draws them.

    Raises:
        TypeError: `model` is not a Keras model, or a number is of a wrong type.
        ValueError: An argument is out of range, `data` does not fit the model, or the
            model cannot be converted.

    Example:
        >>> import keras
        >>> import kerasbnn
        >>> binary = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign",
        ...           "kernel_constraint": "weight_clip", "use_bias": False}
        >>> model = keras.Sequential([
        ...     keras.Input((512,)),
        ...     kerasbnn.QuantDense(512, **binary),
        ...     kerasbnn.QuantDense(10, **binary),
        ... ])
        >>> report = kerasbnn.benchmark(model, seconds=0.5, verbose=0)
        >>> report["packed_stock"].same_classes
        1.0
        >>> report["packed_stock"].bytes < report["int8"].bytes
        True
    """
    checked_model(model)
    for name, value in (
        ("batch_size", batch_size),
        ("num_threads", num_threads),
        ("max_samples", max_samples),
    ):
        checked_count(name, value)
    checked_number("seconds", seconds, minimum=0, exclusive=True)
    samples = _samples(model, data, max_samples, input_shape)
    with _Progress(verbose) as progress:
        progress.begin("Converting the model")
        packed = _converted(model, input_shape)
        progress.begin("Converting its float32 and int8 twins")
        twins = float_twins(model, samples, input_shape)
        progress.begin("Comparing with Keras")
        expected = outputs_of_keras(model, samples, input_shape)
        delegate = native.load_if_usable()
        missing = native.load().problem if delegate is None else None
        inputs = named_inputs(model, samples, input_shape)
        contents = {FLOAT32: twins.float32, INT8: twins.int8, STOCK: packed}
        contents[DELEGATE] = packed if missing is None else None
        problems = {INT8: twins.problem, DELEGATE: missing}
        runs: dict[str, Run] = {}
        for name, content in contents.items():
            if content is not None:
                try:
                    library = delegate if name == DELEGATE else None
                    runs[name] = Run(content, num_threads, library)
                except ModelError as error:
                    problems[name] = str(error)
        agreements = {
            name: agreement(runs[name].outputs(inputs), expected)
            for name in (STOCK, DELEGATE)
            if name in runs
        }
        progress.begin("Timing, in turns", ROUNDS)
        timings = time_in_turns(
            {name: run.call_on(inputs, batch_size) for name, run in runs.items()},
            seconds,
            progress.step,
        )
    return BenchmarkReport(
        model=model.name,
        batch_size=batch_size,
        num_threads=num_threads,
        samples=len(samples[0]),
        are_random=data is None,
        processor=cpu_name(),
        versions=versions(),
        implementation=native.implementation(),
        contenders=tuple(
            _contender(name, content, timings[name], agreements.get(name))
            if content is not None and name in timings
            else Contender(name, problem=problems[name])
            for name, content in contents.items()
        ),
    )


def _samples(model, data, max_samples, input_shape):
    if data is None:
        count = min(RANDOM_SAMPLES, max_samples)
        return default_samples(model, input_shape, count)
    try:
        samples = check_samples(model, data, input_shape)
    except ValueError as error:
        raise ValueError(str(error).replace("`sample_inputs`", "`data`")) from error
    samples = [values[:max_samples] for values in samples or []]
    for values in samples:
        if not np.isfinite(values).all():
            raise ValueError(
                "`data` has values that are NaN or infinite. Remove or replace them."
            )
    return samples


def _converted(model, input_shape):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.tflite"
        convert(model, path, input_shape=input_shape)
        return path.read_bytes()


def _contender(name, content, timing, agreed):
    same, largest = agreed or (None, None)
    return Contender(
        name,
        bytes=len(content),
        calls=timing.calls,
        latency_ms=1e3 * timing.wall,
        latency_low_ms=1e3 * timing.low,
        latency_high_ms=1e3 * timing.high,
        cpu_ms=1e3 * timing.cpu,
        same_classes=same,
        largest_difference=largest,
    )


class _Progress:
    """A line on the standard error that says what is being done."""

    def __init__(self, verbose):
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            console=console,
            transient=True,
            # To a file a bar would leave nothing but an empty line.
            disable=not (verbose and console.is_terminal),
        )
        self._task = None

    def __enter__(self):
        self._bar.start()
        return self

    def __exit__(self, *exception):
        self._bar.stop()

    def begin(self, what: str, steps: int | None = None):
        """Say what comes next, and in how many steps, if that is known."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=steps)

    def step(self):
        """Count one step."""
        if self._task is not None:
            self._bar.advance(self._task)
