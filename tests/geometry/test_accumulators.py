"""Streaming moments against numpy's own, in float64."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.geometry import accumulators as module
from kerasbnn.geometry.accumulators import Moments, PairMoments, RowSample
from kerasbnn.geometry.dot_products import filter_correlations, pooled_correlation


def test_moments_do_not_depend_on_how_values_are_split(rng):
    values = rng.normal(3, 2, size=(500, 4))
    kept = rng.random(values.shape) > 0.3
    kept[:, 3] = False
    whole, parts, merged = Moments(4), Moments(4), Moments(4)
    whole.update(values, kept)
    for cut in np.split(np.arange(500), [1, 7, 300]):
        parts.update(values[cut], kept[cut])
        part = Moments(4)
        part.update(values[cut], kept[cut])
        merged.merge(part)
    for channel in range(3):
        seen = values[kept[:, channel], channel]
        for moments in (whole, parts, merged):
            assert moments.count[channel] == len(seen)
            assert moments.mean[channel] == pytest.approx(seen.mean(), rel=1e-12)
            assert moments.variance[channel] == pytest.approx(seen.var(), rel=1e-12)
    assert whole.count[3] == whole.mean[3] == whole.variance[3] == 0


def test_values_are_taken_in_blocks(rng, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 10)
    values = rng.normal(size=(33, 3)).astype("float32")
    moments = Moments(3)
    moments.update(values)
    np.testing.assert_allclose(moments.mean, np.float64(values).mean(axis=0), 1e-12)
    np.testing.assert_allclose(moments.variance, np.float64(values).var(axis=0), 1e-12)


def pairs(rng, count, filters=3):
    """Correlated products, far from 0 beside their spread."""
    binary = rng.normal(size=(count, filters)) * [1.0, 5.0, 0.1][:filters] + 40
    return binary, 0.3 * binary + 0.05 * rng.normal(size=binary.shape) - 12


def seen(*batches):
    accumulator = PairMoments(batches[0][0].shape[1])
    for batch in batches:
        accumulator.update(*batch)
    return accumulator


def assert_same(first, second):
    assert first.count == second.count
    assert first.negative == second.negative
    np.testing.assert_allclose(first.means, second.means, rtol=1e-12)
    np.testing.assert_allclose(first.squares, second.squares, rtol=1e-9)


def test_pairs_agree_with_the_estimators_on_arrays(rng):
    binary, continuous = pairs(rng, 1001)
    moments = seen((binary, continuous))
    np.testing.assert_allclose(
        moments.filter_correlations(), filter_correlations(binary, continuous), 1e-9
    )
    pooled, expected = moments.pooled(), pooled_correlation(binary, continuous)
    assert pooled.correlation == pytest.approx(expected.correlation, rel=1e-9)
    assert pooled.slope == pytest.approx(expected.slope, rel=1e-9)
    assert pooled.intercept == pytest.approx(expected.intercept, rel=1e-7)
    assert pooled.count == expected.count == 3003
    assert moments.sign_flips == np.mean((binary < 0) != (continuous < 0))


@given(st.lists(st.integers(0, 400), max_size=5), st.integers(0, 2**16))
def test_how_pairs_are_split_does_not_matter(cuts, seed):
    binary, continuous = pairs(np.random.default_rng(seed), 401)
    parts = np.split(np.arange(401), sorted(cuts))
    batches = [(binary[part], continuous[part]) for part in parts]
    assert_same(seen((binary, continuous)), seen(*batches))


@given(st.tuples(*[st.integers(0, 60)] * 3), st.integers(0, 2**16))
def test_merging_is_associative_and_commutative(counts, seed):
    rng = np.random.default_rng(seed)
    batches = [pairs(rng, count) for count in counts]
    left, right, swapped = (seen(batches[i]) for i in (0, 2, 2))
    left.merge(seen(batches[1]))
    left.merge(seen(batches[2]))
    tail = seen(batches[1])
    tail.merge(right)
    first = seen(batches[0])
    first.merge(tail)
    swapped.merge(seen(batches[1]))
    swapped.merge(seen(batches[0]))
    assert_same(left, first)
    assert_same(left, swapped)


def test_half_precision_is_summed_in_double(rng):
    binary = rng.integers(-50, 50, size=(5000, 2)).astype("float16")
    continuous = (binary * np.float16(0.5)).astype("float16")
    moments = seen((binary, continuous))
    np.testing.assert_allclose(
        moments.means[0], np.float64(binary).mean(axis=0), rtol=1e-12
    )


def test_pairs_that_do_not_vary_have_no_correlation(rng):
    constant = np.full((50, 1), 1000.0) + rng.choice([0, 1e-4], size=(50, 1))
    varying = rng.normal(size=(50, 1))
    moments = seen((constant, varying))
    assert np.isnan(moments.filter_correlations()).all()
    assert np.isnan(moments.pooled().correlation)
    empty = PairMoments(2)
    assert np.isnan(empty.sign_flips)
    assert np.isnan(empty.pooled().slope)
    assert np.isnan(empty.filter_correlations()).all()


def test_pairs_of_other_shapes_are_refused(rng):
    with pytest.raises(ValueError, match=r"\(n, 2\).*\(5, 3\)"):
        PairMoments(2).update(rng.normal(size=(5, 3)), rng.normal(size=(5, 3)))


def test_memory_does_not_grow_with_the_number_of_positions(rng):
    """A million positions of a layer of 512 filters, in blocks of 256 KiB."""
    moments = PairMoments(512)
    batch = rng.normal(size=(4096, 512)).astype("float32")
    tracemalloc.start()
    for _ in range(250):
        moments.update(batch[:, ::-1], batch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert moments.count == 1_024_000
    assert peak < 8 * 2**20


def sampled(capacity, *batches, seed=0):
    sample = RowSample(capacity, seed)
    for numbers in batches:
        chosen = sample.choose(numbers)
        sample.add(numbers[chosen], {"square": numbers[chosen] ** 2})
    return sample


@given(st.integers(0, 40), st.permutations(range(100)), st.lists(st.integers(0, 100)))
def test_a_sample_of_rows_depends_on_the_rows_alone(capacity, order, cuts):
    numbers = np.array(order, dtype=np.int64)
    whole = sampled(capacity, numbers)
    parts = sampled(capacity, *np.split(numbers, sorted(cuts)))
    merged = sampled(capacity, numbers[:33])
    merged.merge(sampled(capacity, numbers[33:]))
    assert len(whole.numbers) == min(capacity, 100)
    for other in (parts, merged):
        np.testing.assert_array_equal(whole.numbers, other.numbers)
        if capacity:
            np.testing.assert_array_equal(other.rows["square"], other.numbers**2)


def test_every_row_is_as_likely_to_be_in_the_sample():
    numbers = np.arange(10, dtype=np.int64)
    hits = np.zeros(10)
    for seed in range(2000):
        hits[sampled(3, numbers, seed=seed).numbers] += 1
    # Four standard errors about 600.
    assert np.abs(hits - 600).max() < 4 * np.sqrt(2000 * 0.3 * 0.7)
