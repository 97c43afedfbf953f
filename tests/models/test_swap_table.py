"""What the swap test reports: a table, a dict, and why numbers are missing."""

import json

import keras
import numpy as np
from keras import layers

from kerasbnn.models.swap_table import SwapReport, SwapRow
from kerasbnn.models.swap_testing import swap_test
from tests.helpers.swap_networks import BINARY, network


def test_a_swap_that_overflows_has_a_reason_and_no_numbers():
    dense = layers.Dense(2, use_bias=False, name="dense")
    model = keras.Sequential(
        [keras.Input((200,)), dense, layers.Activation(keras.ops.exp)]
    )
    dense.set_weights([np.full((200, 2), 1e-3)])
    report = swap_test(model, np.ones((3, 200)), np.zeros(3), verbose=0)
    (row,) = report.rows
    assert row.accuracy is row.agreement is row.correlation is None
    assert "NaN or infinite" in row.note
    assert report.accuracy_lost() == {"dense": None}
    assert report.baseline.accuracy == 1
    # Outputs that do not vary have no correlation.
    assert report.baseline.correlation is None
    json.dumps(report.to_dict(), allow_nan=False)
    lines = []
    report.show(print_fn=lines.append)
    assert any("NaN or infinite" in line for line in lines)


def test_a_swap_that_cannot_be_refitted_has_a_reason():
    dense = layers.Dense(2, use_bias=False, name="dense")
    model = keras.Sequential(
        [
            keras.Input((200,)),
            dense,
            layers.Activation(keras.ops.exp),
            layers.BatchNormalization(name="norm"),
        ]
    )
    dense.set_weights([np.full((200, 2), 1e-3)])
    x = np.random.default_rng(0).uniform(0.9, 1, size=(30, 200))
    before = model.get_weights()
    report = swap_test(model, x, np.zeros(30), verbose=0)
    (row,) = report.rows
    assert row.note is not None
    assert row.accuracy_refit is None
    assert report.baseline.accuracy_refit is not None
    for kept, after in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, after)


def test_the_table_and_the_dict(capsys):
    row = SwapRow("block/conv_1", "continuous", 0.125, 0.25, -0.5, 0.75, 0.8125, 0.96)
    report = SwapReport(
        model="net",
        direction="continuous",
        samples=12345,
        refitted=True,
        baseline=SwapRow(None, None, 0.9, 1.0, 1.0, 0.875, 0.99, 1.0),
        together=SwapRow(None, "continuous", 0.1, 0.2, 0.3, 0.4, note="Odd."),
        rows=[row],
    )
    report.show()
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert max(map(len, printed.splitlines())) <= 100
    lines = []
    report.show(print_fn=lines.append)
    assert lines == [line.rstrip() for line in printed.splitlines()]
    (found,) = [line.split() for line in lines if "block/conv_1" in line]
    assert found[1:] == ["0.125", "0.250", "-0.500", "0.750", "0.812", "0.960"]
    (found,) = [line.split() for line in lines if line.startswith("all of them  ")][:1]
    assert found[3:] == ["0.100", "0.200", "0.300", "0.400", "-", "-"]
    assert any("12,345" in line for line in lines)
    assert any(line.endswith("Odd.") for line in lines)
    as_dict = report.to_dict()
    assert json.loads(json.dumps(as_dict, allow_nan=False)) == as_dict
    assert as_dict["rows"][0]["correlation_refit"] == 0.96
    assert SwapRow(**as_dict["rows"][0]) == row


def test_the_progress_bar_counts_to_the_end(capsys, rng):
    swap_test(network(**BINARY), rng.normal(size=(20, 6)), batch_size=10)
    # Four trials of two batches: refitted, plain and refitted.
    assert "24/24" in capsys.readouterr().out
    swap_test(network(**BINARY), rng.normal(size=(20, 6)), verbose=0)
    assert capsys.readouterr().out == ""
