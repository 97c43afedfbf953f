"""Joint histograms against numpy's, and on what is no ordinary sample."""

from itertools import pairwise

import numpy as np
import pytest

from kerasbnn.geometry.histograms import product_histogram


@pytest.mark.parametrize("bins", [2, 10, 50])
@pytest.mark.parametrize("shape", [(1001,), (37, 5), (2, 3, 4)])
def test_counts_are_those_of_numpy(bins, shape, rng):
    x = rng.normal(size=shape)
    y = 3 * x + rng.standard_t(3, size=shape)
    histogram = product_histogram(x, y, bins)
    ranges = [
        (-limit, limit)
        for limit in (np.percentile(np.abs(v), 99.9, method="higher") for v in (x, y))
    ]
    counts, x_edges, y_edges = np.histogram2d(x.ravel(), y.ravel(), bins, ranges)
    np.testing.assert_allclose(histogram.x_edges, x_edges, atol=1e-12)
    np.testing.assert_allclose(histogram.y_edges, y_edges, atol=1e-12)
    np.testing.assert_array_equal(histogram.counts, counts)
    assert all(type(count) is int for row in histogram.counts for count in row)


def test_zero_is_an_edge_and_belongs_to_the_positive_side():
    histogram = product_histogram([0.0, 0.0, -0.5, 1.0], [-1.0, 0.0, 0.5, 1.0], bins=2)
    assert histogram.x_edges[1] == histogram.y_edges[1] == 0.0
    assert histogram.counts == ((0, 1), (1, 2))


@pytest.mark.parametrize("parity", [0, 1])
@pytest.mark.parametrize("fan_in", [3, 26, 64, 576])
def test_bins_of_whole_numbers_hold_equally_many_of_them(parity, fan_in, rng):
    """Products of signs are all odd or all even; others must not show as stripes."""
    d = fan_in + (fan_in + parity) % 2
    x = d - 2.0 * rng.binomial(d, 0.5, size=20_000)
    histogram = product_histogram(x, rng.normal(size=x.size))
    edges = np.array(histogram.x_edges)
    assert 2 <= len(edges) - 1 <= 50
    possible = np.arange(-d, d + 1, 2)
    inside = [np.sum((possible >= a) & (possible < b)) for a, b in pairwise(edges)]
    # The grid may reach beyond the largest product there is.
    whole = (edges[:-1] >= -d) & (edges[1:] <= d)
    assert len(set(np.array(inside)[whole])) <= 1
    assert np.sum(histogram.counts) >= 0.995 * x.size


def test_outliers_do_not_widen_the_grid(rng):
    x, y = rng.normal(size=(2, 10_000))
    x[0] = y[1] = 1e9
    histogram = product_histogram(x, y)
    assert histogram.x_edges[-1] < 5
    assert histogram.y_edges[-1] < 5
    assert np.sum(histogram.counts) >= 9_970


def test_pairs_that_are_not_finite_are_dropped():
    x = [1.0, np.nan, np.inf, 2.0, -1.0]
    y = [1.0, 1.0, 1.0, -np.inf, 0.5]
    assert product_histogram(x, y) == product_histogram([1.0, -1.0], [1.0, 0.5])


@pytest.mark.parametrize("x", [[], [np.nan, np.inf]])
def test_without_finite_pairs_there_is_none(x):
    assert product_histogram(x, np.zeros(len(x))) is None


@pytest.mark.parametrize("value", [0.0, -3.0, 0.25, 1e-320, 1e300, 2.0**60])
def test_constant_values_are_counted_in_one_bin(value):
    histogram = product_histogram(np.full(7, value), np.full(7, -value))
    assert np.all(np.diff(histogram.x_edges) > 0)
    assert np.sum(histogram.counts) == np.max(histogram.counts) == 7


@pytest.mark.parametrize("bins", [0, 1, 7, -2])
def test_a_number_of_bins_without_an_edge_at_zero_is_refused(bins):
    with pytest.raises(ValueError, match="even number"):
        product_histogram([1.0], [1.0], bins)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\)"):
        product_histogram([1.0, 2.0], [1.0, 2.0, 3.0])
