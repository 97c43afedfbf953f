"""The forward passes of an audit."""

import itertools
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from kerasbnn.auditing.kernels import AuditedKernel
from kerasbnn.auditing.measurement import KernelMeasurement, Sampling
from kerasbnn.auditing.provenance import FollowingNormalization, Provenance
from kerasbnn.geometry.accumulators import PairMoments
from kerasbnn.layers.base import QuantizedLayer
from kerasbnn.models.batches import Batches
from kerasbnn.models.call_tracing import intercept_calls
from kerasbnn.models.normalization_passes import Progress, without_gradients


class Passes:
    """Forward passes in which the calls of the audited layers are measured.

    Args:
        model: The model.
        kernels: The kernels to measure.
        sampling: How much to keep.

    Attributes:
        measurements: What was gathered, by the name of the kernel.
        samples: Number of samples seen.
        calls: How often the last pass called each layer, by path, in the order of the
            first calls.
        first: Path of the first layer called, or None.
    """

    def __init__(self, model, kernels: list[AuditedKernel], sampling: Sampling):
        self.model = model
        self.kernels = kernels
        self.measurements = {
            kernel.name: KernelMeasurement(
                kernel.operation, kernel.continuous, kernel.quantized, sampling
            )
            for kernel in kernels
        }
        self.by_layer: dict[int, list[AuditedKernel]] = {}
        for kernel in kernels:
            self.by_layer.setdefault(id(kernel.layer), []).append(kernel)
        self.normalizations: dict[int, FollowingNormalization] = {}
        self.provenance = Provenance(self.normalizations)
        self.samples = 0
        self.calls: dict[str, int] = {}
        self.first: str | None = None

    def run(self, batches: Batches, max_samples, verbose):
        """Measure the calls of all batches.

        Args:
            batches: Inputs of the model.
            max_samples: Number of samples to stop at, or None.
            verbose: 0 for silence, `"auto"` or 1 for a progress bar.
        """
        progress = Progress(_number_of(batches, max_samples), verbose)
        for inputs in batches:
            if max_samples is not None:
                left = max_samples - self.samples
                inputs = keras.tree.map_structure(lambda x, n=left: x[:n], inputs)
            count = len(keras.tree.flatten(inputs)[0])
            self._batch_samples = np.arange(self.samples, self.samples + count)
            self.calls = dict.fromkeys(self.calls, 0)
            self.provenance.start()
            # Random generators and states of layers stay as they are.
            with keras.StatelessScope(), without_gradients():
                with intercept_calls(self._handle):
                    self.model(inputs, training=False)
            self.provenance.start()
            self.samples += count
            progress.step()
            if self.samples == max_samples:
                break
        progress.finish()

    def in_order(self) -> list[AuditedKernel]:
        """Return the kernels in the order of the first calls, the uncalled last."""
        order = {path: i for i, path in enumerate(self.calls)}
        return sorted(self.kernels, key=lambda k: order.get(k.path, len(order)))

    def normalization_of(self, kernel) -> FollowingNormalization | None:
        """Return the batch normalization that follows a kernel.

        One that follows several kernels has one set of statistics for all of them.
        """
        found = self.normalizations.get(id(self.measurements[kernel.name]))
        if found is None:
            return None
        seen = PairMoments(found.pairs.means.shape[1])
        for other in self.normalizations.values():
            if other.layer is found.layer:
                seen.merge(other.pairs)
        return replace(found, seen=seen)

    def _handle(self, layer, proceed, args, kwargs):
        outputs = proceed(*args, **kwargs)
        given = args[0] if args else next(iter(kwargs.values()), None)
        if id(layer) in self.by_layer:
            self._measure(self.by_layer[id(layer)], given, outputs)
        elif isinstance(layer, keras.layers.TimeDistributed):
            # Keras runs the layer inside without calling it, step by step.
            kernels = self.by_layer.get(id(layer.layer))
            if kernels is not None and given is not None:
                self._measure(kernels, ops.reshape(given, (-1, *given.shape[2:])), None)
        else:
            self.provenance.follow(layer, proceed, args, kwargs, outputs)
        return outputs

    def _measure(self, kernels, given, outputs):
        layer, path = kernels[0].layer, kernels[0].path
        self.first = self.first or path
        call = self.calls.get(path, 0)
        self.calls[path] = call + 1
        inputs, raw = given, self.provenance.before_quantizer(given)
        if isinstance(layer, QuantizedLayer) and layer.input_quantizer is not None:
            inputs, raw = layer.quantize_inputs(given), given
        rows, samples = self._rows_of(inputs)
        for kernel in kernels:
            measurement = self.measurements[kernel.name]
            operation = kernel.operation
            own = "quantized" if kernel.is_quantized else "continuous"
            is_last = kernel is kernels[-1]
            products = None
            shows_products = (
                outputs is not None
                and is_last
                and operation.has_axes_of_layer
                and _is_linear(layer)
            )
            if shows_products and layer.bias is None and _is_float32(layer):
                products = _channels_last(layer, outputs)
            others = self._update(
                measurement, inputs, rows, samples, call, own, products, raw
            )
            if not is_last:
                # What the second kernel of a separable convolution sees.
                weights = ops.convert_to_tensor(getattr(kernel, own))
                inputs = operation.apply(operation.prepared(inputs), weights)
                raw = None
            elif others is not None and shows_products:
                if layer.bias is not None:
                    others = others + ops.cast(layer.bias, "float32")
                others = _channels_last(layer, others, back=True)
                self.provenance.add_products(outputs, measurement, others)

    def _update(self, measurement, inputs, *others):
        try:
            return measurement.update(inputs, *others)
        except Exception as error:
            if _has_values(inputs):
                raise
            layer = measurement.operation.layer
            raise ValueError(
                f"The inputs of layer '{layer.name}' have no values: it is called "
                "inside of a function that the backend compiles. Audit the model "
                "without that, such as a `tf.function` decorator."
            ) from error

    def _rows_of(self, inputs):
        """Return a number for each row of a layer's inputs, and that of its sample."""
        rows, count = int(inputs.shape[0]), len(self._batch_samples)
        if rows == count:
            return self._batch_samples, self._batch_samples
        # Rows of the layer's own, such as time steps that were folded into the batch.
        per_sample = -(-rows // max(count, 1))
        numbers = self._batch_samples[0] * per_sample + np.arange(rows)
        return numbers, self._batch_samples[0] + np.arange(rows) // per_sample


def _has_values(tensor):
    try:
        ops.convert_to_numpy(tensor)
    except Exception:
        return False
    return True


def _number_of(batches, max_samples):
    if batches.count is None or max_samples is None:
        return batches.count
    sizes = batches.sizes
    if sizes is None:
        return None
    enough = itertools.takewhile(
        lambda seen: seen < max_samples, itertools.accumulate(sizes, initial=0)
    )
    return min(batches.count, sum(1 for _ in enough))


def _is_linear(layer):
    """Tell whether a layer returns its products, but for the bias."""
    if type(layer).call.__module__.partition(".")[0] not in ("keras", "kerasbnn"):
        return False
    activation = getattr(layer, "activation", None)
    return activation is None or activation is keras.activations.linear


def _is_float32(layer):
    return layer.compute_dtype == "float32"


def _channels_last(layer, tensor, back=False):
    if getattr(layer, "data_format", None) != "channels_first":
        return tensor
    return ops.moveaxis(tensor, -1, 1) if back else ops.moveaxis(tensor, 1, -1)
