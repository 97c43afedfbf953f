"""Files with inputs of any type, and folders of models to serve."""

from pathlib import Path

import numpy as np
from ai_edge_litert.schema_py_generated import TensorType

from kerasbnn.serve.models.datatypes import DTYPES
from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.graph import Graph

_NAMES = {
    "BOOL": "BOOL",
    **{f"UINT{bits}": f"UINT{bits}" for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": f"INT{bits}" for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": f"FLOAT{bits}" for bits in (16, 32, 64)},
}


def flattening_model(inputs: dict[str, tuple[str, tuple[int, ...]]]) -> bytes:
    """Build a file that flattens each of its inputs.

    Args:
        inputs: Datatype and shape of each, by name; -1 for the batch.

    Returns:
        Bytes of the file. Its outputs are `flat_NAME`, `(batch, values)`, with the
        same values.
    """
    graph = Graph()
    main = graph.add_subgraph("main")
    operations = Operations(main)
    taken, given = [], []
    for name, (datatype, shape) in inputs.items():
        kind = getattr(TensorType, _NAMES[datatype])
        flat = (shape[0], int(np.prod(shape[1:])))
        # The type is set afterwards, for Graph knows fewer than LiteRT.
        x = main.add_tensor(shape, np.float32, name)
        y = main.add_tensor(flat, np.float32, f"flat_{name}")
        operations.reshape(x, flat, np.float32, out=y)
        for tensor in (x, y):
            main.raw.tensors[tensor].type = kind
        taken.append(x)
        given.append(y)
    main.raw.inputs, main.raw.outputs = taken, given
    return graph.to_bytes()


def write_model(folder: Path, content: bytes, name="m", version="1", labels=None):
    """Write a model into a folder of models."""
    target = folder / name / version
    target.mkdir(parents=True)
    (target / "model.tflite").write_bytes(content)
    if labels is not None:
        (target / "labels.txt").write_text("\n".join(labels) + "\n")


def random_values(rng, datatype: str, shape) -> np.ndarray:
    """Draw values of a datatype, of its whole range, all finite."""
    dtype = DTYPES[datatype]
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "f":
        limit = np.finfo(dtype).maxexp - 1
        exponents = rng.integers(-limit, limit, shape)
        return np.ldexp(rng.uniform(-1, 1, shape), exponents).astype(dtype)
    info = np.iinfo(dtype)
    return rng.integers(info.min, info.max, shape, dtype, endpoint=True)
