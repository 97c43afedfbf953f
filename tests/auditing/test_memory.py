"""What an audit keeps does not grow with what it has seen."""

import tracemalloc

import keras
import numpy as np
import pytest

from kerasbnn.auditing.measurement import KernelMeasurement, Sampling
from kerasbnn.auditing.operations import operations_of
from tests.helpers.gradients import array


@pytest.mark.slow
def test_a_million_positions_of_a_fan_in_of_4608(rng):
    layer = keras.layers.Conv2D(4, 3, padding="same", use_bias=False)
    layer.build((None, 32, 32, 512))
    kernel = array(layer.kernel).astype("float32")
    signs = np.where(kernel < 0, -1, 1).astype("float32")
    measurement = KernelMeasurement(
        operations_of(layer)[0], kernel, signs, Sampling(256, 8, 0)
    )
    assert measurement.fan_in == 4608
    batch = rng.choice([-1.0, 1.0], size=(4, 32, 32, 512)).astype("float32")
    peaks = []
    tracemalloc.start()
    for first in range(0, 1024, 4):
        numbers = np.arange(first, first + 4)
        measurement.update(keras.ops.convert_to_tensor(batch), numbers, numbers, 0)
        peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert measurement.pairs.count == 1_048_576
    # The sample is full after the first batch, and the second replaces some of it.
    assert peaks[-1] < 1.05 * peaks[3]
    assert len(measurement.sample.numbers) == 256
