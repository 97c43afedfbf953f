"""Reads what a `.tflite` file says about itself: signatures, composites, metadata."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers

from kerasbnn.runtime.composites import METADATA, PREFIX, Composite
from kerasbnn.runtime.errors import ModelError

IDENTIFIER = b"TFL3"

# What other files begin with that people have at hand.
_OTHER_KINDS = {
    b"PK\x03\x04": "a .keras file or another zip archive",
    b"\x89HDF": "an HDF5 file",
    b"version https://git-lfs": "a pointer of Git LFS; `git lfs pull` gets it",
}
_DTYPES = {
    getattr(schema.TensorType, name): np.dtype(name.lower())
    for name in (
        *("FLOAT16", "FLOAT32", "FLOAT64", "INT8", "INT16", "INT32", "INT64"),
        *("UINT8", "UINT16", "UINT32", "UINT64"),
    )
} | {schema.TensorType.BOOL: np.dtype(bool)}
# More than any tensor may have in 2 GiB, so that products stay small numbers.
_LARGEST = 2**31
_MOST_ATTRIBUTES = 256


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of an input or an output.

    Attributes:
        shape: Sizes; None where a size is open, such as that of the batch.
        dtype: numpy dtype, or None for a type that numpy does not have.
        index: Place among the tensors of its subgraph.
    """

    shape: tuple[int | None, ...]
    dtype: np.dtype | None
    index: int = dataclasses.field(repr=False)

    def __str__(self):
        sizes = ", ".join("batch" if s is None else str(s) for s in self.shape[:1])
        rest = "".join(f", {'any' if s is None else s}" for s in self.shape[1:])
        return f"{self.dtype} ({sizes}{rest})"


@dataclass(frozen=True)
class Signature:
    """One way to run a file.

    Attributes:
        name: Its name.
        inputs: A `TensorSpec` for each name, in the order of the file.
        outputs: The same for the outputs.
        subgraph: The subgraph that it runs.
    """

    name: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    subgraph: int = dataclasses.field(repr=False)

    def __str__(self):
        inputs = ", ".join(f"{name}: {spec}" for name, spec in self.inputs.items())
        outputs = ", ".join(f"{name}: {spec}" for name, spec in self.outputs.items())
        return f"{self.name}({inputs}) -> {outputs}"


@dataclass(frozen=True)
class PlacedComposite:
    """A composite of a file.

    Attributes:
        label: Name of its layer: that of its decomposition, else that of its output, or
            a number where neither has one.
        composite: What it computes.
        subgraph: The subgraph that it is in.
        inputs: Its inputs, as places among the tensors of the subgraph.
        output: Its output.
        constants: Its packed filters, scale and bias, the latter two of all channels
            or of one that stands for all.
    """

    label: str
    composite: Composite
    subgraph: int
    inputs: tuple[int, ...]
    output: int
    constants: tuple[np.ndarray, ...] = dataclasses.field(repr=False)


@dataclass(frozen=True)
class ModelFile:
    """What a `.tflite` file says about itself.

    Attributes:
        signatures: Its signatures; one named `main` where it has none.
        composites: Its composites of kerasbnn.
        metadata: What `kerasbnn.convert` wrote; empty for other files.
    """

    signatures: dict[str, Signature]
    composites: tuple[PlacedComposite, ...]
    metadata: dict[str, Any]


def check_beginning(content: bytes, source: str):
    """Check that bytes begin as a `.tflite` file does.

    Args:
        content: The bytes.
        source: What the error calls them.

    Raises:
        ModelError: They do not.
    """
    if content[4:8] == IDENTIFIER:
        return
    verb = "is" if source.endswith("'") else "are"
    if not content:
        raise ModelError(
            f"{source} {verb} empty; expected a .tflite file. Copy or convert it again."
        )
    kinds = (kind for start, kind in _OTHER_KINDS.items() if content.startswith(start))
    kind = next(kinds, None)
    raise ModelError(
        f"{source} {verb} not a .tflite file"
        + (f" but {kind}" if kind else "")
        + f". Expected 'TFL3' at bytes 4 to 7, found {content[4:8]!r}. "
        "Write one with `kerasbnn.convert(model, path)`."
    )


def read_model_file(content: bytes, source: str) -> ModelFile:
    """Read a file whose structure LiteRT has verified.

    Args:
        content: Bytes of the file.
        source: What an error calls it.

    Returns:
        What the file says about itself.

    Raises:
        ModelError: It contradicts itself.
    """
    try:
        model = schema.Model.GetRootAs(content, 0)
        return ModelFile(_signatures(model), _composites(model), _metadata(model))
    except ModelError as error:
        raise ModelError(f"{source}: {error}") from error
    except Exception as error:
        # The generated reader raises whatever the wrong bytes lead it to.
        raise ModelError(
            f"{source} is damaged: {type(error).__name__}: {error}. Copy or convert "
            "it again."
        ) from error


def _signatures(model):
    found = {}
    for i in range(model.SignatureDefsLength()):
        entry = model.SignatureDefs(i)
        graph = _item(model.Subgraphs, model.SubgraphsLength(), entry.SubgraphIndex())
        name = entry.SignatureKey().decode()
        inputs = [entry.Inputs(k) for k in range(entry.InputsLength())]
        outputs = [entry.Outputs(k) for k in range(entry.OutputsLength())]
        found[name] = Signature(
            name,
            {t.Name().decode(): _spec(graph, t.TensorIndex()) for t in inputs},
            {t.Name().decode(): _spec(graph, t.TensorIndex()) for t in outputs},
            entry.SubgraphIndex(),
        )
    if not found:
        graph = _item(model.Subgraphs, model.SubgraphsLength(), 0)
        found["main"] = Signature(
            "main",
            _named(graph, _integers(graph.InputsAsNumpy()), "input"),
            _named(graph, _integers(graph.OutputsAsNumpy()), "output"),
            0,
        )
    return found


def _named(graph, tensors, kind):
    names = [(_tensor(graph, t).Name() or b"").decode() for t in tensors]
    if len(set(names)) < len(names) or "" in names:
        names = [f"{kind}_{i}" for i in range(len(names))]
    return {
        name: _spec(graph, tensor) for name, tensor in zip(names, tensors, strict=True)
    }


def _integers(values):
    # Without entries the reader gives the number 0.
    return [] if isinstance(values, int) else [int(v) for v in values]


def _item(get, length, index):
    if not 0 <= index < length:
        raise ModelError(
            f"something points at entry {index} of {length}, so it is damaged. Copy "
            "or convert it again."
        )
    return get(index)


def _tensor(graph, index):
    return _item(graph.Tensors, graph.TensorsLength(), index)


def _shape(tensor):
    open_sizes = _integers(tensor.ShapeSignatureAsNumpy())
    return tuple(open_sizes or _integers(tensor.ShapeAsNumpy()))


def _spec(graph, index):
    tensor = _tensor(graph, index)
    shape = tuple(None if size < 0 else size for size in _shape(tensor))
    return TensorSpec(shape, _DTYPES.get(tensor.Type()), index)


def _metadata(model):
    for i in range(model.MetadataLength()):
        entry = model.Metadata(i)
        if entry.Name() == METADATA.encode():
            data = _buffer(model, entry.Buffer())
            try:
                values = json.loads(bytes(data).decode())
            except ValueError as error:
                raise ModelError(
                    f"its metadata is not JSON ({error}), so it is damaged. Copy or "
                    "convert it again."
                ) from error
            return values if isinstance(values, dict) else {}
    return {}


def _buffer(model, index):
    data = _item(model.Buffers, model.BuffersLength(), index).DataAsNumpy()
    return np.zeros(0, np.uint8) if isinstance(data, int) else data


def _composites(model):
    found = []
    for number in range(model.SubgraphsLength()):
        graph = model.Subgraphs(number)
        for place in range(graph.OperatorsLength()):
            operator = graph.Operators(place)
            code = _item(
                model.OperatorCodes,
                model.OperatorCodesLength(),
                operator.OpcodeIndex(),
            )
            if code.BuiltinCode() != schema.BuiltinOperator.STABLEHLO_COMPOSITE:
                continue
            options = schema.StableHLOCompositeOptions()
            table = operator.BuiltinOptions2()
            if table is None:
                continue
            options.Init(table.Bytes, table.Pos)
            name = (options.Name() or b"").decode()
            if name.startswith(PREFIX):
                found.append(_composite(model, graph, number, place, options, operator))
    return tuple(found)


def _composite(model, graph, number, place, options, operator):
    name = options.Name().decode()
    inputs = _integers(operator.InputsAsNumpy())
    outputs = _integers(operator.OutputsAsNumpy())
    attributes = _attributes(options.CompositeAttributesAsNumpy().tobytes())
    label = f"{name} {place}"
    if outputs:
        label = (_tensor(graph, outputs[0]).Name() or b"").decode() or label
    inside = options.DecompositionSubgraphIndex()
    if 0 < inside < model.SubgraphsLength():
        label = (model.Subgraphs(inside).Name() or b"").decode() or label
    try:
        composite = Composite.from_attributes(name, attributes)
        _check_attributes(composite)
    except (ValueError, TypeError, AttributeError) as error:
        raise ModelError(f"layer '{label}': {error}") from error
    if len(inputs) != 4 + composite.residual or len(outputs) != 1:
        raise ModelError(
            f"layer '{label}' has {len(inputs)} inputs and {len(outputs)} outputs; "
            f"expected {4 + composite.residual} and 1. The file is damaged."
        )
    # One number stands for all channels.
    by_channel = ((composite.out_channels,), (1,))
    expected = (
        ((composite.filters_shape,), np.uint8),
        (by_channel, np.float32),
        (by_channel, np.float32),
    )
    constants = tuple(
        _constant(model, graph, tensor, shapes, dtype, label)
        for tensor, (shapes, dtype) in zip(inputs[1:4], expected, strict=True)
    )
    return PlacedComposite(
        label, composite, number, tuple(inputs), outputs[0], constants
    )


def _check_attributes(composite):
    """Check what no composite can be; the delegate checks what depends on sizes."""
    for field in dataclasses.fields(composite):
        value = getattr(composite, field.name)
        if field.name == "name":
            continue
        if field.name == "pad_value":
            low, high = -1, 1
        elif field.name in ("input", "output"):
            low, high = 0, 2
        elif field.name in ("same", "pool_same", "pool_first", "residual"):
            low, high = 0, 1
        elif field.name == "weight_bits":
            low, high = 1, 2
        else:
            low, high = int(field.name not in ("pool_h", "pool_w")), _LARGEST
        if not low <= value <= high:
            raise ValueError(
                f"`{field.name}` is {value}; expected {low} to {high}. The file is "
                "damaged."
            )
    if composite.in_channels % composite.groups or (
        composite.out_channels % composite.groups
    ):
        raise ValueError(
            f"{composite.in_channels} and {composite.out_channels} channels do not "
            f"split into {composite.groups} groups. The file is damaged."
        )


def _attributes(encoded):
    """Read a map of integers, and nothing that is nested.

    What is nested may stand for exponentially many values.
    """
    root = flexbuffers.GetRoot(encoded)
    if not root.IsMap or len(root.AsMap) > _MOST_ATTRIBUTES:
        raise ValueError("the attributes of a layer are no map of integers")
    attributes = {}
    for key, value in zip(root.AsMap.Keys, root.AsMap.Values, strict=True):
        if not (value.IsInt or value.IsBool):
            raise ValueError(f"the attribute {key.AsKey!r} of a layer is no integer")
        attributes[key.AsKey] = value.AsInt
    return attributes


def _constant(model, graph, index, shapes, dtype, label):
    tensor = _tensor(graph, index)
    data = _buffer(model, tensor.Buffer())
    shape = _shape(tensor)
    if (
        shape not in shapes
        or _DTYPES.get(tensor.Type()) != dtype
        or len(data) != math.prod(shape) * np.dtype(dtype).itemsize
    ):
        raise ModelError(
            f"layer '{label}' has a constant of shape {shape} in {len(data)} bytes; "
            f"expected {np.dtype(dtype)} of shape {' or '.join(map(str, shapes))}. "
            "The file is damaged."
        )
    return data.view(dtype).reshape(shape)
