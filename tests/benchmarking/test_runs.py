"""How outputs are compared with those of Keras."""

import numpy as np

from kerasbnn.benchmarking.runs import agreement


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
