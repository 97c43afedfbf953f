"""`InputCovariance` against numpy written out."""

import json

import numpy as np
import pytest

from kerasbnn.probing import InputCovariance
from kerasbnn.probing import covariance as module


def half_and_all(x):
    order = np.random.default_rng(0).permutation(len(x))[: module.MOST_SAMPLES]
    flat = x[order].reshape(len(order), -1).astype(float)
    return flat[::2], flat


def correlated(count, size, seed=0):
    """Draw inputs whose variance lies along a few directions."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(size, size)) * 0.8 ** np.arange(size)
    return (rng.normal(size=(count, size)) @ mixing.T + rng.normal(size=size)).astype(
        "float32"
    )


def written_out(fitted, x):
    """Return both distances, by the eigenvectors of numpy's covariance."""
    values, vectors = np.linalg.eigh(np.cov(fitted.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    count = 1 + np.flatnonzero(np.cumsum(values) / values.sum() >= 0.95)[0]
    count = min(count, 32)
    along = (x - fitted.mean(axis=0)) @ vectors
    inside = (along[:, :count] ** 2 / values[:count]).sum(axis=1)
    return count, inside, (along[:, count:] ** 2).sum(axis=1)


@pytest.mark.parametrize(
    ("count", "shape"), [(400, (12,)), (90, (3, 4, 2)), (64, (90,)), (4000, (64,))]
)
def test_distances(count, shape):
    x = correlated(count, int(np.prod(shape))).reshape(count, *shape)
    found = InputCovariance.fit(x)
    fitted, everything = half_and_all(x)
    directions, inside, outside = written_out(fitted, everything)
    assert len(found.variances) == directions
    assert found.samples == len(everything)
    expected = np.stack([inside, outside / outside.mean()], axis=1)
    # The directions have the eleven bits of float16.
    distances = found.distances(everything.reshape(-1, *shape))
    np.testing.assert_allclose(distances, expected, rtol=0.02, atol=0.02)
    np.testing.assert_allclose(
        found.quantiles[:, :3],
        np.quantile(distances, [0.5, 0.9, 0.99], axis=0).T,
        rtol=1e-6,
    )
    beyond = (distances > found.quantiles[:, 2]).any(axis=1)
    assert found.beyond == pytest.approx(beyond.mean())
    np.testing.assert_array_equal(found.is_outside(everything), beyond)
    # The last of 1000 inputs is what the largest quantile takes.
    assert np.isnan(found.quantiles[:, 3]).all() == (len(everything) < 1000)


def test_normal_inputs_have_distances_of_chi_square():
    from scipy.stats import chi2

    x = np.random.default_rng(1).normal(size=(4000, 20))
    found = InputCovariance.fit(x)
    directions = len(found.variances)
    expected = chi2.ppf([0.5, 0.9, 0.99], directions)
    np.testing.assert_allclose(found.quantiles[0, :3], expected, rtol=0.08)
    new = np.random.default_rng(2).normal(size=(4000, 20))
    assert found.is_outside(new).mean() == pytest.approx(0.02, abs=0.012)
    assert found.is_outside(new + 5).all()


def test_what_does_not_vary():
    found = InputCovariance.fit(np.full((64, 5), 7.0))
    assert len(found.variances) == 0
    assert found.beyond == 0.0
    assert not found.is_outside(np.full((2, 5), 7.0)).any()
    assert found.is_outside(np.full((2, 5), 7.1)).all()
    one = np.random.default_rng(0).normal(size=(64, 1)) * np.eye(5)[2] + 3
    found = InputCovariance.fit(one)
    assert len(found.variances) == 1
    assert not found.is_outside(one[:8]).all()
    assert found.is_outside(one + 1).all()


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_scales(scale):
    x = correlated(300, 8)
    found, same = InputCovariance.fit(x * np.float32(scale)), InputCovariance.fit(x)
    np.testing.assert_allclose(
        found.distances(x[:9] * np.float32(scale)), same.distances(x[:9]), rtol=1e-3
    )


def test_bytes_and_bools_are_numbers():
    x = np.random.default_rng(0).integers(0, 256, (200, 4, 4, 3), np.uint8)
    found = InputCovariance.fit(x)
    np.testing.assert_array_equal(
        found.distances(x), InputCovariance.fit(x.astype(float)).distances(x)
    )
    InputCovariance.fit(x > 128)


def test_large_inputs_stay_small():
    x = np.random.default_rng(0).normal(size=(200, 224, 224, 3)).astype("float32")
    found = InputCovariance.fit(x)
    assert found.size == 224 * 224 * 3
    assert len(found.mean) <= module.MOST_COMPONENTS
    assert len(json.dumps(found.to_dict())) < 400_000
    assert found.is_outside(x * 2).all()
    # What is looked at is spread over all rows, columns and channels.
    chosen = module.spread_evenly(found.size, module.MOST_COMPONENTS)
    for axis, size in enumerate((224, 224, 3)):
        places = np.unravel_index(chosen, (224, 224, 3))[axis]
        assert len(np.unique(places)) == size


@pytest.mark.parametrize("size", [5, 600])
def test_dict(size):
    x = correlated(300, size)
    found = InputCovariance.fit(x)
    text = json.dumps(found.to_dict(), allow_nan=False)
    again = InputCovariance.from_dict(json.loads(text))
    np.testing.assert_array_equal(again.distances(x), found.distances(x))
    np.testing.assert_array_equal(again.quantiles, found.quantiles)
    assert again.to_dict() == found.to_dict()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("size", 4),
        ("size", 0),
        ("mean", ""),
        ("mean", "not base64"),
        ("directions", "AAAA"),
        ("variances", ""),
        ("quantiles", [[1.0, 2.0]]),
        ("quantiles", [[1.0, 2.0, None, None]] * 2),
        ("outside_scale", 0.0),
        ("outside_scale", float("nan")),
        ("beyond", float("inf")),
        ("samples", 0),
    ],
)
def test_damaged_dicts(key, value):
    values = InputCovariance.fit(correlated(100, 5)).to_dict()
    with pytest.raises(ValueError, match=r"."):
        InputCovariance.from_dict({**values, key: value})


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((3, 5)), "at least 4 samples"),
        (np.zeros((9, 0)), "not empty"),
        (np.full((9, 2), np.nan), "NaN"),
    ],
)
def test_what_cannot_be_fitted(x, words):
    with pytest.raises(ValueError, match=words):
        InputCovariance.fit(x)


def test_other_inputs():
    found = InputCovariance.fit(correlated(100, 6))
    with pytest.raises(ValueError, match="6 components"):
        found.distances(np.zeros((2, 5)))
    with pytest.raises(ValueError, match="infinite"):
        found.distances(np.full((2, 6), np.inf))
