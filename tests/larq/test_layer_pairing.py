"""Which layer of a file goes to which of a model, where several have one shape."""

import hypothesis
import keras
import numpy as np
import pytest
from hypothesis import strategies as st

import kerasbnn
from kerasbnn.larq import load_weights
from tests.larq.larq_files import kernels, write_legacy
from tests.larq.weight_networks import BINARY


def chain(names):
    """A model of layers of one shape in this order; None is a name of Keras' own."""
    layers = [kerasbnn.QuantDense(4, **BINARY, name=name) for name in names]
    return keras.Sequential([keras.Input((4,)), *layers])


def numbers_in(model):
    """Return which kernel of `kernels` each layer of the model has."""
    layers = [layer for layer in model.layers if layer.weights]
    values = [np.array(keras.ops.convert_to_numpy(layer.kernel)) for layer in layers]
    assert all(np.unique(value).size == 1 for value in values)
    return [int(value.flat[0]) for value in values]


NAMES = st.lists(
    st.sampled_from(
        [f"{base}{end}" for base in "abc" for end in ("", "_1", "_2", "_10")]
    ),
    min_size=1,
    max_size=8,
    unique=True,
)


@hypothesis.given(NAMES, st.randoms(use_true_random=False))
def test_given_names_count_whatever_the_order(tmp_path_factory, names, random):
    path = tmp_path_factory.mktemp("names") / "x.h5"
    shuffled = random.sample(names, len(names))
    write_legacy(path, kernels(shuffled))
    model = chain(names)
    load_weights(model, path)
    assert numbers_in(model) == [shuffled.index(name) for name in names]


@hypothesis.given(
    count=st.integers(1, 14),
    first=st.integers(0, 120),
    gaps=st.lists(st.integers(1, 3), min_size=14, max_size=14),
    earlier=st.integers(0, 12),
    pieces=st.integers(1, 3),
)
def test_numbers_of_keras_count_by_their_order(
    tmp_path_factory, count, first, gaps, earlier, pieces
):
    path = tmp_path_factory.mktemp("numbers") / "x.h5"
    numbers = [first + sum(gaps[:at]) for at in range(count)]
    names = [f"quant_dense_{n}" if n else "quant_dense" for n in numbers]
    write_legacy(path, kernels(names), pieces=min(pieces, count))
    for _ in range(earlier):
        kerasbnn.QuantDense(1)
    model = chain([None] * count)
    load_weights(model, path)
    assert numbers_in(model) == list(range(count))


@hypothesis.given(st.lists(st.sampled_from(["given", None]), min_size=1, max_size=8))
def test_given_names_between_numbered_ones(tmp_path_factory, kinds):
    path = tmp_path_factory.mktemp("mixed") / "x.h5"
    in_file = [
        f"layer{at}" if kind else f"quant_dense_{at + 9}"
        for at, kind in enumerate(kinds)
    ]
    write_legacy(path, kernels(in_file))
    model = chain([f"layer{at}" if kind else None for at, kind in enumerate(kinds)])
    load_weights(model, path)
    assert numbers_in(model) == list(range(len(kinds)))


@hypothesis.given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_names_that_only_one_side_has_count_by_order(tmp_path_factory, named):
    path = tmp_path_factory.mktemp("order") / "x.h5"
    in_file = [
        f"stem{at}" if is_named else f"quant_dense_{at + 3}"
        for at, is_named in enumerate(named)
    ]
    write_legacy(path, kernels(in_file))
    model = chain([None] * len(named))
    load_weights(model, path)
    assert numbers_in(model) == list(range(len(named)))


def test_other_given_names_count_by_order(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["b/conv", "a/conv", "c"]))
    model = chain(["one", "two", "c"])
    loaded = load_weights(model, path)
    assert numbers_in(model) == [0, 1, 2]
    assert [layer.file_layer for layer in loaded.layers] == ["b/conv", "a/conv", "c"]


def test_given_names_out_of_order_beside_other_names(tmp_path):
    """The order tells only what no name does."""
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b", "quant_dense_3", "head"]))
    model = chain(["b", "a", None, "classifier"])
    load_weights(model, path)
    assert numbers_in(model) == [1, 0, 2, 3]


def test_numbers_against_the_order_are_an_error(tmp_path):
    path = write_legacy(
        tmp_path / "x.h5", kernels(["quant_dense_3", "quant_dense_1", "quant_dense_2"])
    )
    model = chain([None] * 3)
    with pytest.raises(ValueError, match="both fit") as caught:
        load_weights(model, path)
    assert "'quant_dense_1' of the file may be 'quant_dense'" in str(caught.value)
    assert "'quant_dense_1' by the order" in str(caught.value)
    assert "layer_names" in str(caught.value)


def test_layer_names_decide(tmp_path):
    path = write_legacy(
        tmp_path / "x.h5", kernels(["quant_dense_3", "quant_dense_1", "quant_dense_2"])
    )
    model = chain([None] * 3)
    wanted = {"quant_dense_3": "quant_dense_2", "quant_dense_1": "quant_dense"}
    load_weights(model, path, layer_names=wanted)
    assert numbers_in(model) == [1, 2, 0]


def test_layer_names_go_before_equal_names(tmp_path):
    path = write_legacy(tmp_path / "x.h5", kernels(["a", "b"]))
    model = chain(["a", "b"])
    load_weights(model, path, layer_names={"a": "b", "b": "a"})
    assert numbers_in(model) == [1, 0]


def test_a_given_name_against_numbers_and_order_is_an_error(tmp_path):
    """The first numbered layer may be the one that only the model has a name for."""
    path = write_legacy(
        tmp_path / "x.h5", kernels(["quant_dense_3", "quant_dense_4", "head"])
    )
    model = chain(["stem", None, None])
    with pytest.raises(ValueError, match="both fit"):
        load_weights(model, path)


@pytest.mark.parametrize("shapes", [((4, 6), (6, 4)), ((6, 4), (4, 6))])
def test_shapes_decide_between_numbers_and_order(shapes, tmp_path):
    """The file's first layer has the higher number; only one way fits."""
    names = ["quant_dense_2", "quant_dense_1"]
    layers = [
        (name, {f"{name}/kernel": np.full(shape, at, "float32")})
        for at, (name, shape) in enumerate(zip(names, shapes, strict=True))
    ]
    path = write_legacy(tmp_path / "x.h5", layers)
    inputs = keras.Input((4,))
    hidden = kerasbnn.QuantDense(6, **BINARY)(inputs)
    model = keras.Model(inputs, kerasbnn.QuantDense(4, **BINARY)(hidden))
    load_weights(model, path)
    assert numbers_in(model) == ([0, 1] if shapes[0] == (4, 6) else [1, 0])


def test_layers_of_another_class_of_one_kind(tmp_path):
    """A model may have Keras' own layer where Larq's has no quantizer."""
    names = ["quant_dense_5", "quant_dense_6", "quant_dense_7"]
    path = write_legacy(tmp_path / "x.h5", kernels(names))
    layers = [
        kerasbnn.QuantDense(4, **BINARY),
        keras.layers.Dense(4, use_bias=False),
        kerasbnn.QuantDense(4, **BINARY),
    ]
    model = keras.Sequential([keras.Input((4,)), *layers])
    load_weights(model, path)
    assert numbers_in(model) == [0, 1, 2]


def nested(inner_names):
    inner_inputs = keras.Input((4,))
    flow = inner_inputs
    for name in inner_names:
        flow = kerasbnn.QuantDense(4, **BINARY, name=name)(flow)
    inner = keras.Model(inner_inputs, flow, name="block")
    inputs = keras.Input((4,))
    return keras.Model(inputs, inner(inputs))


def test_a_nested_model_without_order_needs_names(tmp_path):
    """Frozen layers come last in such files, so their order tells nothing."""
    weights = dict(
        weight for _, layer in kernels(["x", "y"]) for weight in layer.items()
    )
    path = write_legacy(tmp_path / "x.h5", [("block", weights)])
    model = nested([None, None])
    with pytest.raises(ValueError, match="does not tell which of its layers") as caught:
        load_weights(model, path)
    assert "'block/x', 'block/y'" in str(caught.value)
    wanted = {"block/x": "block/quant_dense_1", "block/y": "block/quant_dense"}
    load_weights(model, path, layer_names=wanted)
    assert numbers_in(model.layers[1]) == [1, 0]
    again = nested(["y", "x"])
    load_weights(again, path)
    assert numbers_in(again.layers[1]) == [1, 0]


@hypothesis.given(st.integers(2, 13), st.randoms(use_true_random=False))
def test_numbers_in_a_nested_model_whose_order_is_lost(tmp_path_factory, count, random):
    path = tmp_path_factory.mktemp("nested") / "x.h5"
    names = [f"quant_dense_{at + 5}" for at in range(count)]
    weights = dict(weight for _, layer in kernels(names) for weight in layer.items())
    shuffled = dict(random.sample(sorted(weights.items()), count))
    write_legacy(path, [("block", shuffled)])
    model = nested([None] * count)
    load_weights(model, path)
    assert numbers_in(model.layers[1]) == list(range(count))
