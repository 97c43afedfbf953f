"""The probe file: what is in it, how large it is, and what becomes of bad input."""

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense, quantizers
from kerasbnn.applications import binarynet_cifar10, binarynet_mnist_mlp
from kerasbnn.datasets import load_digits
from kerasbnn.probing import Probe
from kerasbnn.tflite import ConversionError, ProbeReport
from kerasbnn.tflite.graph import Graph
from kerasbnn.tflite.probes import verification
from tests.helpers.converting import BINARY, SIGNS
from tests.helpers.probing import (
    assert_same_geometry,
    audited,
    measured_in_stock,
    randomized,
    samples,
    sequential,
)

needs_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow converts"
)


def dense_net():
    return randomized(binarynet_mnist_mlp((784,), 10, units=(256, 256)))


def conv_net():
    model = binarynet_cifar10(
        (28, 28, 1), 10, filters=(32, 64, 64), units=(), pad_values=1
    )
    return randomized(model)


@needs_tensorflow
@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("make", [dense_net, conv_net])
def test_stock_interpreter_in_batches_of_any_size(tmp_path, make, batch_size):
    model = make()
    x = samples(model, 64)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite", verify_samples=False)
    found = measured_in_stock(tmp_path / "p.tflite", x, batch_size)
    assert_same_geometry(found.report(), audited(model, x))


@needs_tensorflow
def test_a_network_trained_on_digits(tmp_path):
    digits = load_digits()
    model = binarynet_cifar10(
        (8, 8, 1), 10, filters=(16, 32), units=(64,), batchnorm_momentum=0.9
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(digits.x_train, digits.y_train, batch_size=64, epochs=3, verbose=0)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    found = Probe(tmp_path / "p.tflite").measure(digits.x_test).report()
    expected = audited(model, digits.x_test)
    assert_same_geometry(found, expected)
    assert any(layer.normalization for layer in found)
    with pytest.raises(ValueError, match=r"has no verdicts. .* kerasbnn.audit"):
        found.plan()
    assert expected.plan()
    # Far from each other, so that the comparison says something.
    assert len({round(layer.products.pooled, 2) for layer in expected}) > 2


@needs_tensorflow
@pytest.mark.parametrize("make", [dense_net, conv_net])
def test_each_kernel_is_stored_once(tmp_path, make):
    model = make()
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite", verify_samples=False)
    content = (tmp_path / "p.tflite").read_bytes()
    assert report.bytes == len(content)
    assert report.float32_bytes == sum(4 * np.size(w) for w in model.get_weights())
    assert report.size_ratio <= 1.05
    graph = Graph(content)
    described = {entry.buffer for entry in graph.model.metadata}
    sizes = [
        0 if buffer.data is None or place in described else len(buffer.data)
        for place, buffer in enumerate(graph.model.buffers)
    ]
    kernels = sorted(4 * layer.fan_in * layer.filters for layer in report.layers)
    assert sorted(sizes)[-len(kernels) :] == kernels
    assert sum(sizes) <= 1.01 * sum(kernels)


@needs_tensorflow
def test_built_in_operations_only(tmp_path):
    model = conv_net()
    x = samples(model, 8)
    kerasbnn.tflite.probe(model, tmp_path / "p.tflite", verify_samples=False)
    content = (tmp_path / "p.tflite").read_bytes()
    graph = Graph(content)
    assert len(graph.subgraphs) == 1
    for operator in graph.subgraphs[0].operators:
        assert operator.custom_name is None
    assert b"Flex" not in content
    assert b"stablehlo" not in content.lower()
    plain = Interpreter(
        model_content=content,
        experimental_op_resolver_type=(
            OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        ),
    )
    fast = Interpreter(model_content=content)
    (name,) = plain.get_signature_list()["serving_default"]["inputs"]
    outputs = [
        interpreter.get_signature_runner()(**{name: x}) for interpreter in (plain, fast)
    ]
    for name, values in outputs[0].items():
        scale = np.abs(values).max()
        np.testing.assert_allclose(
            values, outputs[1][name], rtol=1e-4, atol=1e-5 * scale, err_msg=name
        )


@needs_tensorflow
def test_same_model_same_bytes(tmp_path):
    first = sequential((9, 9, 2), QuantConv2D(4, 3, **BINARY), layers.Flatten())
    first.add(QuantDense(3, name="last", **SIGNS))
    first.save(tmp_path / "m.keras")
    second = keras.models.load_model(tmp_path / "m.keras")
    for model, name in ((first, "a"), (first, "b"), (second, "c")):
        kerasbnn.tflite.probe(model, tmp_path / name)
    contents = {(tmp_path / name).read_bytes() for name in "abc"}
    assert len(contents) == 1


def test_every_backend_writes_a_probe(tmp_path, rng):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            QuantConv2D(5, 3, **BINARY),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(4),
        ],
        name="net",
    )
    randomized(model)
    x = rng.normal(size=(50, 6, 6, 2)).astype("float32")
    quantizer = quantizers.SteTern(optimal_threshold=True)
    path = tmp_path / "p.tflite"
    report = kerasbnn.tflite.probe(model, path, quantizer=quantizer)
    assert report.path == str(path)
    assert ProbeReport.from_dict(report.to_dict()) == report
    found = Probe(path).measure(x).report()
    assert_same_geometry(found, audited(model, x, quantizer=quantizer))
    assert found.model == "net"


@needs_tensorflow
def test_what_cannot_be_measured_is_named(tmp_path, capsys):
    @keras.saving.register_keras_serializable("test_probe")
    class Doubled(layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)

    model = sequential(
        (64,),
        QuantDense(64, name="measured", **BINARY),
        QuantDense(64, kernel_quantizer="rotated_sign", name="rotated"),
        Doubled(8, name="doubled"),
        QuantDense(8, kernel_quantizer=quantizers.NoOp(1), name="no_latent"),
    )
    x = samples(model)
    report = kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    assert [layer.name for layer in report.layers] == ["measured"]
    report.show()
    shown = capsys.readouterr().out
    for name, why in (
        ("rotated", "in another basis"),
        ("doubled", "class Doubled computes"),
        ("no_latent", "no continuous weights"),
    ):
        assert why in report.skipped[name]
        assert f"not measured: {name}: " in str(report)
        assert f"Not measured  {name}: " in shown
    (row,) = [line for line in shown.splitlines() if line.startswith("measured ")]
    assert row.split() == ["measured", "(QuantDense)", "64", "64", "2", "1"]
    found = Probe(tmp_path / "p.tflite").measure(x).report()
    assert found.skipped == report.skipped
    assert_same_geometry(found, audited(model, x))


@needs_tensorflow
def test_bad_arguments(tmp_path):
    model = sequential((4,), QuantDense(3, **BINARY))
    with pytest.raises(TypeError, match="Expected a keras.Model"):
        kerasbnn.tflite.probe("model.keras", tmp_path / "p.tflite")
    with pytest.raises(FileNotFoundError, match="no folder"):
        kerasbnn.tflite.probe(model, tmp_path / "none" / "p.tflite")
    with pytest.raises(FileNotFoundError, match="it is a folder"):
        kerasbnn.tflite.probe(model, tmp_path)
    with pytest.raises(ValueError, match="must say how to quantize"):
        kerasbnn.tflite.probe(model, tmp_path / "p.tflite", quantizer=None)
    with pytest.raises(ValueError, match="sample_inputs"):
        kerasbnn.tflite.probe(
            model, tmp_path / "p.tflite", sample_inputs=np.zeros((2, 5))
        )
    without = keras.Sequential([keras.Input((4,)), layers.ReLU()])
    with pytest.raises(ValueError, match="no dense layer or convolution"):
        kerasbnn.tflite.probe(without, tmp_path / "p.tflite")
    broken = sequential((4,), QuantDense(3, **BINARY, name="broken"))
    broken.layers[0].kernel.assign(np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="'broken': some of its weights are NaN"):
        kerasbnn.tflite.probe(broken, tmp_path / "p.tflite")
    assert not list(tmp_path.iterdir())


@needs_tensorflow
def test_a_file_that_would_differ_is_not_written(tmp_path, monkeypatch):
    def make():
        hidden = QuantDense(30, name="a", **BINARY)
        return sequential((9,), hidden, QuantDense(3, name="b", **SIGNS))

    model, other = make(), make()
    uneven = np.linspace(0.1, 0.9, 90).reshape(30, 3)
    other.layers[1].kernel.assign(np.where(uneven < 0.2, -uneven, uneven**4))
    audit = verification.audit
    monkeypatch.setattr(
        verification, "audit", lambda _, *rest, **known: audit(other, *rest, **known)
    )
    with pytest.raises(ConversionError, match="'b' would be measured otherwise") as e:
        kerasbnn.tflite.probe(model, tmp_path / "p.tflite")
    assert e.value.layer == "b"
    assert not list(tmp_path.iterdir())


@needs_tensorflow
def test_a_file_that_is_there_stays_where_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "p.tflite"
    path.write_bytes(b"before")
    model = sequential((9,), QuantDense(3, **BINARY))

    def fail(*_, **__):
        raise ConversionError("no", "layer")

    monkeypatch.setattr("kerasbnn.tflite.probes.writer.verify", fail)
    with pytest.raises(ConversionError):
        kerasbnn.tflite.probe(model, path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
