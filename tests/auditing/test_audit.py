"""The audit of whole models against the same figures written out in numpy."""

import json

import keras
import numpy as np
import pytest

import kerasbnn
from kerasbnn import QuantConv2D, QuantDense, quantizers
from kerasbnn.geometry.report import GeometryReport
from tests.helpers import convolutions
from tests.helpers.gradients import array

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


@pytest.fixture
def conv_net(rng):
    """A small binary network whose statistics of BatchNormalization fit some data."""
    model = keras.Sequential(
        [
            keras.Input((9, 8, 3)),
            QuantConv2D(6, 3, padding="same", **BINARY, name="first"),
            K.BatchNormalization(name="first_bn"),
            QuantConv2D(
                8, 3, padding="same", pad_values=1, input_quantizer="ste_sign", **BINARY
            ),
            K.MaxPooling2D(2),
            K.BatchNormalization(name="second_bn"),
            K.Flatten(),
            QuantDense(5, input_quantizer="ste_sign", **BINARY, name="logits"),
            K.BatchNormalization(scale=False, name="logits_bn"),
        ],
        name="net",
    )
    model.layers[2].name = "second"
    x = rng.normal(size=(61, 9, 8, 3)).astype("float32")
    kerasbnn.models.refit_batchnorm(model, x, sequential=True, verbose=0)
    return model, x


def inputs_of(model, name, x):
    """Return the inputs of a layer of a Sequential model, before any quantizer."""
    for layer in model.layers:
        if layer.name == name:
            return array(x)
        x = layer(x, training=False)
    raise AssertionError(name)


def test_every_figure_of_a_convolution(conv_net):
    model, x = conv_net
    second = model.layers[2]
    report = kerasbnn.audit(
        model, x, max_samples=None, batch_size=7, max_patches=4096, verbose=0
    )
    assert [layer.name for layer in report.layers] == ["first", "second", "logits"]
    layer = report["second"]
    raw = inputs_of(model, "second", x)
    seen, latent = sign(raw), array(second.kernel)
    options = ((1, 1), "same", (1, 1))
    quantized = convolutions.conv(seen, sign(latent), *options, pad_value=1)
    continuous = convolutions.conv(seen, latent, *options, pad_value=1)
    q, c = quantized.reshape(-1, 8), continuous.reshape(-1, 8)
    each = [correlation(q[:, f], c[:, f]) for f in range(8)]
    products = layer.products
    assert layer.positions == len(q) == 61 * 9 * 8
    assert (layer.fan_in, layer.filters, layer.bits, layer.calls) == (54, 8, 1, 1)
    assert products.pooled == pytest.approx(correlation(q, c), abs=1e-6)
    slope, intercept = np.polyfit(q.ravel(), c.ravel(), 1)
    assert products.slope == pytest.approx(slope, rel=1e-5)
    assert products.intercept == pytest.approx(intercept, abs=1e-5)
    np.testing.assert_allclose(products.per_filter, each, atol=1e-6)
    assert products.median == pytest.approx(np.median(each), abs=1e-6)
    assert products.mean == pytest.approx(np.mean(each), abs=1e-6)
    assert products.lowest == pytest.approx(min(each), abs=1e-6)
    assert products.raw_flips == pytest.approx(np.mean((q < 0) != (c < 0)), abs=1e-4)

    filters = latent.reshape(54, 8)
    cosines = np.abs(filters).mean(axis=0) / np.sqrt(np.square(filters).mean(axis=0))
    angles = np.degrees(np.arccos(cosines))
    np.testing.assert_allclose(layer.angles.per_filter, angles, atol=1e-5)
    assert layer.angles.mean == pytest.approx(angles.mean(), abs=1e-5)
    assert products.permuted_expected == pytest.approx(
        np.cos(np.radians(angles.mean())), abs=1e-6
    )

    padded = convolutions.padded(seen, (3, 3), (1, 1), (1, 1), "same", 1)
    windows = np.stack(
        [w for _, _, w in convolutions.windows(padded, (3, 3), (1, 1), (1, 1))]
    ).reshape(-1, 54)
    rho = c.var(axis=0) / np.square(filters).sum(axis=0) / windows.var(axis=0).mean()
    np.testing.assert_allclose(layer.inputs.rho_per_filter, rho, rtol=1e-5)
    predicted = 1 / np.sqrt(1 + np.tan(np.radians(angles)) ** 2 / rho)
    np.testing.assert_allclose(products.predicted_per_filter, predicted, atol=1e-6)
    assert layer.inputs.mean == pytest.approx(windows.mean(), abs=1e-6)
    assert layer.inputs.sd == pytest.approx(windows.std(), abs=1e-6)

    pooled_raw = convolutions.conv(raw, sign(latent), *options, pad_value=1)
    # 4096 of the 4392 windows are kept.
    assert products.activations == pytest.approx(
        correlation(quantized, pooled_raw), abs=0.003
    )


def test_thresholds_of_batch_normalization_after_pooling(conv_net):
    model, x = conv_net
    second, pool, norm = model.layers[2:5]
    report = kerasbnn.audit(
        model, x, max_samples=None, max_patches=4096, batch_size=61, verbose=0
    )
    raw = inputs_of(model, "second", x)
    options = ((1, 1), "same", (1, 1))
    latent = array(second.kernel)
    flips = []
    for kernel in (sign(latent), latent):
        y = convolutions.conv(sign(raw), kernel, *options, pad_value=1)
        pooled = array(pool(y.astype("float32")))
        mean, variance = pooled.mean(axis=(0, 1, 2)), pooled.var(axis=(0, 1, 2))
        scale = np.sqrt(variance + norm.epsilon) / array(norm.gamma)
        flips.append(y >= mean - array(norm.beta) * scale)
    expected = np.mean(flips[0] != flips[1])
    # 4096 of the 4392 positions are kept.
    assert report["second"].products.batchnorm_flips == pytest.approx(
        expected, abs=0.01
    )
    fit = report["second"].normalization
    assert fit.name == "second_bn"
    assert fit.shift < 1e-3
    assert fit.variance_ratio == pytest.approx(1, abs=1e-3)


def test_the_figures_do_not_depend_on_how_samples_come_in_batches(conv_net):
    model, x = conv_net
    whole, parts = (
        kerasbnn.audit(model, x, max_samples=None, batch_size=size, verbose=0)
        for size in (61, 9)
    )
    batches = iter([x[:1], x[1:40], x[40:]])
    streamed = kerasbnn.audit(model, batches, max_samples=None, verbose=0)
    for other in (parts, streamed):
        for first, second in zip(whole.layers, other.layers, strict=True):
            a, b = first.to_dict(), second.to_dict()
            # Windows of the permuted inputs of a batch.
            for figures in (a, b):
                for name in ("permuted", "permuted_error"):
                    del figures["products"][name]
                del figures["histograms"]["permuted"]
            assert_close(a, b)


def assert_close(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_close(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for left, right in zip(a, b, strict=True):
            assert_close(left, right)
    elif isinstance(a, float):
        assert a == pytest.approx(b, rel=1e-4, abs=1e-5)
    else:
        assert a == b


def test_max_samples_takes_the_first_ones(conv_net):
    model, x = conv_net
    some = kerasbnn.audit(model, x, max_samples=20, batch_size=8, verbose=0)
    same = kerasbnn.audit(model, x[:20], batch_size=8, verbose=0)
    assert some.samples == same.samples == 20
    assert some["second"].products.pooled == pytest.approx(
        same["second"].products.pooled, abs=1e-6
    )


def test_permuted_inputs_leave_the_cosine_of_the_angle(rng):
    layer = QuantDense(64, **BINARY, kernel_initializer="random_normal", name="wide")
    model = keras.Sequential([keras.Input((256,)), layer])
    # Two directions hold nearly all variance, and the filters look elsewhere.
    directions = rng.normal(size=(2, 256))
    x = rng.normal(size=(400, 2)) * 5 @ directions + rng.normal(size=(400, 256))
    report = kerasbnn.audit(model, x.astype("float32"), verbose=0)
    products = report["wide"].products
    assert products.permuted == pytest.approx(products.permuted_expected, abs=0.02)
    assert 0 < products.permuted_error < 0.02
    assert products.permuted_expected == pytest.approx(np.sqrt(2 / np.pi), abs=0.01)


def test_the_quadratic_form_predicts_the_other_half(rng):
    layer = QuantDense(32, **BINARY, name="dense")
    model = keras.Sequential([keras.Input((20,)), layer])
    layer.kernel.assign(rng.normal(size=(20, 32)))
    mixing = rng.normal(size=(4, 20))
    x = rng.normal(size=(1500, 4)) @ mixing + 0.3 * rng.normal(size=(1500, 20))
    report = kerasbnn.audit(
        model, x.astype("float32"), max_samples=None, max_patches=1500, verbose=0
    )
    products = report["dense"].products
    assert products.quadratic_predicted != products.quadratic_measured
    assert products.quadratic_predicted == pytest.approx(
        products.quadratic_measured, abs=0.03
    )
    # The mean over directions is far off where four of them hold the variance.
    assert report["dense"].inputs.participation_ratio == pytest.approx(3.3, abs=0.7)


@pytest.mark.parametrize(
    ("initializer", "angle"),
    [("glorot_uniform", 30.0), ("random_normal", 37.0714 - 23.662 / 400)],
)
def test_initial_weights_have_the_angle_of_their_law(initializer, angle, rng):
    model = keras.Sequential(
        [keras.Input((400,)), K.Dense(300, kernel_initializer=initializer)]
    )
    layer = kerasbnn.audit(model).layers[0]
    error = 20.178 / np.sqrt(400 * 300)
    assert layer.angles.mean == pytest.approx(angle, abs=4 * error)
    assert layer.angles.expected == pytest.approx(37.0714 - 23.662 / 400, abs=1e-3)
    assert layer.positions == 0
    assert layer.products.pooled is None
    assert layer.verdicts[0].kind == "not_measured"


def test_a_float_model_is_measured_as_if_it_were_binary(rng):
    model = keras.Sequential(
        [keras.Input((12,)), K.Dense(30, activation="relu", name="hidden"), K.Dense(3)]
    )
    x = rng.normal(size=(300, 12)).astype("float32")
    layer = kerasbnn.audit(model, x, verbose=0)["hidden"]
    kernel = array(model.layers[0].kernel)
    assert not layer.is_quantized
    assert layer.quantizer == "SteSign"
    assert layer.products.pooled == pytest.approx(
        correlation(x @ sign(kernel), x @ kernel), abs=1e-6
    )
    ternary = kerasbnn.audit(
        model, x, quantizer=quantizers.SteTern(optimal_threshold=True), verbose=0
    )["hidden"]
    assert ternary.angles.mean < layer.angles.mean - 5
    assert ternary.products.median > layer.products.median
    assert set(ternary.weights.levels) == {"-1", "0", "1"}


@pytest.mark.parametrize(
    "quantizer", ["ste_tern", quantizers.DoReFa(2, "weights"), "magnitude_aware_sign"]
)
def test_any_quantizer_has_an_angle(quantizer, rng):
    layer = QuantDense(
        7, kernel_quantizer=quantizer, kernel_constraint="weight_clip", name="dense"
    )
    model = keras.Sequential([keras.Input((40,)), layer])
    x = rng.normal(size=(100, 40)).astype("float32")
    found = kerasbnn.audit(model, x, verbose=0)["dense"]
    w, q = array(layer.kernel), array(layer.quantize_kernel())
    cosines = np.sum(w * q, 0) / np.linalg.norm(w, axis=0) / np.linalg.norm(q, axis=0)
    np.testing.assert_allclose(
        found.angles.per_filter, np.degrees(np.arccos(cosines)), atol=1e-3
    )
    assert found.products.pooled == pytest.approx(correlation(x @ w, x @ q), abs=1e-5)


def test_bias_activation_and_half_precision(rng):
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = QuantDense(
        6, kernel_quantizer="ste_sign", kernel_constraint="weight_clip",
        bias_initializer="ones", activation="relu", name="dense",
    )  # fmt: skip
    model = keras.Sequential([keras.Input((16,)), layer])
    x = rng.integers(-4, 5, size=(100, 16)).astype("float32")
    found = kerasbnn.audit(model, x, verbose=0)["dense"]
    w = array(layer.kernel.value)
    assert found.products.pooled == pytest.approx(
        correlation(x @ sign(w), x @ w), abs=1e-5
    )


def check_json(report):
    text = report.to_json()

    def refuse(constant):
        raise AssertionError(f"{constant} in a JSON")

    json.loads(text, parse_constant=refuse)
    assert GeometryReport.from_dict(json.loads(text)).to_dict() == report.to_dict()


def test_values_that_are_not_finite_are_reported_as_such(rng):
    model = keras.Sequential(
        [keras.Input((8,)), K.Dense(4, name="bad"), K.Dense(3, name="after")]
    )
    kernel = rng.normal(size=(8, 4)).astype("float32")
    kernel[2, 1] = np.nan
    model.layers[0].kernel.assign(kernel)
    report = kerasbnn.audit(model, rng.normal(size=(20, 8)), verbose=0)
    check_json(report)
    bad, after = report.layers
    assert bad.weights.non_finite == 1
    assert "1 of the weights are NaN or infinite." in bad.problems
    assert bad.angles.per_filter[1] is None
    assert bad.angles.per_filter[0] is not None
    assert "given up" in after.problems[0]
    for layer in report.layers:
        assert layer.products.pooled is None
        assert layer.verdicts[0].kind == "not_measured"
        assert layer.verdicts[0].reason


def test_constant_filters_and_single_weights(rng):
    model = keras.Sequential(
        [keras.Input((1,)), K.Dense(3, name="narrow"), K.Dense(2, name="zeros")]
    )
    model.layers[1].kernel.assign(np.zeros((3, 2)))
    report = kerasbnn.audit(model, rng.normal(size=(20, 1)), verbose=0)
    check_json(report)
    narrow, zeros = report.layers
    assert narrow.angles.mean == 0
    assert narrow.products.median == pytest.approx(1)
    assert "one weight" in narrow.problems[0]
    assert zeros.angles.mean is None
    assert zeros.products.constant_filters == 2
    assert zeros.products.pooled is None
    assert "do not vary" in zeros.problems[0]


def test_constant_inputs_and_a_single_sample():
    model = keras.Sequential([keras.Input((4, 4, 2)), K.Conv2D(3, 3, name="conv")])
    for x in (np.ones((5, 4, 4, 2)), np.arange(32.0).reshape(1, 4, 4, 2)):
        report = kerasbnn.audit(model, x, verbose=0)
        check_json(report)
        assert report["conv"].positions == 4 * len(x)


def test_nothing_about_the_model_changes(conv_net):
    model, x = conv_net
    model.compile("sgd", "mse")
    before = [array(w) for w in model.variables]
    predictions = model.predict(x, verbose=0)
    kerasbnn.audit(model, x, verbose=0)
    for old, new in zip(before, model.variables, strict=True):
        np.testing.assert_array_equal(old, array(new))
    np.testing.assert_array_equal(predictions, model.predict(x, verbose=0))
    assert keras.layers.Layer.__call__.__qualname__ == "Layer.__call__"


def test_flips_since_the_start_of_training(rng):
    model = keras.Sequential([keras.Input((50,)), QuantDense(4, **BINARY, name="d")])
    start = kerasbnn.models.quantized_weights(model)
    kernel = array(model.layers[0].kernel)
    kernel[:10] *= -1
    model.layers[0].kernel.assign(kernel)
    report = kerasbnn.audit(model, start=start)
    assert report["d"].weights.flips_since_start == pytest.approx(0.2)
    assert kerasbnn.audit(model)["d"].weights.flips_since_start is None
    with pytest.raises(ValueError, match="none of the kernels .*, d/kernel"):
        kerasbnn.audit(model, start={"e/kernel": kernel})


def test_progress_is_shown(conv_net, capsys):
    model, x = conv_net
    kerasbnn.audit(model, x, max_samples=20, batch_size=9)
    shown = capsys.readouterr().out
    assert "3/3" in shown
    kerasbnn.audit(model, x, max_samples=20, verbose=0)
    assert capsys.readouterr().out == ""


def test_wrong_arguments_are_refused(conv_net):
    model, x = conv_net
    for arguments, message in (
        ({"layers": ["secnd"]}, "Did you mean 'second'"),
        ({"max_samples": 0}, "`max_samples` must be an int from 1 on"),
        ({"max_patches": 5000}, "`max_patches` must be an int from 16 to 4096"),
        ({"layers": ["first_bn"]}, "no dense layer or convolution"),
        ({"quantizer": "ste_sgn"}, "Unknown quantizer"),
    ):
        with pytest.raises(ValueError, match=message):
            kerasbnn.audit(model, x, **arguments, verbose=0)
    with pytest.raises(TypeError, match=r"Expected a keras\.Model"):
        kerasbnn.audit(model.layers[0], x)
    with pytest.raises(ValueError, match="NaN or infinite"):
        kerasbnn.audit(model, np.full_like(x, np.nan), verbose=0)


def test_other_quantizers_are_measured_on_the_windows(rng):
    """Correlated inputs, and filters with few large weights that look elsewhere."""
    mixing = np.linalg.cholesky(0.9 ** np.abs(np.subtract.outer(range(16), range(16))))
    x = (rng.normal(size=(2000, 16)) @ mixing.T).astype("float32")
    kernel = rng.normal(size=(16, 40)) ** 3
    kernel -= kernel.mean(axis=0)
    model = keras.Sequential([keras.Input((16,)), QuantDense(40, **BINARY, name="d")])
    model.layers[0].kernel.assign(kernel)
    found = kerasbnn.audit(model, x, max_samples=None, max_patches=2000, verbose=0)["d"]
    seen = found.alternatives

    def mean(quantized):
        pairs = zip((x @ kernel).T, (x @ quantized).T, strict=True)
        return np.mean([correlation(*pair) for pair in pairs])

    w, v = np.linalg.eigh(np.cov(x.T))
    root, inverse = (v * np.sqrt(w)) @ v.T, (v / np.sqrt(w)) @ v.T
    assert seen.whitened == pytest.approx(mean(inverse @ sign(root @ kernel)), abs=0.04)
    magnitudes = np.abs(kernel)
    best = np.zeros_like(kernel)
    for f in range(40):
        cosines = []
        for k in range(1, 17):
            kept = magnitudes[:, f] >= np.sort(magnitudes[:, f])[-k]
            cosines.append(magnitudes[kept, f].sum() / np.sqrt(k))
        kept = magnitudes[:, f] >= np.sort(magnitudes[:, f])[-1 - np.argmax(cosines)]
        best[:, f] = np.sign(kernel[:, f]) * kept
    assert seen.ternary == pytest.approx(mean(best), abs=1e-6)
    assert seen.whitened > found.products.mean + 0.1
    assert seen.ternary > found.products.mean + 0.1
