"""The best classes, as texts of the extension `classification`."""

import numpy as np
import pytest

from kerasbnn.serve.errors import ServiceError
from kerasbnn.serve.protocol.classification import MOST_TEXTS, classified


def expected(scores, count, labels):
    """Order by score, then by index, with Python's own sort."""
    texts = []
    for row in scores.reshape(len(scores), -1):
        order = sorted(range(len(row)), key=lambda i: (-row[i].item(), i))
        for index in order[:count]:
            text = f"{row[index]!s}:{index}"
            texts.append(f"{text}:{labels[index]}" if labels else text)
    return texts


@pytest.mark.parametrize("dtype", ["float32", "float16", "float64", "int8", "uint8"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 10), (2, 3, 4)])
@pytest.mark.parametrize("with_labels", [False, True])
def test_orders_by_score(rng, dtype, shape, with_labels):
    scores = (rng.normal(0, 20, shape) % 100).astype(dtype)
    size = int(np.prod(shape[1:]))
    labels = [f"class {i}" for i in range(size)] if with_labels else None
    for count in (1, 2, size, size + 5):
        texts, found = classified(scores, count, labels)
        assert found == [shape[0], min(count, size)]
        assert texts == expected(scores, count, labels)


def test_of_equal_scores_the_first_class_comes_first():
    scores = np.array([[0, 1, 1, 0, 1]], np.uint8)
    texts, _ = classified(scores, 4, None)
    assert texts == ["1:1", "1:2", "1:4", "0:0"]


def test_of_many_equal_scores_the_first_class_comes_first(rng):
    scores = rng.integers(0, 4, (2, 1000)).astype(np.float32)
    assert classified(scores, 1000, None)[0] == expected(scores, 1000, None)


def test_scores_have_all_of_their_digits(rng):
    scores = rng.standard_normal((1, 50)).astype(np.float32)
    texts, _ = classified(scores, 50, None)
    for text in texts:
        score, index = text.split(":")
        assert np.float32(score) == scores[0, int(index)]


def test_a_class_without_a_label_has_none():
    assert classified(np.array([[1.0, 2.0]]), 2, ["a"])[0] == ["2.0:1", "1.0:0:a"]


def test_a_scalar_is_one_class():
    assert classified(np.array(2.5, np.float32), 3, None) == (["2.5:0"], [1, 1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_is_no_best_class(dtype):
    scores = np.array([[np.nan, 0, np.inf, -np.nan, -np.inf, 3]], dtype)
    texts, _ = classified(scores, 6, None)
    assert texts == ["inf:2", "3.0:5", "0.0:1", "-inf:4", "nan:0", "nan:3"]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int64", "uint64"])
def test_the_ends_of_integers_are_in_order(dtype):
    ends = np.iinfo(dtype)
    scores = np.array([[ends.min, 0, ends.max, 1, ends.min]], dtype)
    assert classified(scores, 5, None)[0] == expected(scores, 5, None)


def test_more_texts_than_may_be_are_refused():
    scores = np.zeros((MOST_TEXTS // 8, 9), np.uint8)
    assert len(classified(scores, 8, None)[0]) == MOST_TEXTS
    with pytest.raises(ServiceError, match="Ask for fewer classes") as caught:
        classified(scores, 9, None)
    assert caught.value.status == 413
