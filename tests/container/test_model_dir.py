"""A folder of one's own models, exported here and served from the container."""

import keras
import numpy as np
import pytest

import kerasbnn
from tests.container.engine import Project

FEATURES, CLASSES = 48, 3


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A small trained network in a folder of models, its inputs and outputs."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(512, FEATURES)).astype("float32")
    y = (x @ rng.normal(size=(FEATURES, CLASSES))).argmax(axis=1)
    keras.utils.set_random_seed(5)
    binary = {"kernel_quantizer": "ste_sign", "kernel_constraint": "weight_clip"}
    model = keras.Sequential(
        [
            keras.Input((FEATURES,), name="features"),
            kerasbnn.QuantDense(64, **binary),
            keras.layers.BatchNormalization(),
            kerasbnn.QuantDense(CLASSES, input_quantizer="ste_sign", **binary),
        ]
    )
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(True))
    model.fit(x, y, epochs=2, verbose=0)
    folder = tmp_path_factory.mktemp("models")
    kerasbnn.export(model, folder / "sorter" / "1", x)
    # As `mkdir` makes them; those of pytest can be read by their user only.
    for path in (folder, *folder.parents):
        if path.name.startswith("pytest"):
            path.chmod(0o755)
    folder.chmod(0o755)
    return folder, x[:16], model.predict(x[:16], verbose=0)


def test_serves_it(image, exported):
    folder, x, expected = exported
    with Project("kerasbnn-test-own", MODEL_DIR=str(folder)) as project:
        names = project.get("/v2/models/sorter")
        assert names["versions"] == ["1"]
        tensor = {
            "name": names["inputs"][0]["name"],
            "shape": x.shape,
            "datatype": "FP32",
            "data": x.tolist(),
        }
        answer = project.get("/v2/models/sorter/infer", {"inputs": [tensor]})
        found = np.reshape(answer["outputs"][0]["data"], expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
        report = project.get("/v2/models/sorter/geometry")
        assert len(report["layers"]) == 2
