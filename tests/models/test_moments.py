"""Streaming moments against numpy's own, in float64."""

import numpy as np
import pytest

from kerasbnn.models import moments as module
from kerasbnn.models.moments import Moments


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
