"""Files of one composite or a chain of them, made without Keras."""

import dataclasses

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.schema_py_generated import SignatureDefT, TensorMapT

from kerasbnn.runtime.composites import BITS, DENSE
from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.composite_operators import make_composite, output_tensor
from kerasbnn.tflite.graph import Graph


def model_of(cases, weights="int8"):
    """Build a file that computes cases one after another.

    Args:
        cases: `Case`s that fit together; a dense one takes the outputs before it flat.
        weights: As for `decompose`.

    Returns:
        Bytes of the file. Its inputs are `x` and, where there are any, `residual_0`,
        ...; its outputs are those of all cases, `y_0`, `y_1`, ...
    """
    graph = Graph()
    main = graph.add_subgraph("main")
    first = cases[0]
    dtype = np.uint8 if first.composite.input == BITS else np.float32
    x = main.add_tensor((-1, *first.x.shape[1:]), dtype, "x")
    inputs, outputs = {"x": x}, {}
    for number, case in enumerate(cases):
        if case.composite.name == DENSE and len(main.shape(x)) == 4:
            _, *sizes = main.shape(x)
            flat = (-1, int(np.prod(sizes)))
            x = Operations(main).reshape(x, flat, main.dtype(x))
        y = output_tensor(main, case.composite, x, f"y_{number}")
        residual = None
        if case.residual is not None:
            name = f"residual_{number}"
            shape = (-1, *case.residual.shape[1:])
            residual = inputs[name] = main.add_tensor(shape, np.float32, name)
        operator = make_composite(
            main,
            case.composite,
            x,
            case.filters,
            case.scale,
            case.bias,
            y,
            residual=residual,
            weights=weights,
        )
        main.operators.append(operator)
        outputs[f"y_{number}"] = x = y
    main.raw.inputs, main.raw.outputs = list(inputs.values()), list(outputs.values())
    signature = SignatureDefT()
    signature.signatureKey = b"serving_default"
    signature.subgraphIndex = 0
    signature.inputs, signature.outputs = _entries(inputs), _entries(outputs)
    graph.model.signatureDefs = [signature]
    return graph.to_bytes()


def _entries(tensors):
    entries = []
    for name, tensor in tensors.items():
        entry = TensorMapT()
        entry.name, entry.tensorIndex = name.encode(), tensor
        entries.append(entry)
    return entries


def run(content, inputs, delegates=None, **options):
    """Run a file in the stock interpreter on inputs by name."""
    interpreter = Interpreter(
        model_content=content, experimental_delegates=delegates, **options
    )
    return run_with(interpreter, inputs)


def run_with(interpreter, inputs):
    """Run an interpreter on inputs by name, of any batch size."""
    details = {d["name"]: d["index"] for d in interpreter.get_input_details()}
    for name, values in inputs.items():
        interpreter.resize_tensor_input(details[name], values.shape)
    interpreter.allocate_tensors()
    for name, values in inputs.items():
        interpreter.set_tensor(details[name], values)
    interpreter.invoke()
    return {
        d["name"]: interpreter.get_tensor(d["index"])
        for d in interpreter.get_output_details()
    }


def inputs_of(case, batch=None):
    """Return the inputs of a file of one case by name."""
    inputs = {"x": case.x[:batch]}
    if case.residual is not None:
        inputs["residual_0"] = case.residual[:batch]
    return inputs


def with_batch(case, batch):
    """Return a case with the first samples only."""
    residual = None if case.residual is None else case.residual[:batch]
    return dataclasses.replace(case, x=case.x[:batch], residual=residual)
