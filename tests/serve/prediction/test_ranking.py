import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kerasbnn.serve.prediction.ranking import ranked

LABELS = ["ant", "bee", "cat"]


def test_labels_follow_their_scores():
    found = ranked(np.array([0.5, -1.0, 2.0], np.float32), LABELS)
    assert [entry["label"] for entry in found] == ["cat", "ant", "bee"]
    assert [entry["index"] for entry in found] == [2, 0, 1]
    assert [entry["score"] for entry in found] == [2.0, 0.5, -1.0]


def test_classes_without_a_label():
    found = ranked(np.array([1.0, 2.0]), None)
    assert [entry["label"] for entry in found] == [None, None]
    found = ranked(np.array([1.0, 2.0, 3.0, 4.0]), LABELS)
    assert [entry["label"] for entry in found] == [None, "cat", "bee", "ant"]


def test_scores_that_are_no_floats():
    assert ranked(np.array([0, 255], np.uint8), None)[0]["index"] == 1
    assert ranked(np.array([False, True]), None)[0]["index"] == 1


def test_what_is_not_finite_comes_last():
    found = ranked(np.array([np.nan, 1.0, np.inf, -np.inf, 0.0]), None)
    assert [entry["index"] for entry in found] == [1, 4, 0, 2, 3]
    assert [entry["score"] for entry in found] == [1.0, 0.0, None, None, None]


@given(
    st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=30),
    st.integers(1, 40),
)
def test_the_first_of_equal_scores_comes_first(scores, top):
    found = ranked(np.array(scores, np.float32), None, top)
    pairs = sorted((-score, index) for index, score in enumerate(scores))
    assert [(-e["score"], e["index"]) for e in found] == pairs[:top]
