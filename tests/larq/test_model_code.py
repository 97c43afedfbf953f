"""Code as written for Larq, with other import lines alone."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import kerasbnn.larq as lq

pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not pass an `input_shape`:UserWarning"
)


def images():
    x, y = load_digits(return_X_y=True)
    return (x.reshape(-1, 8, 8, 1) / 8 - 1).astype("float32"), y


def binary_net():
    kwargs = {
        "input_quantizer": "ste_sign",
        "kernel_quantizer": "ste_sign",
        "kernel_constraint": "weight_clip",
        "use_bias": False,
    }
    with lq.context.metrics_scope(["flip_ratio"]):
        model = keras.models.Sequential()
        model.add(
            lq.layers.QuantConv2D(
                16,
                3,
                kernel_quantizer="ste_sign",
                kernel_constraint="weight_clip",
                use_bias=False,
                padding="same",
                input_shape=(8, 8, 1),
            )
        )
        model.add(keras.layers.BatchNormalization(scale=False))
        model.add(
            lq.layers.QuantConv2D(32, 3, padding="same", pad_values=1.0, **kwargs)
        )
        model.add(keras.layers.MaxPool2D(2))
        model.add(keras.layers.BatchNormalization(scale=False))
        model.add(keras.layers.Flatten())
        model.add(lq.layers.QuantDense(10, **kwargs))
        model.add(keras.layers.BatchNormalization(scale=False))
        model.add(keras.layers.Activation("softmax"))
    return model


def test_binary_net_trains_saves_and_loads(tmp_path, capsys):
    x, y = images()
    model = binary_net()
    model.compile(
        optimizer=keras.optimizers.Adam(0.01),
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    history = model.fit(
        x[:1400], y[:1400], batch_size=64, epochs=4, validation_split=0.1, verbose=0
    ).history
    flips = [key for key in history if key.startswith("flip_ratio/")]
    assert len(flips) == 3
    assert all(0 < history[key][0] < 0.5 for key in flips)
    accuracy = model.evaluate(x[1400:], y[1400:], verbose=0)[1]
    assert accuracy > 0.6

    lq.models.summary(model)
    assert "Ratio of MACs that are binarized" in capsys.readouterr().out

    model.save(tmp_path / "full_precision.keras")
    with lq.context.quantized_scope(True):
        model.save(tmp_path / "binary.keras")
        model.save_weights(tmp_path / "binary.weights.h5")
        kernels = [w for w in model.get_weights() if w.ndim > 1]
        assert all(set(np.unique(kernel)) == {-1, 1} for kernel in kernels)
    expected = model.predict(x[1400:], verbose=0)
    for name in ("full_precision", "binary"):
        again = keras.models.load_model(tmp_path / f"{name}.keras")
        assert isinstance(again.layers[0], lq.layers.QuantConv2D)
        np.testing.assert_allclose(
            again.predict(x[1400:], verbose=0), expected, rtol=1e-4, atol=1e-6
        )
    for layer in model.layers:
        if hasattr(layer, "kernel_constraint") and layer.kernel_constraint:
            assert np.abs(layer.get_weights()[0]).max() <= 1


def test_latent_free_training_with_a_decaying_gamma():
    x, y = images()
    x = x.reshape(-1, 64)
    no_op = lq.quantizers.NoOp(precision=1)
    model = keras.Sequential(
        [
            keras.Input((64,)),
            lq.layers.QuantDense(128, kernel_quantizer=no_op, use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.Activation("hard_tanh"),
            keras.layers.Dense(10),
        ]
    )
    bop = lq.optimizers.Bop(threshold=1e-6, gamma=1e-2)
    optimizer = lq.optimizers.CaseOptimizer(
        (lq.optimizers.Bop.is_binary_variable, bop),
        default_optimizer=keras.optimizers.Adam(0.01),
    )
    model.compile(
        optimizer,
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    callbacks = [
        lq.callbacks.HyperparameterScheduler(
            lambda epoch: 1e-2 * (0.1 ** (epoch // 2)), "gamma", bop
        )
    ]
    history = model.fit(x, y, epochs=4, callbacks=callbacks, verbose=0).history
    assert history["gamma"] == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3])
    assert set(np.unique(model.get_weights()[0])) == {-1, 1}
    assert history["accuracy"][-1] > 0.9


def test_a_residual_network_of_the_functional_kind():
    def block(x):
        shortcut = x
        x = lq.layers.QuantConv2D(
            x.shape[-1],
            3,
            padding="same",
            input_quantizer=lq.quantizers.ApproxSign(),
            kernel_quantizer=lq.quantizers.MagnitudeAwareSign(),
            kernel_constraint=lq.constraints.WeightClip(1.25),
            kernel_initializer="glorot_normal",
            use_bias=False,
        )(x)
        x = keras.layers.BatchNormalization(momentum=0.9)(x)
        return keras.layers.add([x, shortcut])

    inputs = keras.layers.Input(shape=(8, 8, 1))
    x = keras.layers.Conv2D(8, 3, padding="same", activation=lq.activations.hard_tanh)(
        inputs
    )
    x = block(block(x))
    x = keras.layers.Activation("ste_sign")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    outputs = lq.layers.QuantDense(10, activation="softmax")(x)
    model = keras.models.Model(inputs, outputs)
    model.compile("adam", "sparse_categorical_crossentropy")
    images_, labels = images()
    losses = model.fit(images_[:256], labels[:256], epochs=2, verbose=0).history["loss"]
    assert losses[-1] < losses[0]
    again = keras.models.model_from_json(model.to_json())
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(
        again.predict(images_[:4], verbose=0),
        model.predict(images_[:4], verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )
