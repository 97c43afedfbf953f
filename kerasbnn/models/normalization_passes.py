"""Passes over data that gather the statistics of batch normalizations."""

import contextlib
import importlib
import warnings

import keras
import numpy as np

# Keras has no public way to read the mask that a tensor carries.
from keras.src.backend import get_keras_mask

from kerasbnn.geometry.accumulators import Moments
from kerasbnn.models.batches import Batches, to_numpy
from kerasbnn.models.call_tracing import intercept_calls


class StatisticsPass:
    """Base class: runs a model over batches and fits its batch normalizations.

    No variable changes: a layer normalizes by other statistics in a scope of its own.

    Args:
        layers: Path and layer of each batch normalization, by the id of the layer.

    Attributes:
        finished: What was fitted, by the id of the layer, in the order of the calls.
    """

    def __init__(self, layers: dict[int, tuple[str, keras.layers.BatchNormalization]]):
        self.layers = layers
        self.finished: dict[int, Moments] = {}

    def run(self, model: keras.Model, batches: Batches, verbose):
        """Fit all layers.

        Args:
            model: The model that holds the layers.
            batches: Its inputs.
            verbose: 0 for silence, `"auto"` or 1 for a progress bar.
        """
        raise NotImplementedError

    def normalize(self, layer, inputs, mask, call):
        """Handle one call of a batch normalization, and return its outputs.

        Args:
            layer: The batch normalization.
            inputs: Its inputs.
            mask: Their mask, or None.
            call: Function that does the call, by the statistics it is given or, for
                None, by those of the layer.
        """
        raise NotImplementedError

    def check(self):
        """Raise where the statistics are of no use, before they are assigned."""
        missing = [p for key, (p, _) in self.layers.items() if key not in self.finished]
        if not self.finished:
            raise ValueError(
                f"The model never called its BatchNormalization {', '.join(missing)}, "
                "or `data` is empty: there was nothing to refit from."
            )
        for key, moments in self.finished.items():
            path, layer = self.layers[key]
            if moments.count.min() < 2:
                raise ValueError(
                    f"BatchNormalization '{path}' saw fewer than two values in a "
                    "channel, so it has no variance. Pass more samples."
                )
            is_half = layer.moving_variance.dtype == "float16"
            limit = np.finfo("float16" if is_half else "float32").max
            if not max(np.abs(moments.mean).max(), moments.variance.max()) <= limit:
                raise ValueError(
                    f"The statistics of BatchNormalization '{path}' exceed what "
                    f"{layer.moving_variance.dtype} can hold. Nothing was changed."
                )
        if missing:
            warnings.warn(
                f"The model did not call its BatchNormalization {', '.join(missing)}, "
                "so they keep their statistics.",
                UserWarning,
                stacklevel=3,
            )

    def pass_over(self, model, batches, progress):
        """Call the model on every batch, in inference mode."""
        for inputs in batches:
            # Random generators and states of other layers stay as they are too.
            with keras.StatelessScope(), without_gradients():
                with intercept_calls(self._handle):
                    model(inputs, training=False)
            progress.step()

    def _handle(self, layer, proceed, args, kwargs):
        if id(layer) not in self.layers:
            return proceed(*args, **kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        mask = kwargs.get("mask")
        if mask is None:
            mask = get_keras_mask(inputs)

        def call(moments):
            kwargs["training"] = False
            with keras.StatelessScope(_as_state(layer, moments)):
                return proceed(*args, **kwargs)

        return self.normalize(layer, inputs, mask, call)

    def measure(self, layer, inputs, mask) -> Moments:
        """Return the moments of a layer's inputs per channel."""
        path, _ = self.layers[id(layer)]
        try:
            values = to_numpy(inputs)
            kept = None if mask is None else to_numpy(mask).astype(bool)
        except Exception as error:
            raise ValueError(
                f"The inputs of BatchNormalization '{path}' have no values: it is "
                "called inside of a function that the backend compiles. Refit the "
                "model without that, such as a `tf.function` decorator."
            ) from error
        if kept is not None:
            kept = np.broadcast_to(kept[..., None], values.shape)
            kept = _by_channel(kept, layer.axis)
        values = _by_channel(values, layer.axis)
        moments = Moments(values.shape[1])
        with np.errstate(invalid="ignore", over="ignore"):
            moments.update(values, kept)
        if not (np.isfinite(moments.mean).all() and np.isfinite(moments.squares).all()):
            raise ValueError(
                f"The inputs of BatchNormalization '{path}' are NaN or infinite. "
                "Nothing was changed. Check the weights of the layers before it."
            )
        return moments


class Together(StatisticsPass):
    """One pass, in which each layer normalizes by the statistics of the batch."""

    def run(self, model, batches, verbose):
        progress = Progress(batches.count, verbose)
        self.pass_over(model, batches, progress)
        progress.finish()

    def normalize(self, layer, inputs, mask, call):
        moments = self.measure(layer, inputs, mask)
        if (moments.count == 1).any():
            raise ValueError(
                f"BatchNormalization '{self.layers[id(layer)][0]}' has a single value "
                "per channel in a batch, which would become 0 whatever it is. Use "
                "larger batches, or sequential=True."
            )
        _gathered(self.finished, layer).merge(moments)
        return call(moments)


class InTurn(StatisticsPass):
    """A pass for each layer, in which those before it have their final statistics."""

    def run(self, model, batches, verbose):
        count = None if batches.count is None else batches.count * len(self.layers)
        progress = Progress(count, verbose)
        self._done: dict[int, Moments] = {}
        while True:
            self._current, self._others = {}, False
            self.pass_over(model, batches, progress)
            self._done |= self._current
            if not self._others:
                break
        self.finished = self._done
        progress.finish()

    def normalize(self, layer, inputs, mask, call):
        if id(layer) in self._done:
            return call(self._done[id(layer)])
        if self._current and id(layer) not in self._current:
            # Its turn is in another pass; until then its outputs do not matter.
            self._others = True
            return call(None)
        moments = self.measure(layer, inputs, mask)
        _gathered(self._current, layer).merge(moments)
        return call(moments)


class Progress:
    """A progress bar over all passes.

    Args:
        count: Number of batches in all passes, or None where it is not known.
        verbose: 0 for silence, `"auto"` or 1 for a bar.
    """

    def __init__(self, count, verbose):
        self._done = 0
        verbose = 1 if verbose == "auto" else int(verbose)
        self._bar = keras.utils.Progbar(count, verbose=verbose) if verbose else None

    def step(self):
        """Note that a batch is done."""
        self._done += 1
        if self._bar is not None:
            self._bar.update(self._done, finalize=False)

    def finish(self):
        """Note that all is done."""
        if self._bar is not None and self._done:
            self._bar.target = self._done
            self._bar.update(self._done, finalize=True)


def without_gradients():
    """Keep PyTorch from storing all activations; others store none by themselves."""
    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    return importlib.import_module("torch").no_grad()


def _gathered(store, layer):
    return store.setdefault(id(layer), Moments(layer.moving_mean.shape[0]))


def _by_channel(values, axis):
    values = np.moveaxis(values, axis, -1)
    return values.reshape(-1, values.shape[-1])


def _as_state(layer, moments):
    if moments is None:
        return []
    seen = moments.count > 0
    own = [to_numpy(v.value) for v in _statistics_of(layer)]
    return [
        (variable, np.where(seen, values, old).astype("float32"))
        for variable, values, old in zip(
            _statistics_of(layer), (moments.mean, moments.variance), own, strict=True
        )
    ]


def _statistics_of(layer):
    return layer.moving_mean, layer.moving_variance
