"""What is run both in Larq and in `kerasbnn.larq`: plain data, without either."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

# Around the places where a quantizer, a gradient or a constraint changes its mind.
EDGES = np.array(
    [0.0, -0.0, 1.0, -1.0, 1.0000001, -1.0000001, 0.9999999, -0.9999999, 0.5, -0.5]
    + [0.05, -0.05, 0.25, -0.25, 2.0, -2.0, 1e-7, -1e-7, 0.7, -0.7, 3.0, -3.0],
    dtype=np.float32,
)

SIGN: dict[str, Any] = {"kernel_quantizer": "ste_sign"}
BOTH: dict[str, Any] = {"input_quantizer": "ste_sign", "kernel_quantizer": "ste_sign"}
DEPTHWISE = {"input_quantizer": "ste_sign", "depthwise_quantizer": "ste_sign"}
SEPARABLE = {**DEPTHWISE, "pointwise_quantizer": "ste_sign"}
FIRST = {"data_format": "channels_first"}


def dorefa(k_bit, mode):
    return {"class_name": "DoReFa", "config": {"k_bit": k_bit, "mode": mode}}


@dataclass(frozen=True)
class LayerCase:
    """One layer: its class, its arguments and the shape of its inputs."""

    cls: str
    args: tuple
    shape: tuple[int, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


LAYERS = {
    "dense": LayerCase("QuantDense", (4,), (3, 6), BOTH),
    "dense_float": LayerCase("QuantDense", (4,), (3, 6)),
    "dense_rank3": LayerCase(
        "QuantDense", (4,), (2, 3, 5), {**BOTH, "use_bias": False}
    ),
    "dense_relu_swish": LayerCase(
        "QuantDense",
        (5, "relu"),
        (3, 6),
        {"input_quantizer": "swish_sign", "kernel_quantizer": "approx_sign"},
    ),
    "dense_magnitude": LayerCase(
        "QuantDense",
        (5,),
        (3, 6),
        {
            "input_quantizer": "ste_heaviside",
            "kernel_quantizer": "magnitude_aware_sign",
        },
    ),
    "dense_ternary": LayerCase(
        "QuantDense",
        (5,),
        (3, 6),
        {"input_quantizer": "dorefa_quantizer", "kernel_quantizer": "ste_tern"},
    ),
    "dense_dorefa": LayerCase(
        "QuantDense",
        (5, "hard_tanh"),
        (3, 6),
        {
            "input_quantizer": dorefa(3, "activations"),
            "kernel_quantizer": dorefa(2, "weights"),
        },
    ),
    "conv1d": LayerCase("QuantConv1D", (4, 3), (2, 7, 3), BOTH),
    "conv1d_same_one": LayerCase(
        "QuantConv1D", (4, 3, 2, "same", 1.0), (2, 8, 3), BOTH
    ),
    "conv1d_dilated": LayerCase(
        "QuantConv1D",
        (4, 3),
        (2, 8, 3),
        {**BOTH, "padding": "same", "pad_values": -1.0, "dilation_rate": 2},
    ),
    "conv1d_causal": LayerCase(
        "QuantConv1D", (4, 3), (2, 7, 3), {**BOTH, "padding": "causal"}
    ),
    "conv1d_groups": LayerCase(
        "QuantConv1D", (4, 3), (2, 7, 4), {**BOTH, "groups": 2, "use_bias": False}
    ),
    "conv1d_first": LayerCase(
        "QuantConv1D", (4, 3), (2, 3, 7), {**BOTH, **FIRST, "padding": "same"}
    ),
    "conv2d": LayerCase("QuantConv2D", (4, 3), (2, 6, 5, 3), BOTH),
    "conv2d_float_inputs": LayerCase("QuantConv2D", (4, (3, 2)), (2, 6, 5, 3), SIGN),
    "conv2d_same": LayerCase(
        "QuantConv2D", (4, 3, (2, 1), "same"), (2, 6, 5, 3), {**BOTH, "use_bias": False}
    ),
    "conv2d_same_one": LayerCase(
        "QuantConv2D", (4, 3, 2, "same", 1.0), (2, 6, 5, 3), BOTH
    ),
    "conv2d_same_minus_one": LayerCase(
        "QuantConv2D", (4, (2, 4), (1, 3), "same", -1.0), (2, 6, 7, 3), BOTH
    ),
    "conv2d_dilated": LayerCase(
        "QuantConv2D",
        (4, 3),
        (2, 7, 6, 2),
        {**BOTH, "padding": "same", "pad_values": 1.0, "dilation_rate": (2, 1)},
    ),
    "conv2d_groups": LayerCase(
        "QuantConv2D",
        (4, 3),
        (2, 5, 5, 4),
        {**BOTH, "groups": 2, "padding": "same", "pad_values": 1.0},
    ),
    "conv2d_first": LayerCase(
        "QuantConv2D", (4, 3), (2, 3, 6, 5), {**BOTH, **FIRST, "padding": "valid"}
    ),
    "conv2d_first_same_one": LayerCase(
        "QuantConv2D",
        (4, 3),
        (2, 3, 6, 5),
        {**BOTH, **FIRST, "padding": "same", "pad_values": 1.0, "strides": 2},
    ),
    "conv2d_magnitude": LayerCase(
        "QuantConv2D",
        (4, 3),
        (2, 5, 5, 2),
        {"input_quantizer": "approx_sign", "kernel_quantizer": "magnitude_aware_sign"},
    ),
    "conv3d": LayerCase("QuantConv3D", (3, 2), (1, 3, 4, 3, 2), BOTH),
    "conv3d_same_one": LayerCase(
        "QuantConv3D", (3, 2, (1, 2, 1), "same", 1.0), (1, 3, 4, 3, 2), BOTH
    ),
    "depthwise": LayerCase("QuantDepthwiseConv2D", (3,), (2, 6, 5, 3), DEPTHWISE),
    "depthwise_multiplier": LayerCase(
        "QuantDepthwiseConv2D",
        (3, 2, "same", -1.0, 2),
        (2, 6, 5, 3),
        {**DEPTHWISE, "use_bias": False},
    ),
    "depthwise_dilated": LayerCase(
        "QuantDepthwiseConv2D",
        (2,),
        (2, 6, 6, 2),
        {**DEPTHWISE, "dilation_rate": 2, "padding": "same", "pad_values": 1.0},
    ),
    "depthwise_magnitude": LayerCase(
        "QuantDepthwiseConv2D",
        (3,),
        (2, 6, 5, 2),
        {"depthwise_quantizer": "magnitude_aware_sign", "depth_multiplier": 2},
    ),
    "separable1d": LayerCase(
        "QuantSeparableConv1D", (4, 3, 2, "same", 1.0), (2, 8, 3), SEPARABLE
    ),
    "separable1d_multiplier": LayerCase(
        "QuantSeparableConv1D",
        (4, 3),
        (2, 8, 3),
        {**SEPARABLE, "depth_multiplier": 2, "use_bias": False},
    ),
    "separable1d_causal": LayerCase(
        "QuantSeparableConv1D", (4, 3), (2, 8, 3), {**SEPARABLE, "padding": "causal"}
    ),
    "separable2d": LayerCase("QuantSeparableConv2D", (4, 3), (2, 6, 5, 3), SEPARABLE),
    "separable2d_same": LayerCase(
        "QuantSeparableConv2D",
        (4, 3, 2, "same", -1.0),
        (2, 6, 6, 2),
        {**SEPARABLE, "depth_multiplier": 2},
    ),
    "transpose2d": LayerCase(
        "QuantConv2DTranspose", (4, 3, 2, "same"), (2, 4, 3, 2), BOTH
    ),
    "transpose2d_valid": LayerCase(
        "QuantConv2DTranspose",
        (4, (3, 2)),
        (2, 4, 3, 2),
        {**BOTH, "strides": (1, 2), "use_bias": False},
    ),
    "transpose2d_padding": LayerCase(
        "QuantConv2DTranspose",
        (3, 3, 2, "same", 1),
        (2, 3, 3, 2),
        BOTH,
    ),
    "transpose2d_magnitude": LayerCase(
        "QuantConv2DTranspose",
        (4, 3),
        (2, 4, 3, 2),
        {"kernel_quantizer": "magnitude_aware_sign"},
    ),
    "transpose3d": LayerCase(
        "QuantConv3DTranspose", (3, 2, 2, "same"), (1, 2, 3, 2, 2), BOTH
    ),
    "transpose3d_valid": LayerCase(
        "QuantConv3DTranspose", (3, 2), (1, 2, 3, 2, 2), BOTH
    ),
}


def _locally_connected():
    for implementation in (1, 2, 3):
        for channels_first in (False, True):
            for padding in ("valid",) if implementation == 1 else ("valid", "same"):
                kwargs = {
                    **BOTH,
                    "implementation": implementation,
                    "padding": padding,
                    **(FIRST if channels_first else {}),
                }
                end = f"_{implementation}_{padding}" + "_first" * channels_first
                shape = (2, 2, 6) if channels_first else (2, 6, 2)
                yield (
                    f"local1d{end}",
                    LayerCase("QuantLocallyConnected1D", (3, 3, 2), shape, kwargs),
                )
                shape = (2, 2, 5, 4) if channels_first else (2, 5, 4, 2)
                size, strides = (3, 2), (2, 1)
                yield (
                    f"local2d{end}",
                    LayerCase(
                        "QuantLocallyConnected2D", (3, size, strides), shape, kwargs
                    ),
                )


LAYERS |= dict(_locally_connected())
LAYERS["local2d_magnitude"] = LayerCase(
    "QuantLocallyConnected2D",
    (3, 2),
    (2, 3, 3, 2),
    {"kernel_quantizer": "magnitude_aware_sign", "use_bias": False},
)

QUANTIZERS = {
    "ste_sign": ("SteSign", {}),
    "ste_sign_clip": ("SteSign", {"clip_value": 0.5}),
    "ste_sign_no_clip": ("SteSign", {"clip_value": None}),
    "approx_sign": ("ApproxSign", {}),
    "swish_sign": ("SwishSign", {}),
    "swish_sign_beta": ("SwishSign", {"beta": 2.5}),
    "magnitude_aware_sign": ("MagnitudeAwareSign", {}),
    "magnitude_aware_sign_clip": ("MagnitudeAwareSign", {"clip_value": 0.7}),
    "ste_tern": ("SteTern", {}),
    "ste_tern_threshold": ("SteTern", {"threshold_value": 0.25, "clip_value": 2.0}),
    "ste_tern_networks": ("SteTern", {"ternary_weight_networks": True}),
    "ste_tern_no_clip": ("SteTern", {"threshold_value": 0.0, "clip_value": None}),
    "ste_heaviside": ("SteHeaviside", {}),
    "ste_heaviside_clip": ("SteHeaviside", {"clip_value": 0.5}),
    "dorefa": ("DoReFa", {}),
    "dorefa_one_bit": ("DoReFa", {"k_bit": 1}),
    "dorefa_weights": ("DoReFa", {"k_bit": 2, "mode": "weights"}),
    "dorefa_eight_bits": ("DoReFa", {"k_bit": 8, "mode": "weights"}),
    "no_op": ("NoOp", {"precision": 1}),
}

FUNCTIONS = {
    "quantizers.ste_sign": {"clip_value": 0.5},
    "quantizers.approx_sign": {},
    "quantizers.swish_sign": {"beta": 3.0},
    "quantizers.ste_tern": {"threshold_value": 0.25},
    "quantizers.ste_heaviside": {},
    "activations.hard_tanh": {},
    "activations.leaky_tanh": {"alpha": 0.3},
}
STEP_FUNCTIONS = ("math.sign", "math.heaviside")


def values(shape, rng, spread=1.2):
    """Random values of a shape, with the edges among them as far as they fit."""
    drawn = rng.uniform(-spread, spread, size=shape).astype(np.float32)
    flat = drawn.reshape(-1)
    count = min(len(EDGES), flat.size // 2)
    places = rng.choice(flat.size, size=count, replace=False)
    flat[places] = EDGES[:count]
    return drawn


def digits(samples, features, classes, rng):
    """Inputs around class means, and labels: something that a model can learn."""
    labels = np.arange(samples) % classes
    means = rng.normal(size=(classes, features))
    inputs = means[labels] + 0.7 * rng.normal(size=(samples, features))
    return inputs.astype(np.float32), labels.astype(np.int32)


# Figures of `models.summary`: what each model is made of, as (module, class, args,
# kwargs); the first is a layer of Larq's or of Keras'.
SUMMARY_MODELS = {
    "binary_net": (
        (12, 12, 3),
        [
            ("lq", "QuantConv2D", (8, 3), {**SIGN, "padding": "same"}),
            ("keras", "MaxPooling2D", (2,), {}),
            ("keras", "BatchNormalization", (), {"scale": False}),
            ("lq", "QuantConv2D", (16, 3), {**BOTH, "use_bias": False}),
            ("keras", "BatchNormalization", (), {}),
            ("keras", "Flatten", (), {}),
            ("lq", "QuantDense", (10,), {**BOTH, "use_bias": False}),
            ("keras", "Activation", ("softmax",), {}),
        ],
    ),
    "mixed": (
        (10, 10, 4),
        [
            ("lq", "QuantDepthwiseConv2D", (3,), {**DEPTHWISE, "depth_multiplier": 2}),
            ("lq", "QuantSeparableConv2D", (6, 3, 2), SEPARABLE),
            (
                "lq",
                "QuantConv2D",
                (5, 1),
                {"input_quantizer": "dorefa_quantizer", "kernel_quantizer": "ste_tern"},
            ),
            ("lq", "QuantConv2DTranspose", (3, 2, 2), BOTH),
            ("keras", "Conv2D", (4, 3), {"strides": 2}),
            ("keras", "GlobalAveragePooling2D", (), {}),
            ("keras", "Dense", (7,), {"trainable": False}),
        ],
    ),
    "sequence": (
        (16, 4),
        [
            ("lq", "QuantConv1D", (6, 3), {**BOTH, "groups": 2, "strides": 2}),
            ("lq", "QuantSeparableConv1D", (5, 3), SEPARABLE),
            ("lq", "QuantLocallyConnected1D", (3, 2), SIGN),
            ("keras", "AveragePooling1D", (2,), {}),
            ("lq", "QuantDense", (4,), BOTH),
        ],
    ),
}

ALIASES = {
    "approx_sign": "ApproxSign",
    "dorefa_quantizer": "DoReFa",
    "magnitude_aware_sign": "MagnitudeAwareSign",
    "ste_heaviside": "SteHeaviside",
    "ste_sign": "SteSign",
    "ste_tern": "SteTern",
    "swish_sign": "SwishSign",
}
