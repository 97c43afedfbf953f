"""Files without anything of kerasbnn in them, made without a converter."""

import numpy as np
from ai_edge_litert.schema_py_generated import BuiltinOperator

from kerasbnn.tflite.builtin_operations import Operations
from kerasbnn.tflite.graph import Graph


def sum_model(shapes=((-1, 3), (-1, 3)), dtype=np.float32, product=False):
    """Build a file, without signatures, that adds two inputs, `a` and `b`.

    Args:
        shapes: Shape of each; one input is added to itself.
        dtype: Their dtype.
        product: Whether there is a second output, their product.
    """
    graph = Graph()
    main = graph.add_subgraph("main")
    inputs = [
        main.add_tensor(shape, dtype, name)
        for name, shape in zip("ab", shapes, strict=False)
    ]
    add = Operations(main)
    results = [(add.add, "sum")] + [(add.multiply, "product")] * product
    outputs = []
    for operation, name in results:
        out = main.add_tensor(shapes[0], dtype, name)
        outputs.append(operation(inputs[0], inputs[-1], out))
    main.raw.inputs, main.raw.outputs = inputs, outputs
    return graph.to_bytes()


def custom_model(name="MyOperation"):
    """Build a file with one custom operation."""
    graph = Graph()
    main = graph.add_subgraph("main")
    x = main.add_tensor((-1, 3), np.float32, "x")
    y = main.add_tensor((-1, 3), np.float32, "y")
    operator = main.make_operator(BuiltinOperator.CUSTOM, [x], [y])
    operator.code.customCode = name.encode()
    main.operators.append(operator)
    main.raw.inputs, main.raw.outputs = [x], [y]
    return graph.to_bytes()
