"""Random Keras models of whatever the converter packs, and of what lies between."""

import keras
import numpy as np
from keras import layers

from kerasbnn import (
    QuantConv2D,
    QuantDense,
    QuantDepthwiseConv2D,
    QuantSeparableConv2D,
    quantizers,
)

# A sum of these, or a product with them, is rounded in an order of its own.
ROUNDED = ("magnitude_aware_sign", "average", "floats", "activation")


class RandomModel:
    """Draws a model, layer by layer.

    Args:
        rng: A numpy generator.

    Attributes:
        model: The model, with weights as after a training that went badly.
        is_exact: Whether no sum in it depends on the order of its terms.
    """

    def __init__(self, rng):
        self.rng = rng
        self.is_exact = True
        self._earlier = []
        size = int(rng.integers(7, 12))
        is_flat = rng.random() < 0.2
        shape = (int(rng.choice([5, 32, 50])),) if is_flat else (size, size + 1, 3)
        inputs = keras.Input(shape)
        x = inputs
        if not is_flat:
            x = self._convolved(x, is_first=True)
            for _ in range(rng.integers(1, 4)):
                x = self._block(x)
            x = self._flattened(x)
        for number in range(rng.integers(1, 3)):
            x = self._dense(x, is_first=is_flat and not number)
            x = self._normalized(x)
        if rng.random() < 0.7:
            x = QuantDense(10, **self._quantizers())(x)
        self.model = keras.Model(inputs, x)
        spoil(self.model, rng)

    def _pick(self, *choices):
        return choices[self.rng.integers(len(choices))]

    # ---- layers ---------------------------------------------------------------------

    def _quantizers(self, is_first=False, prefixes=("kernel",)):
        given = {"use_bias": bool(self.rng.random() < 0.2)}
        for prefix in prefixes:
            name = self._pick("ste_sign", "ste_sign", "ste_sign", "ste_tern")
            if self.rng.random() < 0.1 and not is_first:
                name = "magnitude_aware_sign"
            self._note(name)
            given[f"{prefix}_quantizer"] = name
            given[f"{prefix}_constraint"] = "weight_clip"
        if not is_first:
            signs = ("ste_sign", "ste_sign", "approx_sign", "swish_sign", "r_sign")
            given["input_quantizer"] = self._pick(*signs)
            if self.rng.random() < 0.05:
                given["input_quantizer"] = None
                self._note("floats")
        return given

    def _note(self, what):
        if what in ROUNDED:
            self.is_exact = False

    def _convolved(self, x, is_first=False, same_shape=False):
        channels = x.shape[-1]
        filters = channels if same_shape else int(self._pick(3, 8, 32, 33, 40, 64))
        kind = "conv" if is_first else self._pick(*["conv"] * 4, "depth", "separable")
        small = min(x.shape[1:3]) < 4
        padding = "same" if same_shape or small else self._pick("same", "valid")
        options = {
            "kernel_size": int(self._pick(1, 2, 3)) if small else self._pick(3, (2, 3)),
            "padding": padding,
        }
        if padding == "same":
            options["pad_values"] = int(self._pick(-1, 0, 1))
        if not same_shape and self.rng.random() < 0.3:
            options["strides"] = 2
        elif self.rng.random() < 0.2 and min(x.shape[1:3]) > 5:
            options["dilation_rate"] = 2
        if kind == "conv":
            options |= self._quantizers(is_first)
            if channels % 2 == filters % 2 == 0 and self.rng.random() < 0.2:
                options["groups"] = 2
            return QuantConv2D(filters, **options)(x)
        if kind == "depth":
            options |= self._quantizers(prefixes=["depthwise"])
            return QuantDepthwiseConv2D(**options)(x)
        options |= self._quantizers(prefixes=["depthwise", "pointwise"])
        # The pointwise part multiplies what the depthwise part has computed.
        if "magnitude_aware_sign" in options.values():
            self._note("magnitude_aware_sign")
        return QuantSeparableConv2D(filters, **options)(x)

    def _dense(self, x, is_first):
        units = int(self._pick(10, 32, 33, 64))
        return QuantDense(units, **self._quantizers(is_first))(x)

    def _normalized(self, x):
        if self.rng.random() < 0.9:
            scale, center = self.rng.random(2) < 0.8
            x = layers.BatchNormalization(scale=scale, center=center)(x)
        if self.rng.random() < 0.15:
            x = self._pick(
                layers.Dropout(0.3),
                quantizers.SteSign(),
                layers.Activation("hard_tanh"),
                layers.ReLU(),
                layers.PReLU(shared_axes=list(range(1, len(x.shape) - 1)) or None),
            )(x)
        return x

    def _pooled(self, x):
        if min(x.shape[1:3]) < 4 or self.rng.random() < 0.5:
            return x
        options = {"padding": self._pick("same", "valid")}
        if self.rng.random() < 0.2:
            options["strides"] = 1
        if self.rng.random() < 0.15:
            self._note("average")
            return layers.AveragePooling2D(2, **options)(x)
        return layers.MaxPooling2D(self._pick(2, 3, (1, 2)), **options)(x)

    def _block(self, x):
        shape = self.rng.random()
        if shape < 0.25:
            y = self._normalized(self._convolved(x, same_shape=True))
            return layers.Add()([y, x] if y.shape == x.shape else [y, y])
        if shape < 0.4:
            a, b = (
                self._normalized(self._convolved(x, same_shape=True)) for _ in range(2)
            )
            if a.shape == b.shape and self.rng.random() < 0.5:
                return layers.Add()([a, b])
            return layers.Concatenate()([a, b])
        if shape < 0.45:
            x = self._pick(
                layers.ZeroPadding2D(1),
                layers.UpSampling2D(2),
                layers.Permute((2, 1, 3)),
                layers.Cropping2D(1) if min(x.shape[1:3]) > 5 else layers.Dropout(0.2),
            )(x)
        if self.rng.random() < 0.5:
            return self._normalized(self._pooled(self._convolved(x)))
        return self._pooled(self._normalized(self._convolved(x)))

    def _flattened(self, x):
        draw = self.rng.random()
        if draw < 0.15:
            self._note("average")
            return layers.GlobalAveragePooling2D()(x)
        if draw < 0.25:
            return layers.GlobalMaxPooling2D()(x)
        return layers.Flatten()(x)


def spoil(model, rng):
    """Give a model weights with all that may go wrong in batch normalization."""
    for weight in model.weights:
        shape = weight.shape
        values = rng.normal(size=shape)
        if "moving_variance" in weight.path:
            values = rng.uniform(0.5, 40, shape)
            values = _with(rng, values, [0, 1e-12, 1e6, 1])
        elif "moving_mean" in weight.path or "beta" in weight.path:
            # Ties with integer products, and what decides for all of them.
            values = _with(rng, np.round(3 * values), [0, -0.0, 1e4, -1e4, 0.5])
        elif "gamma" in weight.path:
            nasty = [0, -0.0, 1e-30, -1e-30, 1e-40, -1e-42, -1, 1e6, -1e5]
            values = _with(rng, values, nasty, share=0.4)
        elif "kernel" in weight.path:
            values = _with(rng, rng.uniform(-1, 1, shape), [0, -0.0])
        elif "bias" in weight.path:
            values = np.round(2 * values)
        weight.assign(values)


def _with(rng, values, others, share=0.15):
    """Replace a share of the values by others."""
    replaced = rng.random(values.shape) < share
    return np.where(replaced, rng.choice(others, values.shape), values)
