"""Logs how the geometry of each layer develops while a model trains."""

import math
import time
from collections.abc import Sequence

import keras
import numpy as np

from kerasbnn._checks import checked_number
from kerasbnn.auditing.kernels import AuditedKernel, find_kernels
from kerasbnn.auditing.measurement import Sampling
from kerasbnn.auditing.passes import Passes
from kerasbnn.geometry.angles import quantization_angle_degrees
from kerasbnn.models.batches import Batches

SHARE_OF_TIME = 0.05


class GeometryLogger(keras.callbacks.Callback):
    """Write angle, correlation, flips and saturation of each layer into the logs.

    The history of `fit` has them then, and so have callbacks that come later in its
    list, such as `keras.callbacks.CSVLogger` or `TensorBoard`: list this one first. For
    each quantized kernel, by its path in the model:

    - `"<path>/angle"`: mean angle between latent and quantized weights, in degrees.
    - `"<path>/correlation"`: median over the filters of the correlation between dot
      products with quantized and with latent weights; only where `data` is given.
    - `"<path>/flip_ratio"`: fraction of the quantized weights that have changed since
      the last time, at first since training began; not for quantizers in another basis,
      where one flipped sign changes them all.
    - `"<path>/saturation"`: fraction of the latent weights at or beyond the clip value;
      only for kernels that have one.

    A figure that cannot be measured, as the correlation of filters that do not vary, is
    NaN in the logs.

    Args:
        data: Inputs of the model, from which the correlations are measured: an array, a
            list or dict of arrays, or `(x, y)`, of which only `x` is used; or None.
        layers: Paths of the layers to log; None for all quantized ones.
        samples: Number of samples to use, the first ones of `data`. Few are enough: a
            convolution sees each of them at many positions.
        every: Number of epochs from one measurement to the next; None measures as often
            as takes at most 5 % of the time of training, which is every epoch but for
            networks that see all their data in a second. In between the figures stay
            as they were.

    Attributes:
        start: Quantized weights when training began, for the argument `start` of
            `kerasbnn.audit`: a dict from `"<path>/<kernel>"` to arrays.

    Raises:
        ValueError: An argument is out of range or, as training starts, a layer is
            unknown or none is quantized.

    Example:
        >>> import keras, numpy as np
        >>> from kerasbnn import QuantDense
        >>> from kerasbnn.callbacks import GeometryLogger
        >>> model = keras.Sequential([
        ...     keras.Input((16,)),
        ...     QuantDense(
        ...         4, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        ...         name="dense",
        ...     ),
        ... ])
        >>> model.compile("adam", "mse")
        >>> x, y = np.random.default_rng(0).normal(size=(64, 16)), np.zeros((64, 4))
        >>> log = model.fit(x, y, epochs=2, verbose=0, callbacks=[GeometryLogger(x)])
        >>> [name for name in sorted(log.history) if "/" in name]
        ['dense/angle', 'dense/correlation', 'dense/flip_ratio', 'dense/saturation']

    Reference:
        Anderson & Berg, arXiv 1705.07199.
    """

    def __init__(
        self,
        data=None,
        layers: Sequence[str] | None = None,
        samples: int = 32,
        every: int | None = None,
    ):
        super().__init__()
        self.samples = int(checked_number("samples", samples, minimum=1))
        self.every = checked_number("every", every, minimum=1, optional=True)
        self.layers = [layers] if isinstance(layers, str) else layers
        self._batches = None
        if data is not None:
            first = next(iter(Batches(data, batch_size=self.samples)), None)
            if first is None:
                raise ValueError(
                    "`data` has no samples. Pass some inputs of the model."
                )
            first = keras.tree.map_structure(lambda x: x[: self.samples], first)
            self._batches = Batches(first, self.samples)
        self.start: dict[str, np.ndarray] = {}
        self._last: dict[str, np.ndarray] = {}
        self._figures: dict[str, float] = {}
        self._seconds = self._own_seconds = self._last_seconds = 0.0

    def on_train_begin(self, logs=None):
        kernels = self._kernels()
        if not kernels:
            raise ValueError(
                f"Model '{self.model.name}' has no quantized kernel to log"
                + (f" among the layers {self.layers}." if self.layers else ".")
            )
        self.start = {
            f"{kernel.path}/{kernel.operation.kernel}": kernel.quantized
            for kernel in kernels
        }
        self._last = {kernel.name: _codes(kernel) for kernel in kernels}
        self._began = time.perf_counter()
        self._figures = {}
        self._seconds = self._own_seconds = self._last_seconds = 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        ended = time.perf_counter()
        # The first epoch takes longer than all others, as it compiles the model.
        is_first = not self._figures
        if not is_first:
            self._seconds += ended - self._began
        if is_first or self._is_time(epoch):
            self._figures = self._measure()
            self._last_seconds = time.perf_counter() - ended
            if not is_first:
                self._own_seconds += self._last_seconds
        if logs is not None:
            logs.update(self._figures)

    def _is_time(self, epoch):
        if self.every is not None:
            return epoch % int(self.every) == 0
        # What it took last time, it will take again.
        return self._own_seconds + self._last_seconds <= SHARE_OF_TIME * self._seconds

    def _kernels(self) -> list[AuditedKernel]:
        # On JAX, asking for the model brings its variables up to date.
        kernels, _ = find_kernels(self.model, self.layers)
        return [kernel for kernel in kernels if kernel.is_quantized]

    def _measure(self):
        kernels = self._kernels()
        passes = Passes(self.model, kernels, Sampling(0, 0, 0))
        if self._batches is not None:
            passes.run(self._batches, None, verbose=0)
        figures = {}
        for kernel in kernels:
            angles = quantization_angle_degrees(
                kernel.continuous, kernel.quantized, kernel.operation.channel_axes
            )
            figures[f"{kernel.name}/angle"] = _mean(angles)
            if self._batches is not None:
                pairs = passes.measurements[kernel.name].pairs
                figures[f"{kernel.name}/correlation"] = _median(
                    pairs.filter_correlations()
                )
            if kernel.is_elementwise:
                codes = _codes(kernel)
                changed = codes != self._last[kernel.name]
                figures[f"{kernel.name}/flip_ratio"] = float(changed.mean())
                self._last[kernel.name] = codes
            if kernel.clip_value is not None:
                limit = kernel.clip_value * (1 - 1e-6)
                saturated = np.abs(kernel.continuous) >= limit
                figures[f"{kernel.name}/saturation"] = float(saturated.mean())
        return figures


def _codes(kernel):
    """Return what counts as a change: for binary weights their signs, not a scale."""
    return kernel.quantized < 0 if kernel.bits == 1 else kernel.quantized


def _mean(values):
    values = values[np.isfinite(values)]
    return float(values.mean()) if values.size else math.nan


def _median(values):
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else math.nan
