"""The audit of models of many kinds: how layers are found, called and fed."""

import keras
import numpy as np
import pytest
from keras import ops

import kerasbnn
from kerasbnn import QuantDense, quantizers
from tests.helpers.gradients import BACKEND, array

K = keras.layers
BINARY = {
    "kernel_quantizer": "ste_sign",
    "kernel_constraint": "weight_clip",
    "use_bias": False,
}


def sign(values):
    return np.where(values < 0, -1.0, 1.0)


def correlation(x, y):
    return np.corrcoef(np.ravel(x), np.ravel(y))[0, 1]


class TwoBranches(keras.Model):
    """A subclassed model with a nested and a shared layer, and code between calls."""

    def __init__(self):
        super().__init__()
        self.shared = QuantDense(6, **BINARY, name="shared")
        self.nested = keras.Sequential([K.Dense(6, name="inner")], name="block")
        self.unused = K.Dense(2, name="unused")
        self.head = K.Dense(2, name="head")

    def build(self, shape):
        for layer in (self.shared, self.nested, self.unused, self.head):
            layer.build((None, 6))

    def call(self, x):
        x = self.shared(x) + ops.tanh(self.nested(x))
        return self.head(self.shared(x))


def test_subclassed_nested_and_shared_layers(rng):
    model = TwoBranches()
    x = rng.normal(size=(50, 6)).astype("float32")
    model.build(x.shape)
    report = kerasbnn.audit(model, x, batch_size=16, verbose=0)
    names = [layer.name for layer in report.layers]
    assert names == ["shared", "block/inner", "head", "unused"]
    assert (report["shared"].calls, report["shared"].positions) == (2, 100)
    assert report["block/inner"].positions == 50
    unused = report["unused"]
    assert unused.positions == 0
    assert "did not call" in unused.problems[0]
    assert unused.verdicts[0].kind == "not_measured"
    kernel = array(model.shared.kernel)
    second = x @ sign(kernel) + np.tanh(array(model.nested(x)))
    both = np.concatenate([x, second])
    assert report["shared"].products.pooled == pytest.approx(
        correlation(both @ sign(kernel), both @ kernel), abs=1e-5
    )


def test_activations_are_traced_through_pooling_and_flattening(rng):
    """The sign is a layer of its own, and pooling lies between it and the weights."""
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            quantizers.SteSign(name="sign"),
            K.MaxPooling2D(2),
            K.Dropout(0.5),
            K.Flatten(),
            QuantDense(5, **BINARY, name="dense"),
        ]
    )
    x = rng.normal(size=(80, 6, 6, 2)).astype("float32")
    found = kerasbnn.audit(model, x, verbose=0)["dense"]
    pooled = x.reshape(80, 3, 2, 3, 2, 2).max(axis=(2, 4)).reshape(80, -1)
    kernel = sign(array(model.layers[-1].kernel))
    assert found.products.activations == pytest.approx(
        correlation(sign(pooled) @ kernel, pooled @ kernel), abs=1e-5
    )


def test_layers_with_two_kernels_and_groups(rng):
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            kerasbnn.QuantSeparableConv2D(
                6,
                3,
                depthwise_quantizer="ste_sign",
                pointwise_quantizer="ste_sign",
                depthwise_constraint="weight_clip",
                pointwise_constraint="weight_clip",
                name="separable",
            ),  # fmt: skip
            K.DepthwiseConv2D(3, name="depthwise"),
        ]
    )
    x = rng.normal(size=(30, 8, 8, 4)).astype("float32")
    report = kerasbnn.audit(model, x, verbose=0)
    assert [(r.name, r.fan_in, r.filters, r.groups) for r in report.layers] == [
        ("separable/depthwise_kernel", 9, 4, 4),
        ("separable/pointwise_kernel", 4, 6, 1),
        ("depthwise", 9, 6, 6),
    ]
    depthwise, pointwise = (
        model.layers[0].depthwise_kernel,
        model.layers[0].pointwise_kernel,
    )
    options = {"strides": 1, "padding": "valid"}
    between = ops.depthwise_conv(
        x, ops.convert_to_tensor(sign(array(depthwise)).astype("float32")), **options
    )
    kernel = array(pointwise)[0, 0]
    flat = array(between).reshape(-1, 4)
    assert report["separable/pointwise_kernel"].products.pooled == pytest.approx(
        correlation(flat @ sign(kernel), flat @ kernel), abs=1e-5
    )
    products = [
        array(
            ops.depthwise_conv(x, ops.convert_to_tensor(k.astype("float32")), **options)
        )
        for k in (sign(array(depthwise)), array(depthwise))
    ]
    assert report["separable/depthwise_kernel"].products.pooled == pytest.approx(
        correlation(*products), abs=1e-5
    )


def test_layers_that_cannot_be_audited_are_named(rng):
    model = keras.Sequential(
        [keras.Input((5, 6)), K.LSTM(4, name="lstm"), K.Dense(2, name="out")]
    )
    report = kerasbnn.audit(model, rng.normal(size=(10, 5, 6)), verbose=0)
    assert [layer.name for layer in report.layers] == ["out"]
    assert "recurrent" in report.skipped["lstm"]


def test_attention_is_measured_through_its_dense_layers(rng):
    inputs = keras.Input((5, 8))
    outputs = K.MultiHeadAttention(2, 4, name="attention")(inputs, inputs)
    model = keras.Model(inputs, K.Dense(2)(outputs))
    report = kerasbnn.audit(model, rng.normal(size=(20, 5, 8)), verbose=0)
    names = {layer.name.rpartition("/")[2] for layer in report.layers}
    assert {"query", "key", "value", "attention_output"} <= names
    assert report.layers[0].products.median is not None


@pytest.mark.skipif(BACKEND != "tensorflow", reason="tf.function is TensorFlow's")
def test_a_compiled_call_is_refused_in_words(rng):
    import tensorflow as tf

    class Compiled(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = K.Dense(3, name="dense")

        @tf.function
        def call(self, x):
            return self.dense(x)

    model = Compiled()
    model.dense.build((None, 4))
    x = rng.normal(size=(10, 4)).astype("float32")
    with pytest.raises(ValueError, match=r"tf\.function"):
        kerasbnn.audit(model, x, verbose=0)


def test_data_in_every_form(rng):
    a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
    joined = K.Concatenate()([K.Dense(3, name="left")(a), b])
    model = keras.Model({"a": a, "b": b}, K.Dense(2, name="out")(joined))
    x = {"a": rng.normal(size=(40, 6)), "b": rng.normal(size=(40, 4))}

    class Pairs(keras.utils.PyDataset):
        def __len__(self):
            return 4

        def __getitem__(self, index):
            part = slice(10 * index, 10 * index + 10)
            return {k: v[part] for k, v in x.items()}, np.zeros(10)

    reports = [
        kerasbnn.audit(model, data, verbose=0)
        for data in (x, Pairs(), iter([(x, np.zeros(40))]))
    ]
    for report in reports:
        assert report.samples == 40
        assert report["left"].products.pooled == pytest.approx(
            reports[0]["left"].products.pooled, abs=1e-6
        )


def kinds(report):
    return [verdict.kind for layer in report.layers for verdict in layer.verdicts]


def test_masked_steps_do_not_count_in_batch_normalization(rng):
    model = keras.Sequential(
        [
            keras.Input((6, 5)),
            K.Masking(0.0),
            QuantDense(8, **BINARY, name="dense"),
            K.BatchNormalization(name="bn"),
        ]
    )
    x = rng.normal(2, 1, size=(80, 6, 5)).astype("float32")
    x[:, 3:] = 0
    kerasbnn.models.refit_batchnorm(model, x, batch_size=80, verbose=0)
    report = kerasbnn.audit(model, x, verbose=0)
    assert report["dense"].normalization.shift < 1e-3
    assert "refit_batchnorm" not in kinds(report)


def test_a_batch_normalization_of_two_kernels_has_one_set_of_statistics(rng):
    inputs = keras.Input((12,))
    shared = K.BatchNormalization(name="bn")
    wide = QuantDense(6, **BINARY, name="wide")(K.Rescaling(4.0)(inputs))
    narrow = QuantDense(6, **BINARY, name="narrow")(inputs)
    model = keras.Model(inputs, [shared(wide), shared(narrow)])
    x = rng.normal(size=(200, 12)).astype("float32")
    kerasbnn.models.refit_batchnorm(model, x, batch_size=200, verbose=0)
    report = kerasbnn.audit(model, x, verbose=0)
    for name in ("wide", "narrow"):
        assert report[name].normalization.variance_ratio == pytest.approx(1, abs=1e-2)
    assert "refit_batchnorm" not in kinds(report)


def test_thresholds_of_a_layer_that_is_called_twice_are_not_known(rng):
    inputs = keras.Input((6,))
    dense = QuantDense(6, **BINARY, name="dense")
    first = K.BatchNormalization()(dense(inputs))
    model = keras.Model(inputs, K.BatchNormalization()(dense(first)))
    report = kerasbnn.audit(model, rng.normal(size=(64, 6)), verbose=0)
    assert report["dense"].calls == 2
    assert report["dense"].products.batchnorm_flips is None


def test_inputs_with_a_mean_do_not_disturb_the_control(rng):
    layer = QuantDense(8, **BINARY, kernel_initializer="random_normal", name="dense")
    model = keras.Sequential([keras.Input((128,)), layer])
    x = rng.uniform(4.0, 5.0, size=(500, 128)).astype("float32")
    products = kerasbnn.audit(model, x, verbose=0)["dense"].products
    assert products.permuted == pytest.approx(products.permuted_expected, abs=0.02)


@pytest.mark.parametrize(
    "make", [quantizers.RotatedSign, quantizers.WhitenedSign, quantizers.RSign]
)
def test_an_instance_of_a_quantizer_serves_kernels_of_many_shapes(make, rng):
    model = keras.Sequential([keras.Input((16,)), K.Dense(8), K.Dense(6)])
    quantizer = make()
    report = kerasbnn.audit(
        model, rng.normal(size=(40, 16)), quantizer=quantizer, verbose=0
    )
    assert [layer.quantizer for layer in report.layers] == [make.__name__] * 2
    assert not quantizer.built


def test_a_layer_inside_of_time_distributed_is_measured(rng):
    model = keras.Sequential(
        [keras.Input((5, 8)), K.TimeDistributed(K.Dense(4, name="inner"), name="td")]
    )
    x = rng.normal(size=(30, 5, 8)).astype("float32")
    report = kerasbnn.audit(model, x, verbose=0)
    inner = report["td/inner"]
    assert inner.positions == 150
    w = array(model.layers[0].layer.kernel)
    assert inner.products.pooled == pytest.approx(
        correlation(x.reshape(-1, 8) @ sign(w), x.reshape(-1, 8) @ w), abs=1e-5
    )


def test_halves_never_share_a_sample(rng):
    """Steps that are all alike: a half of the rows would predict the other exactly."""
    model = keras.Sequential(
        [keras.Input((2, 10)), K.TimeDistributed(K.Dense(12, name="inner"), name="td")]
    )
    x = np.repeat(rng.normal(size=(60, 1, 10)), 2, axis=1).astype("float32")
    products = kerasbnn.audit(model, x, verbose=0)["td/inner"].products
    assert products.quadratic_predicted != pytest.approx(
        products.quadratic_measured, abs=1e-7
    )


def test_layers_of_a_recurrent_cell_are_left_out(rng):
    cells = [K.LSTMCell(4), K.GRUCell(3)]
    model = keras.Sequential(
        [keras.Input((5, 6)), K.RNN(cells, name="rnn"), K.Dense(2, name="out")]
    )
    report = kerasbnn.audit(model, rng.normal(size=(10, 5, 6)), verbose=0)
    assert [layer.name for layer in report.layers] == ["out"]
    assert list(report.skipped) == ["rnn"]


def test_a_subclass_with_a_call_of_its_own(rng):
    class Cubed(K.Dense):
        def call(self, inputs):
            return super().call(inputs) ** 3

    model = keras.Sequential([keras.Input((9,)), Cubed(7, use_bias=False, name="d")])
    x = rng.normal(size=(100, 9)).astype("float32")
    w = array(model.layers[0].kernel)
    assert kerasbnn.audit(model, x, verbose=0)["d"].products.pooled == pytest.approx(
        correlation(x @ sign(w), x @ w), abs=1e-5
    )


def test_weights_that_are_not_latent_are_compared_with_nothing(rng):
    layer = QuantDense(6, kernel_quantizer=quantizers.NoOp(precision=1), name="bop")
    model = keras.Sequential([keras.Input((9,)), layer])
    found = kerasbnn.audit(model, rng.normal(size=(50, 9)), verbose=0)["bop"]
    assert found.products.pooled is None
    assert found.verdicts[0].kind == "keep_quantized"


def test_data_without_end_ends_at_the_largest_number_of_samples(rng):
    class Endless(keras.utils.PyDataset):
        @property
        def num_batches(self):
            return None

        def __getitem__(self, index):
            return rng.normal(size=(8, 4)), np.zeros(8)

    model = keras.Sequential([keras.Input((4,)), K.Dense(3)])
    assert kerasbnn.audit(model, Endless(), max_samples=20, verbose=0).samples == 20
    with pytest.raises(ValueError, match="no samples"):
        kerasbnn.audit(model, np.zeros((0, 4)), verbose=0)
