"""What the paths of the geometry give, as OpenAPI describes it."""

from kerasbnn.probing.drift_rules import KINDS

from ..protocol.schemas import COUNT, FLAG, TEXT, Schema
from .status import STATUSES

_NUMBER: Schema = {"type": ["number", "null"]}
_TEXTS: Schema = {"type": "array", "items": TEXT}
_FIGURES: Schema = {"type": "object", "additionalProperties": _NUMBER}
_QUANTILES = _FIGURES | {"description": "Quantiles of a squared distance, by level"}


def _object(**properties: Schema) -> Schema:
    required = list(properties)
    return {"type": "object", "required": required, "properties": properties}


def _part(figures: Schema) -> Schema:
    change = _object(change=_NUMBER, spread=_NUMBER, deviations=_NUMBER)
    return _object(
        name=TEXT,
        live=figures,
        reference=figures,
        drift={"type": "object", "additionalProperties": change},
        kinds={"type": "array", "items": {"type": "string", "enum": list(KINDS)}},
        warnings=_TEXTS,
    )


_IDENTITY = {"model_name": TEXT, "model_version": TEXT}
_INPUT = _object(outside=_NUMBER, mahalanobis=_QUANTILES, residual=_QUANTILES)
_DRIFT: dict[str, Schema] = {
    **_IDENTITY,
    "status": {
        "type": "string",
        "enum": list(STATUSES),
        "description": "'collecting' with fewer samples than warnings need, else "
        "'drifted' with warnings and 'holds' without; 'off' where nothing is sampled",
    },
    "drifted": _TEXTS | {"description": "Names of the layers and inputs that warn"},
    "samples": COUNT,
    "samples_needed": COUNT,
    "layers": {"type": "array", "items": _part(_FIGURES)},
    "inputs": {"type": "array", "items": _part(_INPUT)},
}


def _figures_only(figures: Schema) -> Schema:
    return {"type": "array", "items": _object(name=TEXT, live=figures)}


GEOMETRY: Schema = _object(
    **_IDENTITY,
    schema_version=COUNT,
    model=TEXT,
    samples=COUNT,
    layers={
        "type": "array",
        "items": {"type": "object", "required": ["name"], "properties": {"name": TEXT}},
        "description": "What kerasbnn.audit has found, as GeometryReport.to_dict gives",
    },
)

MEASURED_INPUTS: Schema = _object(**_DRIFT)

LIVE: Schema = _object(
    **_DRIFT,
    since_start=_object(
        samples=COUNT,
        layers=_figures_only(_FIGURES),
        inputs=_figures_only(_object(outside=_NUMBER)),
    ),
    sampling=FLAG,
    seen=COUNT | {"description": "Rows of requests"},
    measured=COUNT,
    dropped=COUNT,
    waiting=COUNT,
    failed=COUNT,
    error={"type": ["string", "null"]},
    budget={"type": "number", "description": "Share of one processor's time"},
    cpu_seconds={"type": "number"},
    elapsed_seconds={"type": "number"},
    window=COUNT | {"description": "Samples that `layers` and `inputs` are of at most"},
)
