"""Models trained on JAX or PyTorch: TensorFlow converts a saved copy elsewhere."""

import importlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

from kerasbnn.tflite.errors import ConversionError

_MODEL, _REQUEST, _ANSWER = "model.keras", "request.pickle", "answer.json"


def run_in_tensorflow(
    task: str, model: keras.Model, path: Path, sample_inputs, options: dict
) -> dict[str, Any]:
    """Call a function on a copy of a model in a process whose backend is TensorFlow.

    Args:
        task: The function, as `"module:name"`; it takes the model, the path and keyword
            arguments, and returns a report with a method `to_dict`.
        model: The model.
        path: Where the function writes its file.
        sample_inputs: Its argument of this name.
        options: Its other keyword arguments.

    Returns:
        The dict of the report.

    Raises:
        ConversionError: The model cannot be saved and loaded again, TensorFlow is not
            installed, or what the function raises there.
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
            "task": task,
            "path": str(path.absolute()),
            "samples": samples,
            "options": dict(options),
        }
        if "name" in options:
            request["options"]["name"] = options["name"] or model.name
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
    return {**values, "path": str(path)}


def _main(folder: Path):
    request = pickle.loads((folder / _REQUEST).read_bytes())
    module, _, name = request["task"].partition(":")
    task = getattr(importlib.import_module(module), name)
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
            report = task(
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
