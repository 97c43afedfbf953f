"""A .tflite file as a graph that can be read and changed; needs no TensorFlow."""

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from kerasbnn.tflite.writing import packed_model

_DTYPES = {
    schema.TensorType.FLOAT32: np.float32,
    schema.TensorType.INT32: np.int32,
    schema.TensorType.UINT8: np.uint8,
    schema.TensorType.INT8: np.int8,
    schema.TensorType.INT64: np.int64,
    schema.TensorType.BOOL: np.bool_,
}
_TYPES = {np.dtype(dtype): code for code, dtype in _DTYPES.items()}


def tensor_type(dtype) -> int:
    """Return the schema's code of a numpy dtype."""
    return _TYPES[np.dtype(dtype)]


class Operator:
    """One operation of a subgraph.

    Attributes:
        raw: The schema's object.
        code: The schema's object of its kind.
    """

    def __init__(self, raw, code):
        self.raw = raw
        self.code = code

    @property
    def builtin(self) -> int:
        """Its kind, a value of `BuiltinOperator`."""
        return max(self.code.builtinCode, self.code.deprecatedBuiltinCode)

    @property
    def custom_name(self) -> str | None:
        """Name of a custom operation, or None."""
        name = self.code.customCode
        return None if name is None else name.decode()

    @property
    def custom_options(self) -> dict:
        """Attributes of a custom operation."""
        return flexbuffers.Loads(bytes(bytearray(self.raw.customOptions)))

    @property
    def options(self):
        """The schema's object with the attributes of a built-in operation."""
        return self.raw.builtinOptions

    @property
    def inputs(self) -> list[int]:
        """Its inputs, as places in the subgraph's tensors; -1 for one left out."""
        return [int(i) for i in self.raw.inputs]

    @inputs.setter
    def inputs(self, tensors):
        self.raw.inputs = list(tensors)

    @property
    def outputs(self) -> list[int]:
        """Its outputs, as places in the subgraph's tensors."""
        return [int(i) for i in self.raw.outputs]


class Graph:
    """A `.tflite` file.

    Args:
        content: Bytes of the file, or None for an empty one.

    Attributes:
        model: The schema's object of the file.
        subgraphs: Its subgraphs; the first one is what signatures run.
    """

    def __init__(self, content: bytes | None = None):
        if content is None:
            self.model = schema.ModelT()
            self.model.version = 3
            self.model.buffers = [schema.BufferT()]
            self.model.operatorCodes = []
            self.model.subgraphs = []
            self.model.signatureDefs = []
        else:
            self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        self.subgraphs = [Subgraph(self, raw) for raw in self.model.subgraphs]
        self._buffers: dict[bytes, int] = {}
        self._codes: dict[tuple, int] = {}

    def add_subgraph(self, name: str = "") -> "Subgraph":
        """Add an empty subgraph.

        Args:
            name: Its name.

        Returns:
            The subgraph.
        """
        raw = schema.SubGraphT()
        raw.name = name.encode()
        raw.tensors, raw.operators, raw.inputs, raw.outputs = [], [], [], []
        self.model.subgraphs.append(raw)
        self.subgraphs.append(Subgraph(self, raw))
        return self.subgraphs[-1]

    def add_buffer(self, content: bytes) -> int:
        """Add constant bytes; the same bytes are stored once.

        Args:
            content: The bytes.

        Returns:
            Place of the buffer.
        """
        if content not in self._buffers:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            self.model.buffers.append(buffer)
            self._buffers[content] = len(self.model.buffers) - 1
        return self._buffers[content]

    def add_code(self, builtin: int, version: int = 1) -> int:
        """Add a kind of operation, unless it is there.

        Args:
            builtin: A value of `BuiltinOperator`.
            version: Version of the operation.

        Returns:
            Place of the kind.
        """
        key = (builtin, version)
        if key not in self._codes:
            code = schema.OperatorCodeT()
            code.builtinCode = builtin
            code.deprecatedBuiltinCode = min(builtin, 127)
            code.version = version
            self.model.operatorCodes.append(code)
            self._codes[key] = len(self.model.operatorCodes) - 1
        return self._codes[key]

    def set_metadata(self, name: str, content: bytes):
        """Set bytes of metadata.

        Args:
            name: Their name.
            content: The bytes.
        """
        entries = [m for m in self.model.metadata or [] if m.name != name.encode()]
        entry = schema.MetadataT()
        entry.name = name.encode()
        entry.buffer = self.add_buffer(content)
        self.model.metadata = [*entries, entry]

    def to_bytes(self) -> bytes:
        """Return the file, without what nothing uses; the same graph gives the same."""
        for subgraph in self.subgraphs:
            subgraph.drop_unused()
        _drop_unused_codes(self.model)
        _drop_unused_buffers(self.model)
        return packed_model(self.model)


class Subgraph:
    """A subgraph of a file.

    Args:
        graph: The file.
        raw: The schema's object.
    """

    def __init__(self, graph: Graph, raw):
        self.graph = graph
        self.raw = raw
        codes = graph.model.operatorCodes
        self.operators = [Operator(op, codes[op.opcodeIndex]) for op in raw.operators]
        self._constants: dict[tuple, int] = {}

    @property
    def inputs(self) -> list[int]:
        """Its inputs."""
        return [int(i) for i in self.raw.inputs]

    @property
    def outputs(self) -> list[int]:
        """Its outputs."""
        return [int(i) for i in self.raw.outputs]

    def producer(self, tensor: int) -> Operator | None:
        """Return the operation that makes a tensor, or None."""
        return next((op for op in self.operators if tensor in op.outputs), None)

    def consumers(self, tensor: int) -> list[Operator]:
        """Return the operations that take a tensor."""
        return [op for op in self.operators if tensor in op.inputs]

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return the shape of a tensor, -1 for an open size."""
        raw = self.raw.tensors[tensor]
        sizes = raw.shape if raw.shapeSignature is None else raw.shapeSignature
        return tuple(int(size) for size in ([] if sizes is None else sizes))

    def dtype(self, tensor: int) -> np.dtype:
        """Return the numpy dtype of a tensor."""
        return np.dtype(_DTYPES[self.raw.tensors[tensor].type])

    def constant(self, tensor: int) -> np.ndarray | None:
        """Return the values of a constant, or None for another tensor."""
        raw = self.raw.tensors[tensor]
        data = self.graph.model.buffers[raw.buffer].data
        if data is None or not len(data) or raw.type not in _DTYPES:
            return None
        return np.frombuffer(
            np.asarray(data, np.uint8).tobytes(), _DTYPES[raw.type]
        ).reshape(self.shape(tensor))

    def add_tensor(
        self, shape, dtype, name: str = "", scale=None, zero_point=None, axis: int = 0
    ) -> int:
        """Add a tensor.

        Args:
            shape: Its shape, -1 for an open size.
            dtype: Its numpy dtype.
            name: Its name.
            scale: Scales of int8 values, a sequence of one or one per channel, or None.
            zero_point: What stands for 0, a sequence as long; None for 0.
            axis: Axis of the channels.

        Returns:
            Its place.
        """
        tensor = schema.TensorT()
        tensor.type = tensor_type(dtype)
        tensor.name = name.encode() or None
        tensor.buffer = 0
        if scale is not None:
            quantization = schema.QuantizationParametersT()
            quantization.scale = np.asarray(scale, np.float32)
            zeros = np.zeros(len(quantization.scale), np.int64)
            quantization.zeroPoint = zeros + (0 if zero_point is None else zero_point)
            quantization.quantizedDimension = axis
            tensor.quantization = quantization
        self.raw.tensors.append(tensor)
        index = len(self.raw.tensors) - 1
        self.set_shape(index, shape)
        return index

    def set_shape(self, tensor: int, shape):
        """Set the shape of a tensor, -1 for an open size."""
        raw = self.raw.tensors[tensor]
        raw.shape = np.array([1 if size == -1 else size for size in shape], np.int32)
        is_open = -1 in tuple(shape)
        raw.shapeSignature = np.array(shape, np.int32) if is_open else None

    def set_type(self, tensor: int, dtype):
        """Set the type of a tensor."""
        self.raw.tensors[tensor].type = tensor_type(dtype)

    def set_name(self, tensor: int, name: str):
        """Set the name of a tensor."""
        self.raw.tensors[tensor].name = name.encode()

    def add_constant(self, values: np.ndarray, scale=None, **quantization) -> int:
        """Add a constant, unless it is there.

        Args:
            values: Its values.
            scale: As for `add_tensor`.
            **quantization: Its arguments `zero_point` and `axis`.

        Returns:
            Its place.
        """
        values = np.asarray(values, order="C")
        scales = None if scale is None else np.asarray(scale, np.float32).tobytes()
        levels = (scales, str(sorted(quantization.items())))
        key = (values.tobytes(), values.shape, values.dtype.str, *levels)
        if key not in self._constants:
            tensor = self.add_tensor(
                values.shape, values.dtype, scale=scale, **quantization
            )
            buffer = self.graph.add_buffer(values.tobytes())
            self.raw.tensors[tensor].buffer = buffer
            self._constants[key] = tensor
        return self._constants[key]

    def make_operator(
        self, builtin: int, inputs, outputs, options=None, version: int = 1
    ) -> Operator:
        """Make an operation, without putting it into the subgraph.

        Args:
            builtin: A value of `BuiltinOperator`.
            inputs: Its inputs.
            outputs: Its outputs.
            options: The schema's object of its attributes, such as
                `Conv2DOptionsT()`, or None.
            version: Version of the operation.

        Returns:
            The operation.
        """
        raw = schema.OperatorT()
        raw.opcodeIndex = self.graph.add_code(builtin, version)
        raw.inputs, raw.outputs = list(inputs), list(outputs)
        if options is not None:
            name = type(options).__name__.removesuffix("T")
            if hasattr(schema.BuiltinOptions, name):
                raw.builtinOptionsType = getattr(schema.BuiltinOptions, name)
                raw.builtinOptions = options
            else:
                raw.builtinOptions2Type = getattr(schema.BuiltinOptions2, name)
                raw.builtinOptions2 = options
        return Operator(raw, self.graph.model.operatorCodes[raw.opcodeIndex])

    def drop_unused_operators(self):
        """Remove operations whose values nothing needs."""
        needed = set(self.outputs)
        kept = []
        for op in reversed(self.operators):
            if needed & set(op.outputs):
                kept.append(op)
                needed |= set(op.inputs)
        self.operators = kept[::-1]

    def drop_unused(self):
        """Remove operations and tensors whose values nothing needs."""
        self.drop_unused_operators()
        self.raw.operators = [op.raw for op in self.operators]
        used = set(self.inputs) | set(self.outputs)
        for op in self.operators:
            used |= {*op.inputs, *op.outputs}
        places = sorted(used - {-1})
        moved = {old: new for new, old in enumerate(places)} | {-1: -1}
        self.raw.tensors = [self.raw.tensors[old] for old in places]
        for op in self.operators:
            op.raw.inputs = [moved[tensor] for tensor in op.inputs]
            op.raw.outputs = [moved[tensor] for tensor in op.outputs]
        self.raw.inputs = [moved[tensor] for tensor in self.inputs]
        self.raw.outputs = [moved[tensor] for tensor in self.outputs]
        self._constants = {
            key: moved[old] for key, old in self._constants.items() if old in moved
        }
        if self.graph.subgraphs[0] is not self:
            return
        for signature in self.graph.model.signatureDefs or []:
            for entry in (*signature.inputs, *signature.outputs):
                entry.tensorIndex = moved[entry.tensorIndex]


def _drop_unused_codes(model):
    used = sorted(
        {op.opcodeIndex for graph in model.subgraphs for op in graph.operators}
    )
    moved = {old: new for new, old in enumerate(used)}
    for graph in model.subgraphs:
        for op in graph.operators:
            op.opcodeIndex = moved[op.opcodeIndex]
    model.operatorCodes = [model.operatorCodes[old] for old in used]


def _drop_unused_buffers(model):
    owners = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    owners += list(model.metadata or [])
    used = sorted({0} | {owner.buffer for owner in owners})
    moved = {old: new for new, old in enumerate(used)}
    for owner in owners:
        owner.buffer = moved[owner.buffer]
    model.buffers = [model.buffers[old] for old in used]
