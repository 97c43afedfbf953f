"""Layers that TFMOT leaves as they are, each as tf_keras has it; what is refused."""

import keras
import numpy as np
import pytest

from kerasbnn.quantizers import SteSign
from kerasbnn.tfmot import TranslationError, from_tfmot
from kerasbnn.tfmot.plain_layers import _ACTIVATIONS, _SAME
from tests.tfmot.networks import (
    KERNEL_LAYERS,
    BinaryQuantizeConfig,
    annotate,
    assert_same_outputs,
    chain,
    inputs_of,
    layers,
    outputs_of,
    quantization,
    randomized,
    tf,
    tf_keras,
)

# Arguments other than the defaults, and the shape of the inputs.
CASES = {
    "Activation": ((6,), ["softplus"], {}),
    "ActivityRegularization": ((6,), [], dict(l2=0.1)),
    "AveragePooling1D": ((9, 3), [3], dict(strides=2, padding="same")),
    "AveragePooling2D": ((9, 8, 3), [3], dict(strides=2, padding="same")),
    "AveragePooling3D": ((5, 4, 6, 2), [2], dict(padding="same")),
    "BatchNormalization": ((5, 4, 3), [], dict(axis=2, epsilon=0.01, scale=False)),
    "Cropping1D": ((9, 3), [(1, 2)], {}),
    "Cropping2D": ((9, 8, 3), [((1, 2), (0, 1))], {}),
    "Cropping3D": ((5, 4, 6, 2), [((1, 2), (0, 1), (1, 0))], {}),
    "Dropout": ((6,), [0.5], {}),
    "ELU": ((6,), [0.7], {}),
    "Flatten": ((3, 4, 2), [], {}),
    "GaussianDropout": ((6,), [0.3], {}),
    "GaussianNoise": ((6,), [0.3], {}),
    "GlobalAveragePooling1D": ((9, 3), [], dict(keepdims=True)),
    "GlobalAveragePooling2D": ((5, 4, 3), [], dict(keepdims=True)),
    "GlobalAveragePooling3D": ((5, 4, 6, 2), [], {}),
    "GlobalMaxPooling1D": ((9, 3), [], {}),
    "GlobalMaxPooling2D": ((5, 4, 3), [], {}),
    "GlobalMaxPooling3D": ((5, 4, 6, 2), [], {}),
    "LayerNormalization": ((5, 4, 3), [], dict(axis=[2, 3], epsilon=0.01)),
    "LeakyReLU": ((6,), [0.15], {}),
    "MaxPooling1D": ((9, 3), [3], dict(strides=2, padding="same")),
    "MaxPooling2D": ((9, 8, 3), [(3, 2)], dict(strides=(1, 2))),
    "MaxPooling3D": ((5, 4, 6, 2), [2], dict(padding="same")),
    "PReLU": ((5, 4, 3), [], dict(shared_axes=[1, 2])),
    "Permute": ((5, 4, 3), [(3, 1, 2)], {}),
    "ReLU": ((6,), [], dict(max_value=1.5, negative_slope=0.1, threshold=0.3)),
    "RepeatVector": ((6,), [3], {}),
    "Rescaling": ((6,), [0.5], dict(offset=-1.0)),
    "Reshape": ((5, 4, 3), [(-1, 6)], {}),
    "Softmax": ((4, 3), [], dict(axis=1)),
    "SpatialDropout1D": ((9, 3), [0.4], {}),
    "SpatialDropout2D": ((5, 4, 3), [0.4], {}),
    "SpatialDropout3D": ((5, 4, 6, 2), [0.4], {}),
    "UpSampling1D": ((9, 3), [2], {}),
    "UpSampling2D": ((5, 4, 3), [(2, 3)], dict(interpolation="bilinear")),
    "UpSampling3D": ((5, 4, 6, 2), [(1, 2, 3)], {}),
    "ZeroPadding1D": ((9, 3), [(1, 2)], {}),
    "ZeroPadding2D": ((5, 4, 3), [((1, 2), (0, 1))], {}),
    "ZeroPadding3D": ((5, 4, 6, 2), [((1, 2), (0, 1), (1, 0))], {}),
}
MERGING = {
    "Add": {},
    "Average": {},
    "Concatenate": dict(axis=1),
    "Dot": dict(axes=(1, 1), normalize=True),
    "Maximum": {},
    "Minimum": {},
    "Multiply": {},
    "Subtract": {},
}


def test_every_class_has_a_case():
    assert {*CASES, *MERGING} == set(_SAME)


@pytest.mark.parametrize("name", CASES)
def test_layers_of_one_input(name, rng):
    shape, positional, arguments = CASES[name]
    layer = getattr(layers, name)(*positional, **arguments, name="it")
    theirs = randomized(chain(shape, layer), rng)
    ours = from_tfmot(theirs)
    assert [layer.name for layer in ours.layers] == ["it"]
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng))


@pytest.mark.parametrize("name", MERGING)
def test_layers_of_several_inputs(name, rng):
    inputs = [tf_keras.Input((5, 4)) for _ in range(2)]
    theirs = tf_keras.Model(inputs, getattr(layers, name)(**MERGING[name])(inputs))
    assert_same_outputs(from_tfmot(theirs), theirs, inputs_of(theirs, rng))


@pytest.mark.parametrize("name", KERNEL_LAYERS)
def test_float_layers_with_a_kernel(name, rng):
    shape, arguments = KERNEL_LAYERS[name]
    kind = getattr(layers, name)
    theirs = randomized(chain(shape, kind(**arguments, activation="tanh")), rng)
    ours = from_tfmot(theirs)
    assert type(ours.layers[0]) is getattr(keras.layers, name)
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng))


@pytest.mark.parametrize("name", _ACTIVATIONS)
def test_activations(name, rng):
    theirs = chain((7,), layers.Activation(name), layers.Dense(3, activation=name))
    theirs = randomized(theirs, rng)
    assert_same_outputs(from_tfmot(theirs), theirs, inputs_of(theirs, rng))


def test_regularizers_and_constraints_are_carried_over():
    dense = layers.Dense(
        3,
        kernel_regularizer=tf_keras.regularizers.L1L2(0.1, 0.2),
        kernel_constraint=tf_keras.constraints.MaxNorm(1.5, axis=1),
        bias_regularizer="l2",
        bias_constraint="non_neg",
        activity_regularizer=tf_keras.regularizers.L2(0.3),
        kernel_initializer=tf_keras.initializers.HeNormal(seed=5),
    )
    theirs = chain((4,), dense)
    (ours,) = from_tfmot(theirs).layers
    x = np.ones((2, 4), "float32")
    theirs(x), ours(x)
    found = keras.ops.convert_to_numpy(sum(ours.losses))
    np.testing.assert_allclose(found, float(sum(theirs.losses)), rtol=1e-6)
    assert ours.kernel_constraint.get_config() == {"max_value": 1.5, "axis": 1}
    assert type(ours.bias_constraint) is keras.constraints.NonNeg
    assert ours.kernel_initializer.get_config()["seed"] == 5


class Doubled(tf_keras.layers.Layer):
    """A layer of the user's own, for tf_keras."""

    def build(self, shape):
        self.gain = self.add_weight("gain", shape[1:])

    def call(self, x):
        return 2 * self.gain * x


class Doubled3(keras.layers.Layer):
    """The same for Keras 3."""

    def build(self, shape):
        self.gain = self.add_weight(shape=shape[1:])

    def call(self, x):
        return 2 * self.gain * x


class Centered(tf_keras.constraints.Constraint):
    """A constraint of the user's own."""

    def __call__(self, w):
        return w - tf.reduce_mean(w)


class Centered3(keras.constraints.Constraint):
    """The same for Keras 3."""

    def __call__(self, w):
        return w - keras.ops.mean(w)


class HalfSign(quantization.quantizers.Quantizer):
    """A quantizer of the user's own."""

    def build(self, tensor_shape, name, layer):
        return {}

    def __call__(self, inputs, training, weights, **kwargs):
        return 0.5 * tf.sign(inputs)

    def get_config(self):
        return {}


class HalfSign3(SteSign):
    """The same for Keras 3."""

    def call(self, inputs):
        return 0.5 * super().call(inputs)


def own_model(rng):
    dense = layers.Dense(4, kernel_constraint=Centered(), name="dense")
    model = chain(
        (4,), Doubled(name="own"), annotate(dense, BinaryQuantizeConfig(HalfSign()))
    )
    scope = {"Doubled": Doubled, "Centered": Centered, "HalfSign": HalfSign}
    with quantization.quantize_scope(scope):
        return randomized(quantization.quantize_apply(model), rng)


@pytest.mark.filterwarnings("ignore:Layer 'dense' has a binary kernel without")
def test_classes_of_ones_own(rng):
    theirs = own_model(rng)
    others = {"Doubled": Doubled3, "Centered": Centered3, "HalfSign": HalfSign3}
    ours = from_tfmot(theirs, custom_objects=others)
    assert_same_outputs(ours, theirs, inputs_of(theirs, rng))
    assert type(ours.get_layer("dense").kernel_constraint) is Centered3
    for name in others:
        fewer = {key: x for key, x in others.items() if key != name}
        with pytest.raises(
            TranslationError, match=f"{name}.*custom_objects={{'{name}'"
        ):
            from_tfmot(theirs, custom_objects=fewer)


def test_a_class_with_other_weights_is_refused(rng):
    class Fewer(Doubled3):
        def build(self, shape):
            self.gain = 1.0

    theirs = chain((4,), Doubled(name="own"))
    with pytest.raises(
        TranslationError, match=r"'own' has weights of the shapes \[\(4,"
    ):
        from_tfmot(theirs, {"Doubled": Fewer})


REFUSED = {
    "Lambda": (lambda: layers.Lambda(tf.abs, name="it"), "'it' is a Lambda"),
    "LSTM": (
        lambda: chain((3, 2), layers.LSTM(2, name="it")).layers[0],
        "'it' is a LSTM",
    ),
    "ThresholdedReLU": (
        lambda: layers.ThresholdedReLU(name="it"),
        "'it' is a ThresholdedReLU",
    ),
    "hard_sigmoid": (
        lambda: layers.Dense(3, activation="hard_sigmoid", name="it"),
        "'it' has the activation 'hard_sigmoid'",
    ),
    "function": (
        lambda: layers.Dense(3, activation=tf.abs, name="it"),
        "'it' has the activation 'abs'",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_counterpart(name):
    make, match = REFUSED[name]
    shape = (3, 2) if name == "LSTM" else (4,)
    with pytest.raises(TranslationError, match=match):
        from_tfmot(chain(shape, make()))


def test_functions_of_tensorflow_are_refused():
    inputs = tf_keras.Input((4,))
    with pytest.raises(TranslationError, match="is a TFOpLambda.*Use a layer instead"):
        from_tfmot(tf_keras.Model(inputs, tf.abs(inputs)))
    with pytest.raises(TranslationError, match="is a TFOpLambda"):
        from_tfmot(tf_keras.Model(inputs, inputs + 1.0))
    with pytest.raises(TranslationError, match="is a SlicingOpLambda"):
        from_tfmot(tf_keras.Model(inputs, inputs[:, 1:]))


def test_models_that_are_not_ready():
    dense = layers.Dense(3, name="dense")
    with pytest.raises(
        TranslationError, match="'dense' is annotated, but not quantized"
    ):
        from_tfmot(chain((4,), annotate(dense)))
    with pytest.raises(TranslationError, match="'open' has no input shape yet"):
        from_tfmot(tf_keras.Sequential([dense], name="open"))

    class Own(tf_keras.Model):
        def call(self, x):
            return x

    with pytest.raises(TranslationError, match="is a Own with a `call` of its own"):
        from_tfmot(Own())


def test_other_things_than_models_of_tf_keras():
    model = keras.Sequential([keras.Input((2,))])
    with pytest.raises(TypeError, match="It is a model of Keras 3 already"):
        from_tfmot(model)
    with pytest.raises(TypeError, match="Received: an object of type str"):
        from_tfmot("model.h5")


class BiasConfig(quantization.QuantizeConfig):
    """Quantizes what layers of Keras 3 cannot: a bias, or with two activations."""

    def __init__(self, what="bias"):
        self.what = what
        self.quantizer = quantization.quantizers.LastValueQuantizer(
            8, False, True, True
        )

    def get_weights_and_quantizers(self, layer):
        return [(layer.bias, self.quantizer)] if self.what == "bias" else []

    def set_quantize_weights(self, layer, quantize_weights):
        if quantize_weights:
            (layer.bias,) = quantize_weights

    def get_activations_and_quantizers(self, layer):
        count = 0 if self.what == "bias" else 2
        return [(layer.activation, self.quantizer)] * count

    def set_quantize_activations(self, layer, quantize_activations):
        if quantize_activations:
            layer.activation = quantize_activations[0]

    def get_output_quantizers(self, layer):
        return []

    def get_config(self):
        return {"what": self.what}


@pytest.mark.parametrize(
    ("what", "match"),
    [
        ("bias", "TFMOT quantizes 'bias' of layer 'dense'"),
        ("activations", "'dense' has a BiasConfig that quantizes something other"),
    ],
)
def test_configs_of_ones_own_beyond_kernels(what, match):
    annotated = annotate(layers.Dense(3, name="dense"), BiasConfig(what))
    with quantization.quantize_scope({"BiasConfig": BiasConfig}):
        theirs = quantization.quantize_apply(chain((4,), annotated))
    with pytest.raises(TranslationError, match=match):
        from_tfmot(theirs)


def test_ranges_along_inputs_of_a_kernel_are_refused(rng):
    quantizer = quantization.quantizers.LastValueQuantizer(8, True, True, True)
    shape, arguments = KERNEL_LAYERS["Conv2DTranspose"]
    layer = layers.Conv2DTranspose(**arguments, name="it")
    theirs = chain(shape, annotate(layer, BinaryQuantizeConfig(quantizer)))
    theirs = randomized(quantization.quantize_apply(theirs), rng)
    outputs_of(theirs, inputs_of(theirs, rng))
    match = "'kernel' of layer 'it' has ranges along its last axis"
    with pytest.raises(TranslationError, match=match):
        from_tfmot(theirs)
