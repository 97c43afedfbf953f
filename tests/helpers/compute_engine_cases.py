"""Models with the number of binary convolutions that Compute Engine makes of each."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import layers, ops

from kerasbnn import (
    QuantConv2D,
    QuantConv2DTranspose,
    QuantConv3D,
    QuantDense,
    QuantDepthwiseConv2D,
    QuantSeparableConv2D,
    quantizers,
)
from tests.helpers.compute_engine_models import (
    apart_from_images,
    called_twice,
    dense,
    first,
    in_groups,
    net,
    normalized,
    padded,
    plus_constant,
    pooled,
    recurrent,
    reshaping,
    residual,
    signs_for_several,
    steps,
    two_branches,
    two_inputs,
    with_inputs,
    with_kernels,
)
from tests.helpers.converting import BINARY, SIGNS, trained


@dataclass
class Case:
    """A model.

    Attributes:
        build: Function that makes it.
        convolutions: How many operations LceBconv2d Larq Compute Engine makes of it.
        is_exact: Whether no sum in it depends on the order of its terms.
    """

    build: Any
    convolutions: int
    is_exact: bool = True


CASES = {
    "zeros around": Case(lambda: padded(0), 2),
    "zeros around, strides": Case(lambda: padded(0, 2), 2),
    "zeros around, dilation": Case(lambda: padded(0, 1, 2), 2),
    "ones around": Case(lambda: padded(1), 2),
    "ones around, strides": Case(lambda: padded(1, 2), 2),
    "ones around, unequal strides": Case(lambda: padded(1, (2, 1)), 2),
    "ones around, dilation": Case(lambda: padded(1, 1, 2), 2),
    "minus ones around": Case(lambda: padded(-1), 2),
    "minus ones around, strides": Case(lambda: padded(-1, 2), 2),
    "minus ones around, dilation": Case(lambda: padded(-1, 1, 2), 2),
    "large groups": Case(lambda: in_groups(64, 2, 1), 3),
    "large groups, minus ones": Case(lambda: in_groups(64, 2, -1), 3),
    "large groups, zeros": Case(lambda: in_groups(64, 2, 0), 3),
    "small groups": Case(lambda: in_groups(32, 4, 1), 1),
    "steps": Case(lambda: steps("valid"), 3),
    "steps, zeros around": Case(lambda: steps("same"), 3),
    "steps, ones around": Case(lambda: steps("same", 1), 3),
    "steps, minus ones around": Case(lambda: steps("same", -1), 3),
    "steps, causal zeros": Case(lambda: steps("causal"), 2),
    "steps, causal ones": Case(lambda: steps("causal", 1), 3),
    "steps, causal minus ones": Case(lambda: steps("causal", -1), 3),
    "pool first, ones": Case(lambda: pooled(1, "pool first"), 3),
    "pool first, zeros": Case(lambda: pooled(0, "pool first"), 3),
    "pool last, ones": Case(lambda: pooled(1, "pool last"), 3),
    "pool last, minus ones": Case(lambda: pooled(-1, "pool last"), 3),
    "volumes": Case(
        lambda: net(
            (6, 6, 6, 2),
            *normalized(QuantConv3D(8, 2, **BINARY)),
            *normalized(QuantConv3D(8, 2, **SIGNS)),
            layers.Flatten(),
            dense(5),
        ),
        1,
    ),
    "transposed": Case(
        lambda: apart_from_images(*normalized(QuantConv2DTranspose(8, 2, **SIGNS))), 1
    ),
    "depthwise": Case(
        lambda: apart_from_images(
            *normalized(
                QuantDepthwiseConv2D(
                    3,
                    depth_multiplier=2,
                    input_quantizer="ste_sign",
                    depthwise_quantizer="ste_sign",
                    depthwise_constraint="weight_clip",
                )
            ),
            layers.MaxPooling2D(2),
        ),
        1,
    ),
    "separable": Case(
        lambda: apart_from_images(
            *normalized(
                QuantSeparableConv2D(
                    16,
                    3,
                    input_quantizer="ste_sign",
                    depthwise_quantizer="ste_sign",
                    depthwise_constraint="weight_clip",
                    pointwise_quantizer="ste_tern",
                    pointwise_constraint="weight_clip",
                )
            )
        ),
        1,
    ),
    "dense": Case(
        lambda: net((50,), *normalized(QuantDense(70, **BINARY)), dense(33)), 1
    ),
    "dense over a sequence": Case(
        lambda: net(
            (7, 40),
            *normalized(QuantDense(64, **BINARY)),
            *normalized(dense(33)),
            dense(5),
        ),
        2,
    ),
    "dense over an image": Case(
        lambda: net(
            (3, 7, 40),
            *normalized(QuantDense(64, **BINARY)),
            *normalized(dense(33)),
            dense(5),
        ),
        2,
    ),
    "kernel ste_sign": Case(lambda: with_kernels("ste_sign"), 2),
    "kernel approx_sign": Case(lambda: with_kernels("approx_sign"), 2),
    "kernel swish_sign": Case(lambda: with_kernels("swish_sign"), 2),
    "kernel irnet_sign": Case(lambda: with_kernels("irnet_sign"), 2),
    "kernel magnitudes": Case(lambda: with_kernels("magnitude_aware_sign"), 2, False),
    "kernel ste_tern": Case(lambda: with_kernels("ste_tern"), 0),
    "kernel ste_heaviside": Case(lambda: with_kernels("ste_heaviside"), 0),
    "kernel dorefa": Case(
        lambda: with_kernels(quantizers.DoReFa(2, mode="weights")), 0, False
    ),
    "kernel rotated_sign": Case(lambda: with_kernels("rotated_sign"), 0, False),
    "kernel whitened_sign": Case(lambda: with_kernels("whitened_sign"), 0, False),
    "inputs approx_sign": Case(lambda: with_inputs("approx_sign"), 2),
    "inputs swish_sign": Case(lambda: with_inputs("swish_sign"), 2),
    "inputs r_sign": Case(lambda: with_inputs("r_sign"), 2),
    "inputs ste_tern": Case(lambda: with_inputs("ste_tern"), 0),
    "inputs ste_heaviside": Case(lambda: with_inputs("ste_heaviside"), 0),
    "inputs dorefa": Case(lambda: with_inputs(lambda: quantizers.DoReFa(2)), 0, False),
    "signs for several": Case(signs_for_several, 2),
    "two branches": Case(two_branches, 3),
    "residual": Case(residual, 4),
    "residual, untrained": Case(lambda: residual(untrained=True), 4),
    "two inputs, two outputs": Case(two_inputs, 3),
    "called twice": Case(called_twice, 2),
    "layers of signs": Case(
        lambda: net(
            (9, 9, 3),
            *first(),
            quantizers.SteSign(),
            layers.MaxPooling2D(),
            layers.Dropout(0.2),
            *normalized(QuantConv2D(32, 2, **BINARY)),
            layers.Activation(quantizers.SteSign()),
            layers.Flatten(),
            QuantDense(9, **BINARY),
        ),
        2,
    ),
    "layer of ternary values": Case(
        lambda: net(
            (9, 9, 3),
            *first(),
            quantizers.SteTern(),
            layers.Flatten(),
            QuantDense(9, **BINARY),
            layers.Activation(ops.sign),
        ),
        0,
    ),
    "signs that are 0": Case(
        lambda: net((40,), layers.Lambda(lambda x: ops.sign(ops.round(x)))), 0
    ),
    "a ternary sign in Larq's form": Case(
        lambda: net(
            (40,),
            layers.Lambda(lambda x: ops.sign(ops.sign(x + 0.5) + ops.sign(x - 0.5))),
        ),
        0,
    ),
    "signs of a choice": Case(
        lambda: net(
            (40,),
            layers.Lambda(
                lambda x: ops.where(x < 0, -ops.ones_like(x), ops.ones_like(x))
            ),
        ),
        0,
    ),
    "a constant for each position": Case(lambda: plus_constant((4, 4, 32)), 1),
    "a constant for each column": Case(lambda: plus_constant((4, 1)), 1),
    "a factor for each row": Case(lambda: plus_constant((4, 1, 1), ops.multiply), 1),
    "a divisor for each position": Case(
        lambda: plus_constant((4, 4, 32), ops.divide), 1, False
    ),
    "less a constant for each position": Case(
        lambda: plus_constant((4, 4, 32), ops.subtract), 1
    ),
    "a rescaling": Case(
        lambda: net(
            (8, 8, 3),
            *first(),
            QuantConv2D(32, 3, **SIGNS),
            layers.Rescaling(0.1, 0.3),
            layers.ReLU(),
            layers.Flatten(),
        ),
        1,
        False,
    ),
    "an activation": Case(
        lambda: net(
            (8, 8, 3), *first(), QuantConv2D(33, 3, activation="relu", **SIGNS)
        ),
        1,
    ),
    "LSTM": Case(lambda: recurrent(layers.LSTM), 1, False),
    "GRU": Case(lambda: recurrent(layers.GRU), 1, False),
    "run inside another layer": Case(
        lambda: net(
            (6, 16),
            layers.TimeDistributed(dense(12)),
            layers.BatchNormalization(),
            dense(8),
        ),
        1,
    ),
    "channels first": Case(
        lambda: net(
            (3, 9, 9),
            QuantConv2D(32, 3, data_format="channels_first", **BINARY),
            layers.BatchNormalization(axis=1),
            QuantConv2D(
                32,
                3,
                padding="same",
                pad_values=1,
                data_format="channels_first",
                **SIGNS,
            ),
            layers.BatchNormalization(axis=1),
            layers.Flatten(),
            dense(5),
        ),
        2,
        False,
    ),
    "reshaping": Case(reshaping, 3),
    "normalization of all positions": Case(
        lambda: net(
            (8, 8, 3),
            *first(),
            QuantConv2D(32, 3, **SIGNS),
            layers.Flatten(),
            *normalized(dense(9)),
        ),
        2,
    ),
}


def built(name):
    """Build the model of a case, with weights as after training."""
    keras.utils.set_random_seed(0)
    model = CASES[name].build()
    return model if getattr(model, "is_untrained", False) else trained(model)
