import keras
import numpy as np
import pytest
from keras import ops

from kerasbnn import recipes
from kerasbnn.optimizers import ScaledAdam
from kerasbnn.recipes import EpochExponentialDecay, SparseSquaredHinge


def squared_hinge(labels, scores):
    total = 0.0
    for label, row in zip(labels, scores, strict=True):
        for k, score in enumerate(row):
            target = 1.0 if k == label else -1.0
            total += max(0.0, 1.0 - target * score) ** 2
    return total / scores.size


@pytest.mark.parametrize("label_shape", [(-1,), (-1, 1)])
def test_the_loss_is_the_squared_hinge_of_the_labels(label_shape):
    rng = np.random.default_rng(0)
    labels, scores = rng.integers(0, 7, 30), 2 * rng.normal(size=(30, 7))
    loss = SparseSquaredHinge()(labels.reshape(label_shape), scores)
    expected = squared_hinge(labels, scores)
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(expected, rel=1e-6)


def test_the_loss_agrees_with_keras_on_targets_of_plus_and_minus_one():
    rng = np.random.default_rng(1)
    labels, scores = rng.integers(0, 3, 20), rng.normal(size=(20, 3)).astype("float32")
    keras_loss = keras.losses.SquaredHinge()(2 * np.eye(3)[labels] - 1, scores)
    ours = SparseSquaredHinge()(labels, scores)
    np.testing.assert_allclose(
        ops.convert_to_numpy(ours), ops.convert_to_numpy(keras_loss), rtol=1e-6
    )


def test_the_loss_weights_samples():
    scores = np.array([[0.0, 0.0], [9.0, -9.0]], "float32")
    loss = SparseSquaredHinge()(np.array([0, 0]), scores, sample_weight=[1.0, 0.0])
    assert float(ops.convert_to_numpy(loss)) == pytest.approx(0.5)


def test_the_learning_rate_falls_once_per_epoch_as_in_the_authors_code():
    # Epoch j, from 0, uses 1e-3 * 0.983907^(j+1): the paper's code, 500 epochs.
    rate = EpochExponentialDecay(1e-3, 3e-7, epochs=500, steps_per_epoch=990)
    for step, epoch in [(0, 0), (989, 0), (990, 1), (990 * 499, 499)]:
        expected = 1e-3 * (3e-7 / 1e-3) ** ((epoch + 1) / 500)
        assert float(ops.convert_to_numpy(rate(step))) == pytest.approx(
            expected, rel=1e-4
        )
    first = float(ops.convert_to_numpy(rate(0)))
    assert first == pytest.approx(1e-3 * 0.983907, rel=1e-5)
    last = float(ops.convert_to_numpy(rate(990 * 499)))
    assert last == pytest.approx(3e-7, rel=1e-4)


def test_binarynet_starts_at_the_initial_rate():
    optimizer = recipes.binarynet(steps_per_epoch=10, epochs=5)["optimizer"]
    assert isinstance(optimizer, ScaledAdam)
    rate = float(ops.convert_to_numpy(optimizer.learning_rate))
    assert rate == pytest.approx(1e-3)


@pytest.mark.parametrize("name", ["initial", "final", "epochs", "steps_per_epoch"])
def test_a_schedule_refuses_what_is_not_positive(name):
    arguments = {"initial": 1e-3, "final": 1e-6, "epochs": 5, "steps_per_epoch": 9}
    with pytest.raises(ValueError, match=f"`{name}` must be greater than 0"):
        EpochExponentialDecay(**{**arguments, name: 0})


@pytest.mark.parametrize("recipe", [recipes.anderson_berg, recipes.binarynet])
def test_a_recipe_trains_and_survives_saving(recipe, tmp_path):
    from kerasbnn.applications import binarynet_mnist_mlp

    keras.utils.set_random_seed(0)
    model = binarynet_mnist_mlp((6,), 3, units=(64,), batchnorm_momentum=0.9)
    model.compile(**recipe(steps_per_epoch=16, epochs=8, initial=1e-2, final=1e-4))
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (256, 6)).astype("float32")
    y = np.argmax(x[:, :3], axis=1)
    history = model.fit(x, y, batch_size=16, epochs=8, verbose=0).history
    assert history["loss"][-1] < 0.8 * history["loss"][0]
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is type(model.optimizer)
    for ours, theirs in zip(
        model.optimizer.variables, loaded.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(ours), ops.convert_to_numpy(theirs)
        )


def test_anderson_berg_clips_gradients_element_by_element():
    optimizer = recipes.anderson_berg(steps_per_epoch=1)["optimizer"]
    assert optimizer.clipvalue == 1.0
    assert optimizer.epsilon == 1e-8
