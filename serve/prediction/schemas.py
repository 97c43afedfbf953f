"""What predictions take and give, as OpenAPI describes it."""

from typing import Any

from ..protocol.schemas import TEXT, Schema
from .uploads import FIELD

_FILE: Schema = {"type": "string", "format": "binary"}
_BASE64: Schema = {
    "type": "string",
    "description": "A PNG or JPEG file in base64, or a data: URL with one",
}


def _with_image(schema: Schema) -> dict[str, Any]:
    return {
        "schema": {"type": "object", "required": [FIELD], "properties": {FIELD: schema}}
    }


BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": _with_image(_FILE),
        "image/png": {"schema": _FILE},
        "image/jpeg": {"schema": _FILE},
        "application/json": _with_image(_BASE64),
    },
}

_CLASS: Schema = {
    "type": "object",
    "required": ["label", "index", "score"],
    "properties": {
        "label": {"type": ["string", "null"]},
        "index": {"type": "integer", "minimum": 0},
        "score": {
            "type": ["number", "null"],
            "description": "As the model gives it: a logit, a probability, or whatever "
            "its last layer computes",
        },
    },
}
PREDICTION: Schema = {
    "type": "object",
    "required": ["model_name", "model_version", "output", "predictions"],
    "properties": {
        "model_name": TEXT,
        "model_version": TEXT,
        "output": {
            "type": "string",
            "description": "The output of the model that the scores are from",
        },
        "predictions": {"type": "array", "items": _CLASS},
    },
}


def top_parameter(default: int, most: int) -> dict[str, Any]:
    """Describe how many predictions are asked for.

    Args:
        default: How many are given unless told otherwise.
        most: How many may be asked for.

    Returns:
        A parameter of OpenAPI.
    """
    return {
        "name": "top",
        "in": "query",
        "required": False,
        "description": "How many predictions to give at most",
        "schema": {
            "type": "integer",
            "minimum": 1,
            "maximum": most,
            "default": default,
        },
    }
