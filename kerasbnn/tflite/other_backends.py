"""Models trained on JAX or PyTorch: TensorFlow converts a saved copy elsewhere."""

import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import keras

from kerasbnn.tflite.errors import ConversionError
from kerasbnn.tflite.report import ConversionReport

_MODEL, _REQUEST, _ANSWER = "model.keras", "request.pickle", "answer.json"


def convert_in_tensorflow(
    model: keras.Model, path: Path, sample_inputs, options: dict
) -> ConversionReport:
    """Convert a model in a process whose backend is TensorFlow.

    Args:
        model: The model.
        path: Where to write the file.
        sample_inputs: As for `convert`.
        options: The other keyword arguments of `convert`.

    Returns:
        The report of the other process.

    Raises:
        ConversionError: The model cannot be saved and loaded again, TensorFlow is not
            installed, or what `convert` raises there.
    """
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        try:
            model.save(files / _MODEL)
        except Exception as error:
            raise ConversionError(
                f"Model '{model.name}' cannot be saved for TensorFlow to convert: "
                f"{error}. On the {keras.backend.backend()} backend a model must "
                "survive model.save; or set KERAS_BACKEND=tensorflow."
            ) from error
        samples = sample_inputs
        if samples is not None:
            samples = keras.tree.map_structure(keras.ops.convert_to_numpy, samples)
        # Written and read by this very module: nobody else's data is unpickled.
        request = {
            "path": str(path.absolute()),
            "samples": samples,
            "options": {**options, "name": options["name"] or model.name},
        }
        (files / _REQUEST).write_bytes(pickle.dumps(request))
        environment = {**os.environ, "KERAS_BACKEND": "tensorflow"}
        environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        done = subprocess.run(
            [sys.executable, "-m", __name__, folder],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        answer = files / _ANSWER
        if not answer.exists():
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise ConversionError(
                f"TensorFlow, which converts models of the {keras.backend.backend()} "
                f"backend too, failed: {last}. Is it installed? Run: pip install "
                '"kerasbnn[tflite]".'
            )
        values = json.loads(answer.read_text())
    if "error" in values:
        raise ConversionError(values["error"], values["layer"])
    return ConversionReport.from_dict({**values, "path": str(path)})


def _main(folder: Path):
    from kerasbnn.tflite.converter import convert

    request = pickle.loads((folder / _REQUEST).read_bytes())
    try:
        model = keras.models.load_model(folder / _MODEL, compile=False)
    except Exception as error:
        answer = {
            "error": "The model cannot be loaded in a process of its own, where "
            f"TensorFlow would convert it: {str(error).splitlines()[0]} Put classes of "
            "your own into a module that registers them, or set "
            "KERAS_BACKEND=tensorflow and call convert there.",
            "layer": None,
        }
    else:
        try:
            report = convert(
                model,
                request["path"],
                sample_inputs=request["samples"],
                **request["options"],
            )
            answer = report.to_dict()
        except (TypeError, ValueError) as error:
            answer = {"error": str(error), "layer": getattr(error, "layer", None)}
    (folder / _ANSWER).write_text(json.dumps(answer))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
