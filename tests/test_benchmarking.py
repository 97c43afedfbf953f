"""What `benchmark` reports of small models; never how long something took."""

import dataclasses
import io
import json
import time

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter as LiteRT
from keras import layers, ops
from rich.console import Console

import kerasbnn
from kerasbnn import (
    QuantConv1D,
    QuantConv2D,
    QuantConv2DTranspose,
    QuantDense,
    QuantDepthwiseConv2D,
    QuantSeparableConv2D,
    quantizers,
)
from kerasbnn.benchmarking import BenchmarkReport, Contender, float_twins
from kerasbnn.benchmarking.float_twins import float_twins as make_twins
from kerasbnn.benchmarking.runs import Run, agreement
from kerasbnn.benchmarking.timing import ROUNDS, time_in_turns
from kerasbnn.runtime import delegate
from tests.helpers.converting import (
    BINARY,
    SIGNS,
    conv_net,
    keras_outputs,
    outputs_of,
    samples_for,
    trained,
)
from tests.helpers.delegates import has_delegate

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)
QUICK = {"seconds": 0.2, "verbose": 0}


@pytest.fixture(scope="module")
def model():
    """A convolutional network with weights as after training."""
    return trained(conv_net())


@pytest.fixture(scope="module")
def report(model):
    """A benchmark of it on random inputs."""
    return kerasbnn.benchmark(model, **QUICK)


def made_up(**changes):
    """A report with round numbers."""
    contenders = (
        Contender("float32", 4_000_000, 100, 8.0, 7.0, 9.0, 8.0),
        Contender("int8", 1_000_000, 100, 2.0, 1.5, 2.5, 2.0),
        Contender("packed_stock", 125_000, 100, 10.0, 9.0, 12.0, 10.0, 1.0, 0.0),
        Contender("packed_delegate", 125_000, 100, 0.5, 0.4, 0.6, 0.5, 0.995, 1e-6),
    )
    values = {
        "model": "net",
        "batch_size": 1,
        "num_threads": 1,
        "samples": 200,
        "are_random": True,
        "processor": "a CPU",
        "versions": {"kerasbnn": "1.2.3"},
        "implementation": "generic",
        "contenders": contenders,
    }
    return BenchmarkReport(**{**values, **changes})


# ---- a real run ---------------------------------------------------------------------


def test_all_contenders_have_figures(report):
    names = [contender.name for contender in report.contenders]
    assert names == ["float32", "int8", "packed_stock", "packed_delegate"]
    for contender in report.contenders:
        if contender.problem is None:
            low, high = contender.latency_low_ms, contender.latency_high_ms
            assert 0 < low <= contender.latency_ms <= high
            assert contender.cpu_ms > 0
            assert contender.calls >= ROUNDS
    assert report["packed_stock"].problem is None
    assert (report["packed_delegate"].problem is None) == has_delegate()
    assert report.implementation == delegate.implementation()


def test_sizes_are_those_of_the_files(model, report, tmp_path):
    converted = kerasbnn.convert(model, tmp_path / "model.tflite")
    assert report["packed_stock"].bytes == converted.bytes
    kernels = sum(w.value.shape.num_elements() for w in model.weights if w.ndim > 1)
    assert kernels * 4 < report["float32"].bytes < kernels * 4 + 25_000
    assert kernels < report["int8"].bytes < kernels + 25_000


def test_packed_files_agree_with_keras_and_twins_are_not_compared(report):
    assert report.samples == 100
    assert report.are_random
    for name in ("packed_stock", "packed_delegate")[: 1 + has_delegate()]:
        assert report[name].same_classes == 1.0
        assert report[name].largest_difference < 1e-4
    for name in ("float32", "int8"):
        assert report[name].same_classes is None
        assert report[name].largest_difference is None


def test_the_model_is_left_as_it_was():
    model = trained(conv_net())
    x = samples_for(model)
    before, weights = keras_outputs(model, x), model.get_weights()
    config = model.get_config()
    kerasbnn.benchmark(model, x, max_samples=2, **QUICK)
    np.testing.assert_array_equal(keras_outputs(model, x), before)
    for mine, theirs in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    assert model.get_config() == config


def test_given_inputs_are_used(model):
    x = samples_for(model, count=7)
    report = kerasbnn.benchmark(
        model, x, batch_size=3, num_threads=2, max_samples=5, **QUICK
    )
    assert (report.samples, report.are_random) == (5, False)
    assert (report.batch_size, report.num_threads) == (3, 2)
    assert report["packed_stock"].same_classes == 1.0


def test_several_inputs_and_outputs_of_one_value():
    # Not in the order of the alphabet.
    first, second = keras.Input((6,), name="one"), keras.Input((4,), name="another")
    x = layers.Concatenate()([first, second])
    x = QuantDense(40, **BINARY)(x)
    x = layers.BatchNormalization()(x)
    outputs = {
        "a": QuantDense(1, **SIGNS, name="a")(x),
        "b": QuantDense(1, **SIGNS, name="b")(x),
    }
    model = trained(keras.Model([first, second], outputs))
    report = kerasbnn.benchmark(model, **QUICK)
    assert report["packed_stock"].same_classes is None
    assert report["packed_stock"].largest_difference < 1e-4
    assert report["int8"].problem is None


def test_without_the_delegate_the_rest_is_measured(model, monkeypatch, tmp_path):
    monkeypatch.setattr(delegate, "_folders", lambda: [tmp_path])
    monkeypatch.setattr(delegate, "_loaded", None)
    report = kerasbnn.benchmark(model, **QUICK)
    assert report.implementation is None
    assert "not installed" in report["packed_delegate"].problem
    assert report["packed_delegate"].bytes is None
    assert report.speed("packed_delegate", "int8") is None
    assert report["packed_stock"].same_classes == 1.0
    printed = str(report)
    assert "No packed + delegate" in printed
    assert "C++ compiler" in printed
    assert len(report.plot().axes[0].patches) == 3
    json.loads(report.to_json())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"data": np.zeros((2, 3, 3, 3))}, ValueError, "`data` must hold"),
        ({"data": np.full((2, 11, 9, 3), np.nan)}, ValueError, "NaN or infinite"),
        ({"batch_size": 0}, ValueError, "`batch_size` must be at least 1"),
        ({"batch_size": 1.5}, TypeError, "`batch_size` must be an integer"),
        ({"num_threads": "2"}, TypeError, "`num_threads` must be a number"),
        ({"max_samples": 0}, ValueError, "`max_samples`"),
        ({"seconds": 0}, ValueError, "`seconds` must be greater than 0"),
        ({"input_shape": (5, 5, 3)}, ValueError, "`input_shape`"),
    ],
)
def test_bad_arguments(model, arguments, error, message):
    with pytest.raises(error, match=message):
        kerasbnn.benchmark(model, **{**QUICK, **arguments})


def test_only_keras_models_are_taken():
    with pytest.raises(TypeError, match=r"Expected a keras\.Model"):
        kerasbnn.benchmark("model.keras")


# ---- the twins ----------------------------------------------------------------------


def relu(x):
    return np.maximum(x, 0)


def float_layer(layer):
    """The layer of Keras that a quantized one is named after."""
    name = type(layer).__name__.removeprefix("Quant")
    kind = getattr(layers, name)
    arguments = kind.from_config(
        {
            key: value
            for key, value in layer.get_config().items()
            if "quantizer" not in key and key != "pad_values"
        }
    )
    arguments.build(layer._build_shapes_dict["input_shape"])
    arguments.set_weights(layer.get_weights())
    return arguments


DEPTHWISE = {"depthwise_quantizer": "ste_sign", "depthwise_constraint": "weight_clip"}
POINTWISE = {"pointwise_quantizer": "ste_sign", "pointwise_constraint": "weight_clip"}


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: QuantDense(5, **SIGNS), (7,)),
        (
            lambda: QuantDense(
                5, activation="relu", kernel_quantizer="dorefa_quantizer"
            ),
            (3, 7),
        ),
        (lambda: QuantConv2D(5, 3, padding="same", pad_values=1, **SIGNS), (6, 5, 4)),
        (lambda: QuantConv2D(6, 2, strides=2, groups=2, **SIGNS), (6, 5, 4)),
        (lambda: QuantConv1D(5, 3, input_quantizer="approx_sign"), (9, 4)),
        (
            lambda: QuantDepthwiseConv2D(3, input_quantizer="ste_sign", **DEPTHWISE),
            (6, 6, 4),
        ),
        (
            lambda: QuantSeparableConv2D(
                5, 3, input_quantizer="ste_sign", **DEPTHWISE, **POINTWISE
            ),
            (6, 6, 4),
        ),
        (lambda: QuantConv2DTranspose(5, 3, **SIGNS), (4, 4, 3)),
    ],
    ids=["dense", "dense with rank 3", "conv", "grouped conv", "conv in 1D"]
    + ["depthwise", "separable", "transpose"],
)
def test_the_float32_twin_is_the_keras_layer_behind_a_relu(make, shape, tmp_path):
    layer = make()
    model = trained(keras.Sequential([keras.Input(shape), layer]))
    x = samples_for(model)
    twins = make_twins(model, [x])
    (tmp_path / "float32.tflite").write_bytes(twins.float32)
    before = x if layer.input_quantizer is None else relu(x)
    expected = ops.convert_to_numpy(float_layer(layer)(before))
    found = outputs_of(tmp_path / "float32.tflite", x)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def test_quantizers_between_layers_become_relus_too(tmp_path):
    kernel = np.arange(12, dtype="float32").reshape(4, 3) / 7
    model = keras.Sequential(
        [
            keras.Input((4,)),
            quantizers.SteSign(),
            layers.Dense(3, use_bias=False),
            kerasbnn.layers.GeneralizedBinarization("haar", seed=0),
        ]
    )
    model.set_weights([kernel, *model.get_weights()[1:]])
    x = samples_for(model)
    (tmp_path / "float32.tflite").write_bytes(make_twins(model, [x]).float32)
    found = outputs_of(tmp_path / "float32.tflite", x)
    np.testing.assert_allclose(found, relu(relu(x) @ kernel), rtol=1e-5, atol=1e-6)


def test_the_int8_twin_computes_with_integers(model, tmp_path):
    x = samples_for(model, count=60)
    twins = make_twins(model, [x])
    assert twins.problem is None
    interpreter = LiteRT(model_content=twins.int8)
    interpreter.allocate_tensors()
    details = {d["index"]: d for d in interpreter.get_tensor_details()}
    products = [
        operation
        for operation in interpreter._get_ops_details()
        if operation["op_name"] in ("CONV_2D", "FULLY_CONNECTED")
    ]
    assert len(products) == 5
    for operation in products:
        for tensor in (*operation["inputs"][:2], *operation["outputs"]):
            assert details[tensor]["dtype"] == np.int8
    outputs = {}
    for name in ("float32", "int8"):
        (tmp_path / "twin.tflite").write_bytes(getattr(twins, name))
        outputs[name] = outputs_of(tmp_path / "twin.tflite", x)
    error = np.abs(outputs["int8"] - outputs["float32"]).max()
    assert 0 < error < 0.1 * np.abs(outputs["float32"]).max()


def test_twins_normalize_with_the_moments_of_their_own_activations(tmp_path, rng):
    model = trained(
        keras.Sequential(
            [
                keras.Input((6,)),
                QuantDense(20, **SIGNS),
                layers.BatchNormalization(epsilon=0.01),
                QuantDense(4, **SIGNS),
            ]
        )
    )
    first, gamma, beta, *_, last = model.get_weights()
    x = samples_for(model, count=32)
    (tmp_path / "float32.tflite").write_bytes(make_twins(model, [x]).float32)
    products = relu(x) @ first
    deviation = np.sqrt(products.var(axis=0) + 0.01)
    normalized = (products - products.mean(axis=0)) / deviation * gamma + beta
    np.testing.assert_allclose(
        outputs_of(tmp_path / "float32.tflite", x),
        relu(normalized) @ last,
        rtol=1e-4,
        atol=1e-4,
    )


def network_without_life():
    """One whose twin has zeros only behind the last ReLU; LiteRT aborts on its int8."""
    normalization = layers.BatchNormalization()
    model = trained(
        keras.Sequential(
            [
                keras.Input((6, 6, 3)),
                QuantConv2D(8, 3, **BINARY),
                layers.MaxPooling2D(),
                normalization,
                QuantConv2D(8, 2, **SIGNS),
            ]
        )
    )
    normalization.beta.assign(np.full(8, -1000.0))
    return model


def network_without_limits():
    """One with infinite values, for which int8 has no scale."""
    dense = QuantDense(4, **SIGNS)
    return keras.Sequential(
        [keras.Input((8,)), layers.Rescaling(3e38), layers.Rescaling(3e38), dense]
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (network_without_life, "ends the process"),
        (network_without_limits, "unsupported scale value"),
    ],
)
def test_a_twin_that_does_not_run_is_left_out(make, message):
    report = kerasbnn.benchmark(make(), **QUICK)
    assert message in report["int8"].problem
    assert report["int8"].bytes is None
    assert report["packed_stock"].same_classes == 1.0
    assert "No int8 twin" in str(report)


def test_other_backends_leave_it_to_a_process_with_tensorflow(model):
    x = samples_for(model)
    here = make_twins(model, [x])
    there = float_twins._in_tensorflow(model, [x], None)
    for name in ("float32", "int8"):
        mine, theirs = (
            Run(getattr(twins, name)).outputs({"input_0": x}) for twins in (here, there)
        )
        (key,) = mine
        np.testing.assert_allclose(theirs[key], mine[key], rtol=1e-5, atol=1e-5)


# ---- agreement and times ------------------------------------------------------------


def test_agreement_counts_samples_that_agree_in_every_output(rng):
    expected = {"a": rng.normal(size=(8, 5)), "b": rng.normal(size=(8, 2, 3))}
    outputs = {name: values.copy() for name, values in expected.items()}
    assert agreement(outputs, expected) == (1.0, 0.0)
    outputs["a"][3] = -outputs["a"][3]
    outputs["b"][3], outputs["b"][5] = -outputs["b"][3], -outputs["b"][5]
    same, largest = agreement(outputs, expected)
    assert same == 6 / 8
    assert largest == max(
        2 * np.abs(expected["a"][3]).max(), 2 * np.abs(expected["b"][[3, 5]]).max()
    )


def test_contenders_are_called_in_turns():
    calls, rounds = [], []

    def slow(name):
        def call():
            calls.append(name)
            time.sleep(0.004)

        return call

    timings = time_in_turns(
        {"a": slow("a"), "b": slow("b")}, 1e-4, lambda: rounds.append(len(calls))
    )
    # One call to warm up and one that counts.
    assert "".join(calls) == "aabb" * ROUNDS
    assert rounds == [4 * (number + 1) for number in range(ROUNDS)]
    for timing in timings.values():
        assert timing.calls == ROUNDS
        assert timing.wall >= 0.004
        # Who sleeps needs no processor.
        assert timing.cpu < 0.5 * timing.wall


def test_quick_functions_are_called_more_often():
    count = time_in_turns({"quick": lambda: None}, 0.15)["quick"].calls
    assert count > 10 * ROUNDS


# ---- the report ---------------------------------------------------------------------


def test_speeds_compare_processor_time_of_one_thread_and_latencies_of_several():
    assert made_up().speed("packed_delegate", over="float32") == 16
    assert made_up().speed("packed_stock", over="int8") == pytest.approx(0.2)
    one = Contender("int8", 1, 1, latency_ms=6.0, cpu_ms=2.0)
    other = Contender("packed_stock", 1, 1, latency_ms=2.0, cpu_ms=1.0)
    assert made_up(contenders=(one, other)).speed("packed_stock", "int8") == 2
    several = made_up(contenders=(one, other), num_threads=2)
    assert several.speed("packed_stock", "int8") == 3


def test_the_report_as_json(tmp_path):
    values = json.loads(made_up().to_json(tmp_path / "report.json"))
    assert json.loads((tmp_path / "report.json").read_text()) == values
    assert values["model"] == "net"
    fastest = values["contenders"][3]
    assert fastest["name"] == "packed_delegate"
    assert fastest["speed_over_float32"] == 16
    assert fastest["speed_over_int8"] == 4
    assert fastest["bytes"] == 125_000


def test_the_table():
    lines = str(made_up()).splitlines()
    rows = {line[:18].strip(): line[18:].split() for line in lines if line[:1] != " "}
    assert rows["packed + delegate"] == (
        "122 KiB 0.5 0.4-0.6 0.5 16 4 99.5 % 1e-06".split()
    )
    assert rows["float32 twin"][-4:] == ["1", "0.25", "-", "-"]
    text = " ".join(" ".join(lines).split())
    for part in ("net, batch 1, 1 thread", "generic", "200 random samples", "a CPU"):
        assert part in text
    assert "Busy" not in text
    assert all(len(line) <= 100 for line in lines)


def test_the_table_fits_into_a_terminal_of_80_columns():
    long = [
        dataclasses.replace(
            contender, latency_low_ms=0.123, latency_ms=12.3, latency_high_ms=1234.0
        )
        for contender in made_up().contenders
    ]
    file = io.StringIO()
    made_up(contenders=tuple(long)).show(console=Console(file=file, width=80))
    lines = file.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    for contender in long:
        (row,) = [line for line in lines if line.startswith(f"{contender.label:<18}")]
        assert "0.123-1234" in row
        assert "\u2026" not in row


def test_short_times_are_in_microseconds():
    short = [
        dataclasses.replace(contender, latency_ms=0.02, latency_high_ms=0.025)
        for contender in made_up().contenders
    ]
    report = made_up(contenders=tuple(short))
    assert "in us" in str(report)
    latencies, _ = report.plot().axes
    assert [bar.get_width() for bar in latencies.patches] == [20.0] * 4
    assert latencies.get_title(loc="left") == "Latency of a call in µs"


def test_the_table_says_that_the_machine_was_busy():
    waiting = Contender("int8", 1, 1, 6.0, 5.0, 7.0, 2.0)
    float32, _, *packed = made_up().contenders
    contenders = (float32, waiting, *packed)
    assert "Busy" in str(made_up(contenders=contenders))
    assert "Busy" not in str(made_up(contenders=contenders, num_threads=2))


def test_an_unknown_contender_is_named_with_the_known_ones():
    with pytest.raises(KeyError, match="No contender 'int4'.*float32, int8"):
        made_up()["int4"]


def test_the_picture_has_a_bar_for_each_figure(tmp_path):
    figure = made_up().plot(tmp_path / "bars.png")
    latencies, sizes = figure.axes
    assert [bar.get_width() for bar in latencies.patches] == [8.0, 2.0, 10.0, 0.5]
    mib = [bar.get_width() for bar in sizes.patches]
    np.testing.assert_allclose(mib, np.array([4e6, 1e6, 125_000, 125_000]) / 2**20)
    assert len({bar.get_facecolor() for bar in latencies.patches}) == 4
    labels = [label.get_text() for label in latencies.get_yticklabels()]
    assert labels == ["float32 twin", "int8 twin", "packed", "packed + delegate"]
    assert any("16x as fast as float32" in t.get_text() for t in latencies.texts)

    from matplotlib import image

    pixels = image.imread(tmp_path / "bars.png")
    assert pixels.shape[1] > 1000
    assert pixels[..., :3].std() > 0.05


def test_a_picture_of_unknown_format_leaves_no_file(tmp_path):
    with pytest.raises(ValueError, match="gives its format"):
        made_up().plot(tmp_path / "bars.xyz")
    assert not list(tmp_path.iterdir())
