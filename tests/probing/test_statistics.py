"""Statistics of probes against numpy on all windows at once; needs no Keras."""

import dataclasses

import numpy as np
import pytest

from kerasbnn.geometry.layer_geometry import Angles, LayerGeometry
from kerasbnn.probing.activations import Activations
from kerasbnn.probing.description import (
    Call,
    KernelDescription,
    NormalizationDescription,
    ProbeDescription,
    decode_floats,
    encode_floats,
    output_name,
)
from kerasbnn.probing.statistics import ProbeStatistics

# A convolution of lines: 9 inputs of 4 channels, 3 taps, one position of padding on
# both sides, stride 2, 6 filters.
SIZE, CHANNELS, TAPS, STRIDE, FILTERS, PAD = 9, 4, 3, 2, 6, -1.0
POSITIONS = 5


def described(weights, **options):
    signs = np.where(weights < 0, -1, 1)
    cosines = np.abs(weights).sum(axis=0) / np.linalg.norm(weights, axis=0)
    angles = np.degrees(np.arccos(cosines / np.sqrt(len(weights))))
    geometry = LayerGeometry(
        "conv",
        "conv",
        "kernel",
        "QuantConv1D",
        len(weights),
        FILTERS,
        angles=Angles(mean=float(angles.mean()), per_filter=tuple(angles.tolist())),
    )
    norms = np.square(weights).sum(axis=0).astype(np.float32)
    # Taps 0 and 2 meet the padding once each.
    call = Call(POSITIONS, ((4, 5, 4),), PAD)
    kernel = KernelDescription(geometry, norms, (call,), normalization="bn", **options)
    normalization = NormalizationDescription(
        "bn",
        1e-3,
        np.linspace(-1, 1, FILTERS, dtype=np.float32),
        np.linspace(1, 2, FILTERS, dtype=np.float32),
        (Call(POSITIONS),),
    )
    return ProbeDescription("net", "1.0", (kernel,), (normalization,)), signs


def windows_of(x):
    padded = np.pad(x, [(0, 0), (1, 1), (0, 0)], constant_values=PAD)
    starts = STRIDE * np.arange(POSITIONS)
    taken = padded[:, starts[:, np.newaxis] + np.arange(TAPS)]
    return taken.reshape(len(x), POSITIONS, TAPS * CHANNELS)


def outputs_of(x, weights, signs):
    """Write out what a probe yields for some inputs."""
    windows = windows_of(x)
    binary, continuous = windows @ signs, windows @ weights
    deviations = x - x.mean(axis=1, keepdims=True)
    padded = np.pad(deviations, [(0, 0), (1, 1), (0, 0)])
    met = padded[:, STRIDE * np.arange(POSITIONS)[:, np.newaxis] + np.arange(TAPS)]
    first, second = binary - binary.mean(1, keepdims=True), continuous
    second = second - second.mean(1, keepdims=True)
    kernel = {
        "quantized": binary.mean(axis=1),
        "continuous": continuous.mean(axis=1),
        "quantized_squares": (first**2).sum(axis=1),
        "continuous_squares": (second**2).sum(axis=1),
        "joint_squares": (first * second).sum(axis=1),
        "flips": ((binary < 0) != (continuous < 0)).sum(axis=(1, 2))[:, np.newaxis],
        "inputs": x.mean(axis=1),
        "elements": met.sum(axis=1).reshape(len(x), -1),
        "element_squares": (met**2).sum(axis=1).reshape(len(x), -1),
        "negative": (x < 0).mean(axis=1),
        "saturated": (np.abs(x) > 1).mean(axis=1),
    }
    own = binary - binary.mean(axis=1, keepdims=True)
    normalization = {"mean": binary.mean(axis=1), "squares": (own**2).sum(axis=1)}
    named = {output_name("conv", 0, key): value for key, value in kernel.items()}
    named |= {output_name("bn", 0, key): v for key, v in normalization.items()}
    return {name: value.astype(np.float32) for name, value in named.items()}


@pytest.fixture
def weights(rng):
    return rng.normal(size=(TAPS * CHANNELS, FILTERS))


@pytest.fixture
def x(rng):
    return rng.normal([1, 0, -2, 5], size=(30, SIZE, CHANNELS))


@pytest.fixture
def description(weights):
    return described(weights)[0]


def test_the_figures_are_those_of_all_windows(weights, x):
    description, signs = described(weights, clip_value=1.0)
    statistics = ProbeStatistics(description)
    statistics.update(outputs_of(x, weights, signs), len(x))
    report = statistics.report()
    layer = report["conv"]
    windows = windows_of(x).reshape(-1, TAPS * CHANNELS)
    binary, continuous = windows @ signs, windows @ weights
    each = [
        np.corrcoef(*pair)[0, 1] for pair in zip(binary.T, continuous.T, strict=True)
    ]
    assert (report.samples, layer.positions, layer.calls) == (30, 150, 1)
    products = layer.products
    np.testing.assert_allclose(products.per_filter, each, rtol=1e-5)
    assert products.pooled == pytest.approx(
        np.corrcoef(binary.ravel(), continuous.ravel())[0, 1], rel=1e-5
    )
    slope, intercept = np.polyfit(binary.ravel(), continuous.ravel(), 1)
    assert products.slope == pytest.approx(slope, rel=1e-5)
    assert products.intercept == pytest.approx(intercept, rel=1e-4)
    assert products.raw_flips == pytest.approx(
        ((binary < 0) != (continuous < 0)).mean()
    )
    assert products.median == pytest.approx(np.median(each), rel=1e-5)
    assert layer.inputs.mean == pytest.approx(windows.mean(), rel=1e-5)
    assert layer.inputs.sd == pytest.approx(windows.std(), rel=1e-5)
    variance = windows.var(axis=0).mean()
    rho = continuous.var(axis=0) / np.square(weights).sum(axis=0) / variance
    np.testing.assert_allclose(layer.inputs.rho_per_filter, rho, rtol=1e-5)
    mean, variances = statistics.kernels["conv"].element_moments()
    np.testing.assert_allclose(mean, [windows.mean(axis=0)], rtol=1e-5)
    np.testing.assert_allclose(variances, [windows.var(axis=0)], rtol=1e-5)
    own_mean, own_variance = np.linspace(-1, 1, FILTERS), np.linspace(1, 2, FILTERS)
    spread = np.sqrt(binary.var(axis=0) + 1e-3)
    shift = np.median(np.abs(own_mean - binary.mean(axis=0)) / spread)
    assert layer.normalization.shift == pytest.approx(shift, rel=1e-5)
    ratio = np.median((own_variance + 1e-3) / (binary.var(axis=0) + 1e-3))
    assert layer.normalization.variance_ratio == pytest.approx(ratio, rel=1e-5)
    activations = statistics.activations()["conv"]
    assert activations.negative == pytest.approx((x < 0).mean())
    assert activations.saturated == pytest.approx((np.abs(x) > 1).mean())
    entropies = []
    for share in (x < 0).mean(axis=(0, 1)):
        kinds = [p for p in (share, 1 - share) if p > 0]
        entropies.append(-sum(p * np.log2(p) for p in kinds))
    assert activations.sign_entropy == pytest.approx(np.mean(entropies))


@pytest.mark.parametrize("cuts", [[15], [1, 2], list(range(1, 30))])
def test_batches_add_up_to_the_whole(weights, x, cuts):
    description, signs = described(weights)
    whole, parts = ProbeStatistics(description), ProbeStatistics(description)
    whole.update(outputs_of(x, weights, signs), len(x))
    for part in np.split(x, cuts):
        one = ProbeStatistics(description)
        one.update(outputs_of(part, weights, signs), len(part))
        parts.merge(one)
    assert parts.samples == whole.samples
    found, expected = parts.report()["conv"], whole.report()["conv"]
    for name in ("pooled", "slope", "mean", "raw_flips", "predicted_mean"):
        value = getattr(expected.products, name)
        assert getattr(found.products, name) == pytest.approx(value, rel=1e-9)
    assert found.inputs.sd == pytest.approx(expected.inputs.sd, rel=1e-9)
    shift = expected.normalization.shift
    assert found.normalization.shift == pytest.approx(shift, rel=1e-9)


def test_before_any_sample_only_the_weights_are_known(description):
    layer = ProbeStatistics(description).report()["conv"]
    assert layer == description.kernels[0].geometry
    assert layer.products.pooled is None
    assert ProbeStatistics(description).activations() == {}


def test_a_bad_batch_is_not_counted(weights, x):
    description, signs = described(weights)
    statistics = ProbeStatistics(description)
    statistics.update(outputs_of(x, weights, signs), len(x))
    before = statistics.report().to_dict()
    for name in ("conv:0:joint_squares", "bn:0:mean"):
        outputs = outputs_of(x, weights, signs)
        outputs[name][3, 2] = np.nan
        with pytest.raises(ValueError, match="NaN or infinite.*was not counted"):
            statistics.update(outputs, len(x))
        del outputs[name]
        with pytest.raises(ValueError, match=f"{name} are missing"):
            statistics.update(outputs, len(x))
    assert statistics.report().to_dict() == before


def test_filters_that_do_not_vary_are_a_problem(weights, x):
    description, signs = described(weights)
    statistics = ProbeStatistics(description)
    constant = np.broadcast_to(x[:1, :1], x.shape) * 0 + PAD
    statistics.update(outputs_of(constant, weights, signs), len(x))
    layer = statistics.report()["conv"]
    assert layer.products.constant_filters == FILTERS
    assert layer.products.pooled is not None or layer.products.mean is None
    assert f"{FILTERS} of {FILTERS} filters do not vary" in layer.problems[0]


def test_other_probes_cannot_be_merged(weights, description):
    kernel = description.kernels[0]
    retrained = dataclasses.replace(kernel, squared_norms=kernel.squared_norms * 2)
    other = dataclasses.replace(description, kernels=(retrained,))
    with pytest.raises(ValueError, match="Only statistics of the same probe"):
        ProbeStatistics(description).merge(ProbeStatistics(other))
    same = ProbeDescription.from_dict(description.to_dict())
    ProbeStatistics(description).merge(ProbeStatistics(same))


def test_a_description_survives_as_plain_values(description):
    found = ProbeDescription.from_dict(description.to_dict())
    assert found.to_dict() == description.to_dict()
    kernel, expected = found.kernels[0], description.kernels[0]
    assert kernel.calls == expected.calls
    np.testing.assert_allclose(
        kernel.geometry.angles.per_filter, expected.geometry.angles.per_filter
    )
    np.testing.assert_array_equal(
        decode_floats(encode_floats([1, np.nan])), [1, np.nan]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("format"), "no number of its format"),
        (lambda d: d.update(format=99), "install a newer kerasbnn"),
        (lambda d: d.pop("kernels"), "missing or wrong"),
        (lambda d: d["kernels"][0].pop("calls"), "missing or wrong"),
        (lambda d: d["kernels"][0].update(angles=encode_floats([1])), "1 angles"),
        (lambda d: d["kernels"][0].update(angles="?"), "base64"),
    ],
)
def test_a_damaged_description_is_refused(description, change, message):
    values = description.to_dict()
    change(values)
    with pytest.raises(ValueError, match=message):
        ProbeDescription.from_dict(values)


def test_activations_by_hand():
    found = Activations.from_fractions(
        np.array([0.5, 0.0, 0.25]), np.array([1, 0, 0.5])
    )
    assert found.negative == 0.25
    assert found.saturated == 0.5
    assert found.sign_entropy == pytest.approx((1 + 0 + 0.8112781) / 3)
    assert found.dead_channels == 1
