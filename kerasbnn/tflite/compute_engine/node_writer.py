"""Adds operations to a TensorFlow graph and turns operations into others."""

import numpy as np


class NodeWriter:
    """Adds operations before one that is to be replaced.

    Args:
        graph_def: The operations.
        node: The one to be replaced.
    """

    def __init__(self, graph_def, node):
        self.graph_def = graph_def
        self.node = node

    def constant(self, name, value):
        """Add a float32 scalar; return its name."""
        import tensorflow as tf

        node = self.graph_def.node.add(op="Const", name=f"{self.node.name}/{name}")
        node.attr["dtype"].type = tf.float32.as_datatype_enum
        node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(value)))
        return node.name

    def add(self, op, name, inputs, **types):
        """Add an operation with attributes that are types; return its name."""
        node = self.graph_def.node.add(op=op, name=f"{self.node.name}/{name}")
        node.input.extend(inputs)
        for key, dtype in types.items():
            node.attr[key].type = dtype.as_datatype_enum
        return node.name

    def number(self, name, condition):
        """Add 1 where something is true, else 0; return its name."""
        import tensorflow as tf

        return self.add("Cast", name, [condition], SrcT=tf.bool, DstT=tf.float32)

    def replace(self, op, inputs):
        """Turn the operation itself into another of float32."""
        import tensorflow as tf

        del self.node.input[:]
        self.node.op = op
        self.node.input.extend(inputs)
        self.node.attr.clear()
        self.node.attr["T"].type = tf.float32.as_datatype_enum
