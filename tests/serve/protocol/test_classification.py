"""The best classes, as texts of the extension `classification`."""

import numpy as np
import pytest

from kerasbnn.serve.protocol.classification import classified


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


def test_what_is_not_finite_does_not_fail():
    scores = np.array([[0, np.inf, -np.inf, np.nan]], np.float32)
    texts, _ = classified(scores, 4, None)
    assert set(texts) == {"0.0:0", "inf:1", "-inf:2", "nan:3"}
