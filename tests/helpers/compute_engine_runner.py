"""Converts SavedModels with Larq Compute Engine and runs them, in its environment.

    python compute_engine_runner.py FOLDER

Each folder in FOLDER holds `model`, a SavedModel, and `inputs.npz`. What comes out is
written beside them: `outputs.npz`, with an array for each output and implementation,
`model.tflite` and `report.json`.
"""

import collections
import json
import sys
from pathlib import Path

import larq_compute_engine as lce
import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

# The kernels that Larq Compute Engine has for a processor other than ARM's.
IMPLEMENTATIONS = {
    "default": {},
    "indirect": {"use_indirect_bgemm": True},
    "reference": {"use_reference_bconv": True},
}
_BUILTINS = {
    code: name
    for name, code in vars(schema.BuiltinOperator).items()
    if isinstance(code, int)
}


def main(root: Path):
    for folder in sorted(path for path in root.iterdir() if path.is_dir()):
        report = {}
        try:
            run(folder, report)
        except Exception as error:
            report["error"] = f"{type(error).__name__}: {error}"
        (folder / "report.json").write_text(json.dumps(report))


def run(folder: Path, report: dict):
    content = lce.convert_saved_model(str(folder / "model"))
    (folder / "model.tflite").write_bytes(content)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))
    main_graph = model.subgraphs[0]
    names = {
        kind: _names(main_graph, kind, getattr(model.signatureDefs[0], kind))
        for kind in ("inputs", "outputs")
    }
    report["bytes"] = len(content)
    report["operations"] = collections.Counter(
        _operation(model, op) for op in main_graph.operators
    )
    report["constants"] = _constants(model, main_graph)
    with np.load(folder / "inputs.npz") as inputs:
        given = [inputs[name] for name in names["inputs"]]
    found, report["refused"] = {}, []
    for implementation, options in IMPLEMENTATIONS.items():
        try:
            interpreter = lce.testing.Interpreter(content, num_threads=1, **options)
        except RuntimeError:
            # Such as the reference for zeros around an odd number of channels.
            report["refused"].append(implementation)
            continue
        outputs = interpreter.predict(given if len(given) > 1 else given[0])
        if len(names["outputs"]) == 1:
            outputs = [outputs]
        for name, values in zip(names["outputs"], outputs, strict=True):
            found[f"{implementation}/{name}"] = values
    np.savez(folder / "outputs.npz", **found)


def _names(graph, kind, entries):
    """Name the inputs or outputs in the order that the interpreter has them in."""
    names = {entry.tensorIndex: entry.name.decode() for entry in entries}
    return [names[int(index)] for index in getattr(graph, kind)]


def _operation(model, op):
    code = model.operatorCodes[op.opcodeIndex]
    return code.customCode.decode() if code.customCode else _BUILTINS[code.builtinCode]


def _constants(model, graph):
    """Return the bytes of the constants of each binary convolution, in order."""
    return [
        sum(
            len(data)
            for index in op.inputs[1:]
            if index >= 0
            and (data := model.buffers[graph.tensors[index].buffer].data) is not None
        )
        for op in graph.operators
        if _operation(model, op) == "LceBconv2d"
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
