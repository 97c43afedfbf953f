"""Runs our files in a LiteRT of any version and compares with numpy.

    python -m tests.compatibility write FOLDER
    OTHER_PYTHON tests/compatibility.py check FOLDER [--delegate LIBRARY] [--tensorflow]

The first writes the files and what they have to yield, and needs this repository; the
second needs numpy and ai-edge-litert alone, or TensorFlow's interpreter. LIBRARY is
what `kerasbnn.runtime.delegate_path()` returns. `docs/compatibility.md` holds what came
out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

WAYS = ("int8", "float")
SINGLE_COMPOSITES = 120
CHAINS = 40
NETWORKS = 12
BATCH = 5
# The largest one after a smaller one: LiteRT allocates anew.
BATCHES = (2, 1, 5, 3)


def write(folder):
    """Write random composites and chains of them."""
    from tests.helpers.composite_cases import random_case, random_composite
    from tests.helpers.composite_chains import (
        inputs_of_chain,
        outputs_of_chain,
        random_chain,
    )
    from tests.helpers.tflite_models import model_of

    folder.mkdir(parents=True, exist_ok=True)
    for number in range(SINGLE_COMPOSITES + CHAINS):
        rng = np.random.default_rng(number)
        if number < SINGLE_COMPOSITES:
            cases = [random_case(rng, random_composite(rng), BATCH)]
            name = cases[0].composite.name.removeprefix("kerasbnn.")
        else:
            cases, name = random_chain(rng, BATCH), "chain"
        stem = f"{name}_{number:03}"
        for way in WAYS:
            (folder / f"{stem}.{way}.tflite").write_bytes(model_of(cases, way))
        inputs = {f"in:{k}": v for k, v in inputs_of_chain(cases).items()}
        outputs = {f"out:{k}": v for k, v in outputs_of_chain(cases).items()}
        np.savez(folder / f"{stem}.npz", **inputs, **outputs)
    count = SINGLE_COMPOSITES + CHAINS + write_networks(folder)
    print(f"{count} cases, each in the ways {', '.join(WAYS)}")


def write_networks(folder):
    """Convert random networks of Keras; return how many."""
    try:
        import tensorflow  # noqa: F401
    except ImportError:
        return 0
    from kerasbnn import convert
    from kerasbnn.runtime import Interpreter
    from tests.helpers.converting import keras_outputs, samples_for
    from tests.helpers.random_models import RandomModel

    for seed in range(NETWORKS):
        model = RandomModel(np.random.default_rng(seed)).model
        x = samples_for(model, BATCH)
        stem = f"network_{seed:03}"
        for way in WAYS:
            path = folder / f"{stem}.{way}.tflite"
            convert(model, path, sample_inputs=x, decomposition=way)
        with Interpreter(path, delegate=False) as file:
            signature = file.signatures["serving_default"]
        (source,), (result,) = signature.inputs, signature.outputs
        arrays = {f"in:{source}": x, f"out:{result}": keras_outputs(model, x)}
        np.savez(folder / f"{stem}.npz", **arrays)
    return NETWORKS


def check(folder, litert, library):
    """Run all files and print what is wrong; return how many files are."""
    failed = 0
    for way in WAYS:
        files = values = wrong = 0
        for path in sorted(folder.glob(f"*.{way}.tflite")):
            data = np.load(folder / f"{path.name.split('.')[0]}.npz")
            try:
                compared, differing = compare(litert, library, path, data)
            except (RuntimeError, ValueError) as error:
                print(f"  {path.name}: {error}")
                failed += 1
                continue
            files, values, wrong = files + 1, values + compared, wrong + differing
            if differing:
                print(f"  {path.name}: {differing} of {compared} values are wrong")
                failed += 1
        print(f"{way}: {files} files run, {wrong} of {values} values wrong")
    return failed


def compare(litert, library, path, data):
    """Run a file in several ways; return values and wrong ones among them."""
    inputs = {key[3:]: data[key] for key in data.files if key.startswith("in:")}
    expected = {key[4:]: data[key] for key in data.files if key.startswith("out:")}
    values = wrong = 0
    # With XNNPACK and without.
    for kind in ("AUTO", "BUILTIN_WITHOUT_DEFAULT_DELEGATES"):
        delegates = [litert.load_delegate(str(library))] if library else None
        interpreter = litert.Interpreter(
            model_path=str(path),
            experimental_delegates=delegates,
            experimental_op_resolver_type=getattr(litert.OpResolverType, kind),
        )
        for batch in BATCHES:
            samples = {name: x[:batch] for name, x in inputs.items()}
            for name, y in run(interpreter, samples).items():
                right = expected[name][:batch]
                values += right.size
                if y.shape != right.shape or y.dtype != right.dtype:
                    wrong += right.size
                elif path.name.startswith("network"):
                    # Keras and LiteRT add floats in another order.
                    scale = max(1.0, float(np.abs(right).max()))
                    wrong += int((np.abs(y - right) > 1e-4 * scale).sum())
                else:
                    wrong += int((y != right).sum())
    return values, wrong


def run(interpreter, inputs):
    """Run an interpreter on inputs by name, and return the outputs by name."""
    places = {d["name"]: d["index"] for d in interpreter.get_input_details()}
    for name, x in inputs.items():
        interpreter.resize_tensor_input(places[name], x.shape)
    interpreter.allocate_tensors()
    for name, x in inputs.items():
        interpreter.set_tensor(places[name], x)
    interpreter.invoke()
    return {
        d["name"]: interpreter.get_tensor(d["index"])
        for d in interpreter.get_output_details()
    }


def main():
    """Run a command; return the status of the process."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("write", "check"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--delegate", type=Path)
    parser.add_argument("--tensorflow", action="store_true")
    arguments = parser.parse_args()
    folder = arguments.folder
    if arguments.command == "write":
        write(folder)
        return 0
    if not any(folder.glob("*.npz")):
        parser.error(f"'{folder}' holds no cases; write them first")
    if arguments.tensorflow:
        from tensorflow.lite.python import interpreter as litert
    else:
        from ai_edge_litert import interpreter as litert
    return 1 if check(folder, litert, arguments.delegate) else 0


if __name__ == "__main__":
    sys.exit(main())
