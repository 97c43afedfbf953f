"""Check an installed kerasbnn from outside the source tree; see `.ci/run`."""

import compileall
import importlib.metadata
import sys
import warnings
from pathlib import Path

import kerasbnn


def check_files():
    """Check that the package comes from site-packages, whole and compilable."""
    package = Path(kerasbnn.__file__).parent
    assert "site-packages" in package.parts, package
    assert (package / "py.typed").exists()
    assert compileall.compile_dir(package, quiet=1)
    version = importlib.metadata.version("kerasbnn")
    assert version == kerasbnn.__version__, version
    top_level = {
        path.parts[0] for path in importlib.metadata.files("kerasbnn") or ()
    } - {"..", f"kerasbnn-{version}.dist-info"}
    assert top_level == {"kerasbnn"}, top_level


def check_without_backend():
    """Check what works with the base dependencies, and what is said of the rest."""
    angle = kerasbnn.geometry.expected_angle_degrees(27)
    assert round(angle, 2) == 36.19, angle
    message = "nothing was wrong"
    try:
        _ = kerasbnn.QuantDense
    except ImportError as error:
        message = str(error)
    assert 'pip install "kerasbnn[tensorflow]"' in message, message


def check_with_runtime():
    """Check that the native delegate runs, and loads neither Keras nor TensorFlow."""
    from kerasbnn import runtime

    status = runtime.status()
    print(status)
    assert status.self_test == "passed", status
    assert status.available[-1] == "generic", status
    check_self_test(expected_layers=6)


def check_without_compiler():
    """Check that files run without the native delegate, with a warning."""
    from kerasbnn import runtime

    status = runtime.status()
    assert status.library is None, status
    assert "compiler" in status.advice, status
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_self_test(expected_layers=0)
    assert any("several times slower" in str(w.message) for w in caught), caught


def check_self_test(expected_layers):
    """Check what the small file gives, and how many layers the delegate takes."""
    import numpy as np

    from kerasbnn.runtime import Interpreter, self_test

    values = self_test.values()
    with Interpreter(self_test.content()) as model:
        assert len(model.delegated) == expected_layers, model
        outputs = model.predict({name: values[name] for name in ("x", "residual_2")})
    for name, found in outputs.items():
        assert np.array_equal(found, values[name]), name
    assert "keras" not in sys.modules
    assert "tensorflow" not in sys.modules


def check_with_backend():
    """Check that a network of one layer trains, saves and loads."""
    import keras
    import numpy as np

    x = np.random.default_rng(0).normal(size=(256, 8))
    y = np.sign(x @ np.where(np.arange(8) % 2, 1, -1))
    layer = kerasbnn.QuantDense(
        1, kernel_quantizer="ste_sign", kernel_constraint="weight_clip"
    )
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile(keras.optimizers.Adam(0.05), "squared_hinge")
    history = model.fit(x, y, epochs=20, verbose=0).history["loss"]
    assert history[-1] < history[0], history
    model.save("model.keras")
    loaded = keras.saving.load_model("model.keras")
    kernel = keras.ops.convert_to_numpy(loaded.layers[0].quantize_kernel())
    assert set(np.unique(kernel)) <= {-1.0, 1.0}, kernel
    report = kerasbnn.audit(loaded, x, verbose=0)
    report.show()
    assert report[layer.name].products.pooled > 0.5, report


if __name__ == "__main__":
    check_files()
    {
        "without-backend": check_without_backend,
        "without-compiler": check_without_compiler,
        "with-runtime": check_with_runtime,
        "with-backend": check_with_backend,
    }[sys.argv[1]]()
    print(f"kerasbnn {kerasbnn.__version__} on Python {sys.version.split()[0]}: fine")
