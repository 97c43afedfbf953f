"""What the paths of the protocol take and give, as OpenAPI describes it."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from ..models.datatypes import BYTES, DTYPES, size_of

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

Schema = dict[str, Any]

# Values that the example of a request may have.
_LONGEST_EXAMPLE = 1024


def _object(required: Schema, optional: Schema | None = None) -> Schema:
    return {
        "type": "object",
        "required": list(required),
        "properties": required | (optional or {}),
    }


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
FLAG: Schema = {"type": "boolean"}

ERROR = _object({"error": TEXT})
SERVER = _object({"name": TEXT, "version": TEXT, "extensions": _list(TEXT)})
LIVE = _object({"live": FLAG})
READY = _object({"ready": FLAG})
MODEL_READY = _object({"name": TEXT, "ready": FLAG})

_DATATYPE: Schema = {"type": "string", "enum": [*DTYPES, BYTES]}
_TENSOR_METADATA = _object(
    {
        "name": TEXT,
        "datatype": _DATATYPE,
        "shape": _list({"type": "integer", "minimum": -1}),
    }
)
METADATA = _object(
    {
        "name": TEXT,
        "versions": _list(TEXT),
        "platform": TEXT,
        "inputs": _list(_TENSOR_METADATA),
        "outputs": _list(_TENSOR_METADATA),
    }
)

_CONFIGURED_TENSOR = _object(
    {
        "name": TEXT,
        "data_type": {"type": "string", "enum": [f"TYPE_{name}" for name in DTYPES]},
        "dims": _list({"type": "integer", "minimum": -1}),
    }
)
CONFIG = _object(
    {
        "name": TEXT,
        "platform": TEXT,
        "backend": TEXT,
        "max_batch_size": COUNT,
        "input": _list(_CONFIGURED_TENSOR),
        "output": _list(_CONFIGURED_TENSOR),
        "parameters": {
            "type": "object",
            "additionalProperties": _object({"string_value": TEXT}),
        },
    },
    {"dynamic_batching": {"type": "object"}},
)

_DURATION = _object({"count": COUNT, "ns": COUNT})
_COMPUTE = {f"compute_{step}": _DURATION for step in ("input", "infer", "output")}
STATISTICS = _object(
    {
        "model_stats": _list(
            _object(
                {
                    "name": TEXT,
                    "version": TEXT,
                    "last_inference": COUNT,
                    "inference_count": COUNT,
                    "execution_count": COUNT,
                    "inference_stats": _object(
                        {name: _DURATION for name in ("success", "fail", "queue")}
                        | _COMPUTE
                    ),
                    "batch_stats": _list(_object({"batch_size": COUNT} | _COMPUTE)),
                }
            )
        )
    }
)

_SHAPE = _list({"type": "integer", "minimum": 1})
_VALUES: Schema = {"type": "array", "items": {}}
_INPUT = _object(
    {"name": TEXT, "shape": _SHAPE, "datatype": _DATATYPE},
    {
        "data": _VALUES
        | {"description": "Values, in one list or nested like the shape"},
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data_size": COUNT
                | {"description": "Bytes that follow the JSON instead of `data`"}
            },
        },
    },
)
_WANTED = _object(
    {"name": TEXT},
    {
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data": FLAG | {"description": "Send bytes instead of `data`"},
                "classification": COUNT
                | {"description": "Send so many of the best classes instead"},
            },
        }
    },
)
_INFER = _object(
    {"inputs": _list(_INPUT, minItems=1)},
    {
        "id": TEXT | {"description": "The answer has the same"},
        "parameters": {
            "type": "object",
            "properties": {
                "binary_data_output": FLAG
                | {"description": "Send outputs as bytes unless they say otherwise"},
                "timeout": COUNT | {"description": "Microseconds for the answer"},
            },
        },
        "outputs": _list(_WANTED) | {"description": "Outputs to send; all without it"},
    },
)
_OUTPUT = _object(
    {"name": TEXT, "shape": _list(COUNT), "datatype": _DATATYPE},
    {"data": _VALUES, "parameters": _object({"binary_data_size": COUNT})},
)
_BINARY = {
    "application/octet-stream": {"schema": {"type": "string", "format": "binary"}}
}
_ANSWER = _object(
    {"model_name": TEXT, "model_version": TEXT, "outputs": _list(_OUTPUT)}, {"id": TEXT}
)
INFERRED: dict[str, Any] = {
    "description": "The outputs, as JSON or as JSON with bytes behind it",
    "content": {"application/json": {"schema": _ANSWER}, **_BINARY},
}
INFER_HEADERS: list[dict[str, Any]] = [
    {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "required": False,
        "description": "Bytes of the JSON before bytes of tensors; without it all is "
        "JSON, and with 0 all is the only input",
        "schema": COUNT,
    }
]

_REASONS = {
    400: "The request is not what the model takes",
    403: "A page of another site has sent the request",
    404: "There is no such model or version",
    408: "The body took too long",
    413: "The body is too large, or has too many rows",
    415: "The body is compressed in an unknown way",
    503: "Too many requests wait; try again after the seconds of Retry-After",
    504: "The model did not answer in time",
}


def answer(description: str, schema: Schema) -> dict[str, Any]:
    """Describe an answer in JSON.

    Args:
        description: What it is.
        schema: Its schema.

    Returns:
        A response of OpenAPI.
    """
    return {
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Describe errors.

    Args:
        statuses: Their statuses of HTTP.

    Returns:
        Responses of OpenAPI by status.
    """
    return {status: answer(_REASONS[status], ERROR) for status in statuses}


def path_parameter(name: str, values: Iterable[str]) -> dict[str, Any]:
    """Describe a part of a path that names something that is there.

    Args:
        name: Name of the part.
        values: What it may be.

    Returns:
        A parameter of OpenAPI.
    """
    return {
        "name": name,
        "in": "path",
        "required": True,
        "schema": {"type": "string", "enum": list(values)},
    }


def infer_body(model: "ServedModel") -> dict[str, Any]:
    """Describe a request to infer.

    Args:
        model: The model that the example is for.

    Returns:
        A body of OpenAPI.
    """
    content: dict[str, Any] = {"schema": _INFER}
    shapes = {
        name: [1 if size == -1 else size for size in spec.shape]
        for name, spec in model.inputs.items()
    }
    if sum(map(size_of, shapes.values())) <= _LONGEST_EXAMPLE:
        content["example"] = {
            "inputs": [
                {
                    "name": name,
                    "shape": shapes[name],
                    "datatype": spec.datatype,
                    "data": [spec.dtype.type(0).item()] * size_of(shapes[name]),
                }
                for name, spec in model.inputs.items()
            ]
        }
    return {"required": True, "content": {"application/json": content, **_BINARY}}
