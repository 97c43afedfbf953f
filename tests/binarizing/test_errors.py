"""What cannot be binarized is said, with what to do about it."""

import keras
import numpy as np
import pytest
from keras import layers

from kerasbnn import QuantDense
from kerasbnn.binarizing import binarize
from kerasbnn.models.layer_paths import named_layers
from tests.binarizing.networks import assert_equal, names_of, outputs_of


def network():
    block = keras.Sequential(
        [keras.Input((6, 4)), layers.Conv1D(4, 3, name="conv_1"), layers.ReLU()],
        name="block",
    )
    return keras.Sequential(
        [
            keras.Input((6, 4)),
            block,
            layers.BatchNormalization(name="norm"),
            layers.SeparableConv1D(4, 1, name="apart"),
            layers.EinsumDense("abc,cd->abd", (4, 3), name="einsum"),
            layers.TimeDistributed(layers.Dense(4, name="inner"), name="each"),
            QuantDense(2, name="quantized"),
            layers.Flatten(),
            layers.Dense(2, name="head"),
        ],
        name="net",
    )


PLANS = {
    "a path that is near": (
        {"block/conv1": "binary"},
        "'block/conv1', which the model does not have. Did you mean 'block/conv_1'",
    ),
    "a path without its block": ({"conv_1": "binary"}, "Did you mean 'block/conv_1'"),
    "a path that is not text": ({3: "binary"}, "names the layer 3, which"),
    "a word that is near": (
        {"head": "binarry"},
        "word 'binarry' for layer 'head' in `plan`. Did you mean 'binary'",
    ),
    "a word that is not text": (
        {"head": None},
        "Known words: binary, ternary, rotated",
    ),
    "a normalization": ({"norm": "binary"}, "BatchNormalization has no quantized"),
    "a model": ({"block": "binary"}, "Sequential has no quantized"),
    "no counterpart": ({"einsum": "ternary"}, "EinsumDense has no quantized"),
    "quantized already": ({"quantized": "binary"}, "is a QuantDense already"),
    "nothing to whiten by": ({"head": "whitened"}, "there is no `data` to find out"),
    "no patches": ({"apart": "whitened"}, "Inputs can be whitened for Conv1D, Conv2D"),
    "hidden": ({"each/inner": "rotated"}, "inside of layer 'each', a TimeDistributed"),
}


@pytest.mark.parametrize("name", PLANS)
def test_plans_that_cannot_be_followed(name):
    plan, message = PLANS[name]
    with pytest.raises(ValueError) as raised:  # noqa: PT011
        binarize(network(), plan)
    assert message in str(raised.value)


def test_everything_may_stay_continuous():
    words = ("norm", "einsum", "quantized", "each/inner", "block", "head")
    model = network()
    new = binarize(model, dict.fromkeys(words, "continuous"))
    assert names_of(new) == names_of(model)


def test_layers_out_of_reach_are_named():
    with pytest.warns(UserWarning, match="layers each/inner stay continuous"):
        new = binarize(network())
    assert type(new.get_layer("each").layer) is layers.Dense
    assert type(new.get_layer("head")) is QuantDense
    # A plan that does not name them means that they stay.
    binarize(network(), {"head": "binary"})


def test_a_plan_that_is_no_mapping():
    for plan in ("binary", [("head", "binary")], object()):
        with pytest.raises(TypeError, match=r"pass report\.plan\(\)"):
            binarize(network(), plan)


class Written(keras.Model):
    """A model whose call is Python code."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(2)

    def call(self, inputs):
        return self.dense(inputs)


class Doubled(keras.Model):
    """A functional model that does more than its graph."""

    def call(self, *args, **kwargs):
        return 2 * super().call(*args, **kwargs)


def test_models_that_cannot_be_rebuilt():
    written = Written()
    written(np.ones((1, 3)))
    with pytest.raises(TypeError, match=r"Write the Quant\* layers into it by hand"):
        binarize(written)
    x = keras.Input((3,))
    y = layers.Dense(2)(x)
    doubled = Doubled(x, y)
    with pytest.raises(TypeError, match=r"keras\.Model\(model\.inputs, model\.outputs"):
        binarize(doubled)
    binarize(keras.Model(doubled.inputs, doubled.outputs))
    with pytest.raises(TypeError, match=r"Expected a keras\.Model"):
        binarize(layers.Dense(2))
    with pytest.raises(ValueError, match="has no weights yet"):
        binarize(keras.Sequential([layers.Dense(2)]))


@pytest.mark.parametrize("kind", [Written, Doubled])
def test_models_inside_of_others_that_cannot_be_rebuilt_are_copied(kind):
    x, y = keras.Input((3,)), keras.Input((3,))
    inner = Written() if kind is Written else Doubled(y, layers.Dense(2)(y))
    model = keras.Model(x, layers.Dense(2, name="head")(inner(x)))
    (hidden,) = [path for path, _ in named_layers(model) if "/dense" in path]
    inputs = np.ones((4, 3), "float32")
    new = binarize(model, {})
    assert names_of(new) == names_of(model)
    assert_equal(outputs_of(new, inputs), outputs_of(model, inputs))
    with pytest.warns(UserWarning, match=f"The layers {hidden} stay continuous"):
        binarize(model)
    message = f"inside of layer '{inner.name}', a {kind.__name__}"
    with pytest.raises(ValueError, match=message):
        binarize(model, {hidden: "binary"})


def test_nothing_to_binarize():
    model = keras.Sequential([keras.Input((3,)), layers.ReLU()])
    with pytest.raises(ValueError, match="no dense or convolutional float layer"):
        binarize(model)
    binarize(model, {})


class Derived(layers.Dense):
    """A dense layer that computes something else."""

    def call(self, inputs, training=None):
        return -super().call(inputs, training)


def test_classes_derived_from_known_ones_have_no_counterpart():
    model = keras.Sequential([keras.Input((3,)), Derived(2, name="d")])
    with pytest.raises(ValueError, match="Derived has no quantized counterpart"):
        binarize(model, {"d": "binary"})


class Positional(layers.Layer):
    """A layer that Keras cannot make from its config."""

    def __init__(self, factor, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def get_config(self):
        return super().get_config()

    def call(self, inputs):
        return self.factor * inputs


class Lazy(layers.Layer):
    """A layer that makes its variables outside of `build`."""

    def call(self, inputs):
        return inputs

    def get_config(self):
        return super().get_config()


def test_layers_that_cannot_be_copied():
    layer = Positional(2.0, name="mine")
    model = keras.Sequential([keras.Input((3,)), layer, layers.Dense(2)])
    with pytest.raises(ValueError, match=r"'mine' cannot be copied: a Pos.*'factor'"):
        binarize(model)
    lazy = Lazy(name="lazy")
    lazy.extra = lazy.add_weight(shape=(2,), name="extra")
    model = keras.Sequential([keras.Input((3,)), lazy, layers.Dense(2)])
    with pytest.raises(ValueError, match="'lazy' cannot be copied: it has 1 variables"):
        binarize(model)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(value):
    model = network()
    head = model.get_layer("head")
    head.bias.assign([0, value])
    with pytest.raises(ValueError, match="The bias of layer 'head' has values"):
        binarize(model, {"head": "binary"})
    head.bias.assign([0, 0])
    head.kernel.assign(np.full(head.kernel.shape, value))
    with pytest.raises(ValueError, match="The kernel of layer 'head' has values"):
        binarize(model, {"head": "binary"})
    binarize(model, {"block/conv_1": "binary"})


def test_data_that_is_of_no_use():
    model = network()
    head = {"head": "binary"}
    with pytest.raises(ValueError, match="a generator can be read only once"):
        binarize(model, head, data=(np.ones((2, 6, 4)) for _ in range(3)))
    with pytest.raises(ValueError, match="NaN or infinite"):
        binarize(model, head, data=np.full((9, 6, 4), np.nan))
    with pytest.raises(ValueError, match="fewer than two values|empty"):
        binarize(model, head, data=np.ones((1, 6, 4)))
    with pytest.raises(ValueError, match="there was nothing to refit from"):
        binarize(model, head, data=np.ones((0, 6, 4)))
    with pytest.raises(TypeError, match="Expected arrays, a dataset"):
        binarize(model, head, data=3)
    with pytest.raises(ValueError, match="`batch_size` must be a positive int"):
        binarize(model, head, data=np.ones((9, 6, 4)), batch_size=0)


def test_padding_values_are_checked():
    with pytest.raises(ValueError, match="`pad_values` must be 0, 1 or -1"):
        binarize(network(), {"head": "binary"}, pad_values=2)
