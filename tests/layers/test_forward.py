"""What the layers compute: kernels read off the forward pass, and numpy written out."""

import numpy as np
import pytest

from kerasbnn.quantizers import IRNetSign, MagnitudeAwareSign
from tests.helpers import convolutions, references
from tests.helpers.gradients import array, tensor
from tests.helpers.layer_cases import BY_NAME, CASES

NAMES = list(BY_NAME)


def built(case, rng, shape=None, **arguments):
    """Make a layer with random latent weights, some of them at the limits."""
    layer = case.make(**arguments)
    layer.build(shape or case.input_shape)
    for kernel, *_ in case.kernels:
        variable = getattr(layer, kernel)
        w = rng.normal(size=variable.shape).astype("float32")
        w.flat[:4] = [0.0, -0.0, 1e-30, -1e-30]
        variable.assign(w)
    return layer


def kernel_of(case, probed, latents):
    """Arrange what the expected outputs of a probe are, given quantized kernels."""
    count = probed.shape[0]
    if case.name.startswith("QuantDepthwise"):
        (kernel,) = latents
        channels = kernel.shape[-2]
        expected = np.zeros((count, channels, kernel.shape[-1]))
        for i in range(count):
            place, c = divmod(i, channels)
            expected[i, c] = kernel.reshape(-1, *kernel.shape[-2:])[place, c]
        return expected.reshape(probed.shape)
    if case.name.startswith("QuantSeparable"):
        depthwise, pointwise = latents
        pointwise = pointwise.reshape(pointwise.shape[-2:])
        expected = depthwise.reshape(-1, depthwise.shape[-2], 1) * pointwise
        return expected.reshape(probed.shape)
    (kernel,) = latents
    if "Transpose" in case.name:
        return np.moveaxis(kernel, -1, 0).reshape(probed.shape)
    return kernel.reshape(probed.shape)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("quantizer", "quantize"),
    [
        ("ste_sign", references.sign),
        ("approx_sign", references.sign),
        ("swish_sign", references.sign),
        ("ste_heaviside", references.heaviside),
        ("ste_tern", lambda w: references.ternary(w, 0.05)),
        (
            {"class_name": "DoReFa", "config": {"k_bit": 2, "mode": "weights"}},
            lambda w: references.dorefa_weights(w, np.ones_like(w), 2)[0],
        ),
        (
            {"class_name": "IRNetSign", "config": {"scale": False}},
            None,
        ),
    ],
    ids=["sign", "approx", "swish", "heaviside", "tern", "dorefa", "irnet"],
)
def test_the_operation_sees_the_quantized_kernel(name, quantizer, quantize, rng):
    case = BY_NAME[name]
    layer = built(case, rng, kernel_quantizer=quantizer, use_bias=False)
    probed = case.probe(layer)
    if quantize is None:

        def quantize(w):
            axes = case.kernels[0][3] if w.shape == latents[0].shape else (-1,)
            ones = np.ones_like(w)
            return references.irnet_sign(w, ones, 0.1, True, False, axes)[0]

    latents = [latent.astype("float64") for latent in case.latents(layer)]
    expected = kernel_of(case, probed, [quantize(latent) for latent in latents])
    np.testing.assert_allclose(probed, expected, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_binary_kernels_are_exactly_plus_and_minus_one(name, rng):
    case = BY_NAME[name]
    layer = built(case, rng, use_bias=False)
    probed = case.probe(layer)
    if case.name.startswith("QuantDepthwise"):
        # A one-hot input reaches the outputs of its own channel alone.
        probed = probed[probed != 0]
        assert probed.size == np.prod(layer.kernel.shape)
    assert set(np.unique(probed)) == {-1.0, 1.0}
    for latent in case.latents(layer):
        assert len(np.unique(latent)) > 3


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("quantizer", ["MagnitudeAwareSign", "IRNetSign"])
def test_scales_are_per_output_channel(name, quantizer, rng):
    case = BY_NAME[name]
    layer = built(case, rng, kernel_quantizer=quantizer)
    for (kernel, _, _, axes), latent in zip(
        case.kernels, case.latents(layer), strict=True
    ):
        latent = latent.astype("float64")
        ones = np.ones_like(latent)
        if quantizer == "IRNetSign":
            expected, _ = references.irnet_sign(latent, ones, 0.1, channel_axes=axes)
            assert isinstance(getattr(layer, case.kernels[0][1]), IRNetSign)
        else:
            expected, _ = references.magnitude_aware_sign(latent, ones, 1.0, axes)
            assert isinstance(getattr(layer, case.kernels[0][1]), MagnitudeAwareSign)
        quantized = array(layer.quantize_kernel(kernel))
        np.testing.assert_allclose(quantized, expected, rtol=1e-5)
        channels = [latent.shape[axis] for axis in axes]
        assert len(np.unique(np.abs(expected))) <= np.prod(channels)


def written_out(case, x, kernels, strides, padding, dilation, groups=1, pad_value=0.0):
    if case.name == "QuantDense":
        return x @ kernels[0]
    if case.name.startswith("QuantDepthwise"):
        return convolutions.depthwise_conv(
            x, kernels[0], strides, padding, dilation, pad_value
        )
    if case.name.startswith("QuantSeparable"):
        return convolutions.separable_conv(
            x, *kernels, strides, padding, dilation, pad_value
        )
    if "Transpose" in case.name:
        return convolutions.conv_transpose(x, kernels[0], strides, padding)
    return convolutions.conv(
        x, kernels[0], strides, padding, dilation, groups, pad_value
    )


def check_against_numpy(case, rng, *, shape=None, pad_value=None, **options):
    """Compare a layer of binary weights and inputs with numpy, bias and all."""
    shape = shape or case.input_shape
    rank = len(shape) - 2
    arguments = dict(options)
    if pad_value is not None:
        arguments["pad_values"] = pad_value
    layer = built(
        case,
        rng,
        shape=shape,
        input_quantizer="ste_sign",
        activation="relu",
        **arguments,
    )
    bias = rng.normal(size=layer.bias.shape).astype("float32")
    layer.bias.assign(bias)
    x = rng.normal(size=shape)
    x.flat[:2] = [0.0, -0.0]
    kernels = [references.sign(latent) for latent in case.latents(layer)]
    sums = written_out(
        case,
        references.sign(x),
        kernels,
        (options.get("strides", 1),) * rank,
        options.get("padding", "valid"),
        (options.get("dilation_rate", 1),) * rank,
        options.get("groups", 1),
        pad_value or 0.0,
    )
    outputs = array(layer(tensor(x)))
    assert outputs.shape == tuple(layer.compute_output_shape(shape))
    np.testing.assert_allclose(outputs, np.maximum(sums + bias, 0), atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_binary_weights_and_inputs(name, rng):
    check_against_numpy(BY_NAME[name], rng)


def test_dense_of_higher_rank(rng):
    check_against_numpy(BY_NAME["QuantDense"], rng, shape=(2, 3, 4, 7))


@pytest.mark.parametrize("name", [c.name for c in CASES if c.name != "QuantDense"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("strides", [2, 3])
def test_strides(name, padding, strides, rng):
    check_against_numpy(BY_NAME[name], rng, padding=padding, strides=strides)


@pytest.mark.parametrize(
    "name", [c.name for c in CASES if c.name != "QuantDense" and "Tr" not in c.name]
)
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_dilation(name, padding, rng):
    case = BY_NAME[name]
    shape = tuple(size + 3 for size in case.input_shape[:-1]) + case.input_shape[-1:]
    check_against_numpy(case, rng, shape=shape, padding=padding, dilation_rate=2)


@pytest.mark.parametrize("name", ["QuantConv1D", "QuantConv2D", "QuantConv3D"])
def test_groups(name, rng):
    case = BY_NAME[name]
    shape = (*case.input_shape[:-1], 4)
    check_against_numpy(case, rng, shape=shape, groups=2, filters=6)


def test_causal(rng):
    check_against_numpy(BY_NAME["QuantConv1D"], rng, padding="causal")
    check_against_numpy(BY_NAME["QuantConv1D"], rng, padding="causal", dilation_rate=2)
