"""TFMOT's quantizers for Keras 3 layers, judged by real TFMOT and by TensorFlow.

`ranges_of_tfmot.npz` is what TFMOT 0.8.1 computes; `make_range_fixtures.py` wrote it.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import (
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
    tfmot,
)
from kerasbnn.tfmot import (
    AllValuesQuantizer,
    LastValueQuantizer,
    MovingAverageQuantizer,
)
from tests.helpers.gradients import BACKEND, array, tensor, value_and_gradient
from tests.tfmot.range_cases import CLASSES, cases, steps_of

PATH = Path(__file__).with_name("ranges_of_tfmot.npz")


class _Reader:
    """Hands out what the file holds, piece by piece."""

    def __init__(self):
        with np.load(PATH) as file:
            self.arrays = {key: file[key] for key in file.files}
        self.arrays["passes"] = np.unpackbits(self.arrays["passes"])
        self.places = dict.fromkeys(self.arrays, 0)

    def take(self, key, shape):
        """Return the next values of a kind."""
        start = self.places[key]
        self.places[key] += int(np.prod(shape))
        return self.arrays[key][start : self.places[key]].reshape(shape)


def near_half(x, lowest, highest, bits, narrow_range):
    """Tell where float32 may round to either of two levels."""
    spread = highest.astype(float) - lowest
    scale = spread / (2**bits - 1 - narrow_range)
    position = x / np.where(scale > 0, scale, 1)
    off = np.abs(position - np.floor(position) - 0.5)
    return off < 2.0 ** (bits - 21), np.broadcast_to(scale, x.shape)


def test_values_gradients_and_ranges_are_those_of_tfmot():
    read, ties, compared = _Reader(), 0, 0
    for name, cls, arguments, kind, shape in cases():
        bits, per_axis, _, narrow_range = arguments
        quantizer = getattr(tfmot, cls)(*arguments)
        quantizer.build(shape)
        has_channels = per_axis and cls == "LastValueQuantizer"
        for x, upstream, training in steps_of(name, kind, shape):
            case = f"case {name}: {cls}{arguments} on {kind} {shape}"
            sizes = shape[-1:] if has_channels else ()
            ends = [read.take(key, sizes) for key in ("min", "max")]
            expected, passes = (read.take(key, shape) for key in ("outputs", "passes"))
            if BACKEND == "jax" and int(name) % 5:
                # It compiles every call, which takes minutes for all of them.
                continue
            outputs, gradient = value_and_gradient(
                lambda x, q=quantizer, t=training: q(x, training=t), tensor(x), upstream
            )
            variables = quantizer.min_value, quantizer.max_value
            for variable, end in zip(variables, ends, strict=True):
                assert tuple(variable.shape) == sizes, case
                np.testing.assert_allclose(
                    array(variable.value), end, rtol=3e-7, err_msg=case
                )
            if (
                BACKEND == "jax"
                and near_half(ends[0], *ends, bits, narrow_range)[0].any()
            ):
                # 0 lies between two levels, and JAX divides vectors to about 1 ulp.
                continue
            near, scale = near_half(x, *ends, bits, narrow_range)
            # Fused multiplications of TensorFlow's operation may round a tie down.
            off = np.abs(array(outputs) - expected)
            rounding = 2e-6 * np.abs(expected)
            assert (off <= np.where(near, scale, 0) + rounding).all(), case
            ties += int((off > rounding).sum())
            compared += off.size
            # What lies on an end may fall to either side of it, off by a rounding.
            edges = np.isclose(
                x[..., None],
                np.stack(np.broadcast_arrays(*ends), -1),
                rtol=1e-6,
                atol=0,
            ).any(axis=-1)
            same = array(gradient) == np.where(passes, upstream, 0)
            assert (same | edges).all(), case
    assert compared > {"tensorflow": 75_000, "torch": 75_000, "jax": 8_000}[BACKEND]
    assert ties < compared / 1000
    assert read.places["outputs"] == len(read.arrays["outputs"])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="compares with TensorFlow's own")
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("bits", range(2, 17))
def test_fake_quantization_is_that_of_tensorflow(bits, per_channel, rng):
    import tensorflow as tf

    operation = tf.quantization.fake_quant_with_min_max_vars
    if per_channel:
        operation = tf.quantization.fake_quant_with_min_max_vars_per_channel
    for narrow_range in (False, True):
        x = rng.normal(size=(200, 6)).astype("float32")
        size = 6 if per_channel else None
        lowest = np.float32(-rng.uniform(0, 3, size))
        highest = np.float32(rng.uniform(0, 3, size))
        quantizer = LastValueQuantizer(bits, per_channel, narrow_range=narrow_range)
        quantizer.build(x.shape)
        quantizer.min_value.assign(lowest)
        quantizer.max_value.assign(highest)
        found, gradient = value_and_gradient(quantizer, tensor(x))
        with tf.GradientTape() as tape:
            inputs = tf.constant(x)
            tape.watch(inputs)
            expected = operation(
                inputs, lowest, highest, num_bits=bits, narrow_range=narrow_range
            )
        np.testing.assert_array_equal(
            gradient, tape.gradient(expected, inputs), err_msg=f"{bits} bits"
        )
        differs = array(found) != array(expected)
        assert differs.mean() <= (0 if bits <= 10 else 0.01)
        scale = (highest - lowest) / (2**bits - 2)
        assert (np.abs(array(found) - array(expected)) <= 1.01 * scale).all()


def test_halves_go_up_and_values_beyond_the_range_to_its_ends():
    quantizer = LastValueQuantizer()
    quantizer.build((None,))
    quantizer.min_value.assign(-128 / 64)
    quantizer.max_value.assign(127 / 64)
    x = np.array([-2.5, -129, -127.5, -1.5, -0.5, 0, 0.49, 0.5, 1.5, 126.5, 127, 400])
    x[1:] /= 64
    expected = np.array([-128, -128, -127, -1, 0, 0, 0, 1, 2, 127, 127, 127]) / 64
    outputs, gradient = value_and_gradient(quantizer, tensor(x))
    np.testing.assert_array_equal(array(outputs), expected)
    np.testing.assert_array_equal(array(gradient), [0, 0, *[1] * 9, 0])


def test_the_range_is_moved_so_that_0_is_a_level():
    quantizer = MovingAverageQuantizer(num_bits=2)
    quantizer.build((None,))
    quantizer.min_value.assign(-1.25)
    quantizer.max_value.assign(1.75)
    # Levels one apart; 0 would be number 1.25, so it becomes number 1.
    x = tensor([-9.0, -0.6, 0.0, 0.6, 9.0])
    np.testing.assert_array_equal(array(quantizer(x)), [-1, -1, 0, 1, 2])
    # Here number 1.5, which becomes 2.
    quantizer.min_value.assign(-1.5)
    quantizer.max_value.assign(1.5)
    np.testing.assert_array_equal(array(quantizer(x)), [-2, -1, 0, 1, 1])


@pytest.mark.parametrize("name", CLASSES)
def test_nothing_moves_but_in_training(name, rng):
    layer = QuantDense(4, input_quantizer=getattr(tfmot, name)())
    x = tensor(rng.normal(size=(8, 3)))
    layer(x)
    ends = layer.input_quantizer.min_value, layer.input_quantizer.max_value
    before = [array(end.value) for end in ends]
    layer(x, training=False)
    layer.quantize_inputs(x)
    np.testing.assert_array_equal([array(end.value) for end in ends], before)
    layer(x, training=True)
    assert all(
        array(end.value) != value for end, value in zip(ends, before, strict=True)
    )
    assert not layer.input_quantizer.trainable_variables


def test_a_frozen_layer_keeps_its_range(rng):
    layer = QuantDense(4, kernel_quantizer=LastValueQuantizer())
    x = tensor(rng.normal(size=(8, 3)))
    layer(x, training=True)
    layer.kernel.assign(2 * layer.kernel)
    before = array(layer.kernel_quantizer.max_value.value)
    layer.trainable = False
    layer(x, training=True)
    assert array(layer.kernel_quantizer.max_value.value) == before
    layer.trainable = True
    layer(x, training=True)
    assert array(layer.kernel_quantizer.max_value.value) != before


def test_channels_are_those_of_the_layer(rng):
    def spread(layer, shape, attribute="kernel_quantizer", kernel="kernel"):
        layer(tensor(rng.normal(size=shape)), training=True)
        values = array(getattr(layer, kernel).value)
        return layer, getattr(layer, attribute), values

    def own():
        return LastValueQuantizer(8, per_axis=True)

    _, quantizer, kernel = spread(QuantDense(4, kernel_quantizer=own()), (2, 3))
    highest = array(quantizer.max_value.value)
    np.testing.assert_array_equal(highest, np.maximum(kernel.max(axis=0), 0))
    conv = QuantConv2D(4, 3, kernel_quantizer=own())
    _, quantizer, kernel = spread(conv, (1, 5, 5, 2))
    highest = array(quantizer.max_value.value)
    np.testing.assert_array_equal(highest, kernel.max(axis=(0, 1, 2)))
    # Output channels lie along the last axis but one.
    transposed = QuantConv2DTranspose(4, 3, kernel_quantizer=own())
    _, quantizer, kernel = spread(transposed, (1, 5, 5, 2))
    highest = array(quantizer.max_value.value)
    np.testing.assert_array_equal(highest, kernel.max(axis=(0, 1, 3)))
    # TFMOT would take one range for all channels that have the same multiplier.
    depthwise = QuantDepthwiseConv2D(3, depth_multiplier=2, depthwise_quantizer=own())
    _, quantizer, kernel = spread(depthwise, (1, 5, 5, 3), "depthwise_quantizer")
    highest = array(quantizer.max_value.value)
    np.testing.assert_array_equal(highest, kernel.max(axis=(0, 1)))
    scaled = array(depthwise.quantize_kernel()) / highest
    assert (np.abs(scaled.max(axis=(0, 1)) - 1) < 0.01).all()


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_channels_of_inputs(data_format, rng):
    quantizer = AllValuesQuantizer(per_axis=True)
    moving = MovingAverageQuantizer(per_axis=True)
    axis = 3 if data_format == "channels_last" else 1
    shape = [2, 5, 5, 5]
    shape[axis] = 3
    x = rng.normal(size=shape)
    for mine, sizes in ((quantizer, ()), (moving, (3,))):
        layer = QuantConv2D(2, 3, input_quantizer=mine, data_format=data_format)
        layer.build(tuple(shape))
        assert tuple(mine.min_value.shape) == sizes
        mine(tensor(x), training=True)
    others = tuple(a for a in range(4) if a != axis)
    expected = 6 + 0.001 * (x.max(axis=others) - 6)
    np.testing.assert_allclose(array(moving.max_value.value), expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
def test_other_dtypes(policy, rng):
    if policy == "float64" and BACKEND == "jax":
        pytest.skip("JAX has no float64 unless it is switched on for the process")
    layer = QuantDense(
        4,
        dtype=policy,
        input_quantizer=MovingAverageQuantizer(dtype=policy),
        kernel_quantizer=LastValueQuantizer(12, dtype=policy),
    )
    layer(tensor(rng.normal(size=(8, 3)), layer.compute_dtype), training=True)
    expected = "float64" if policy == "float64" else "float32"
    for quantizer in (layer.input_quantizer, layer.kernel_quantizer):
        assert quantizer.min_value.dtype == expected
    kernel = layer.quantize_kernel()
    assert keras.backend.standardize_dtype(kernel.dtype) == layer.compute_dtype
    np.testing.assert_allclose(array(kernel), array(layer.kernel.value), atol=0.01)


def test_training_narrows_the_range_to_the_kernel(rng):
    model = keras.Sequential(
        [
            keras.Input((6,)),
            QuantDense(
                5,
                input_quantizer=AllValuesQuantizer(),
                kernel_quantizer=LastValueQuantizer(8, True, True, True),
            ),
        ]
    )
    x = rng.normal(size=(64, 6)).astype("float32")
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = array(model.layers[0].kernel.value)
    model.fit(x, x[:, :5], epochs=2, verbose=0)
    layer = model.layers[0]
    assert (array(layer.kernel.value) != before).all()
    inputs = layer.input_quantizer
    assert array(inputs.min_value.value) == x.min()
    assert array(inputs.max_value.value) == x.max()
    # That of the kernel is from before the last step.
    highest = array(layer.kernel_quantizer.max_value.value)
    largest = np.abs(array(layer.kernel.value)).max(axis=0)
    np.testing.assert_allclose(highest, largest, atol=0.05)
    assert (array(layer.kernel_quantizer.min_value.value) == -highest).all()


@pytest.mark.parametrize("name", CLASSES)
def test_saved_and_loaded(name, tmp_path, rng):
    arguments = {"num_bits": 7, "symmetric": True, "narrow_range": True}
    arguments["per_axis"] = True
    model = keras.Sequential(
        [
            keras.Input((5, 5, 2)),
            QuantConv2D(
                3,
                3,
                input_quantizer=MovingAverageQuantizer(),
                kernel_quantizer=getattr(tfmot, name)(**arguments),
            ),
        ]
    )
    x = tensor(rng.normal(size=(4, 5, 5, 2)))
    model(x, training=True)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    config = loaded.layers[0].kernel_quantizer.get_config()
    assert {key: config[key] for key in arguments} == arguments
    model.save_weights(tmp_path / "model.weights.h5")
    fresh = keras.models.clone_model(model)
    assert (array(fresh(x)) != array(model(x))).any()
    fresh.load_weights(tmp_path / "model.weights.h5")
    for other in (loaded, fresh):
        for mine, theirs in zip(other.weights, model.weights, strict=True):
            np.testing.assert_array_equal(array(mine.value), array(theirs.value))
        np.testing.assert_array_equal(array(other(x)), array(model(x)))


@pytest.mark.parametrize("bits", [1, 17, 8.5, True, "8", None])
def test_a_number_of_bits_that_is_not_possible(bits):
    with pytest.raises(ValueError, match="`num_bits` must be an integer from 2 to 16"):
        LastValueQuantizer(bits)


def test_a_range_belongs_to_one_place():
    quantizer = LastValueQuantizer()
    QuantDense(3, kernel_quantizer=quantizer)
    with pytest.raises(ValueError, match="Give each place its own instance"):
        QuantDense(3, kernel_quantizer=quantizer)


def test_an_open_number_of_channels():
    quantizer = MovingAverageQuantizer(per_axis=True)
    with pytest.raises(ValueError, match="the size of axis .* must be known"):
        quantizer.build((None, None))


def test_as_a_layer(rng):
    layer = MovingAverageQuantizer(8)
    x = rng.normal(size=(3, 4))
    outputs = array(layer(tensor(x)))
    assert (np.abs(outputs - x) <= 0.5001 * 12 / 255).all()
    assert np.abs(outputs - x).max() > 0.2 * 12 / 255
    assert ops.shape(layer(np.arange(3))) == (3,)
