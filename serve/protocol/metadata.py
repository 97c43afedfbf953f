"""What the service and its models say of themselves."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from kerasbnn._version import __version__

from ..models.tensor_spec import TensorSpec

if TYPE_CHECKING:
    from ..models.served_model import ModelSet, ServedModel

PLATFORM = "kerasbnn"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "statistics",
    "model_configuration",
]


def server_metadata() -> dict[str, Any]:
    """Return what the service says of itself.

    Returns:
        Its name, version and the extensions of the protocol that it has.
    """
    return {"name": PLATFORM, "version": __version__, "extensions": EXTENSIONS}


def model_metadata(model: "ServedModel", models: "ModelSet") -> dict[str, Any]:
    """Return what a model says of itself.

    Args:
        model: The model.
        models: All of them.

    Returns:
        Its name, versions, inputs and outputs.
    """
    return {
        "name": model.name,
        "versions": models.versions(model.name),
        "platform": PLATFORM,
        "inputs": _tensors(model.inputs),
        "outputs": _tensors(model.outputs),
    }


def model_config(model: "ServedModel", max_rows: int) -> dict[str, Any]:
    """Return the configuration of a model, with what was measured when it was loaded.

    Args:
        model: The model.
        max_rows: Rows that a request may have.

    Returns:
        The configuration, in the form of the extension `model_configuration`.
    """
    is_batched = all(
        spec.shape[:1] == (-1,)
        for specs in (model.inputs, model.outputs)
        for spec in specs.values()
    )
    plan = model.plan
    config: dict[str, Any] = {
        "name": model.name,
        "platform": PLATFORM,
        "backend": PLATFORM,
        "version_policy": {"latest": {"num_versions": 1}},
        # 0 says that the first axis is no batch.
        "max_batch_size": max_rows if is_batched else 0,
        "input": _configured(model.inputs, is_batched),
        "output": _configured(model.outputs, is_batched),
        "instance_group": [{"name": model.name, "kind": "KIND_CPU", "count": 1}],
        "parameters": {
            f"batching_{name}": {"string_value": _text(value)}
            for name, value in plan.to_dict().items()
        },
    }
    if plan.max_batch > 1:
        config["dynamic_batching"] = {
            "preferred_batch_size": [plan.max_batch],
            "max_queue_delay_microseconds": 0,
        }
    return config


def model_statistics(models: list["ServedModel"]) -> dict[str, Any]:
    """Return what models have answered so far.

    Args:
        models: The models.

    Returns:
        The figures, in the form of the extension `statistics`.
    """
    return {
        "model_stats": [
            {"name": model.name, "version": model.version} | model.statistics.to_dict()
            for model in models
        ]
    }


def _tensors(specs: Mapping[str, TensorSpec]):
    return [
        {"name": name, "datatype": spec.datatype, "shape": list(spec.shape)}
        for name, spec in specs.items()
    ]


def _configured(specs: Mapping[str, TensorSpec], is_batched):
    return [
        {
            "name": name,
            "data_type": f"TYPE_{spec.datatype}",
            "dims": list(spec.shape[1:] if is_batched else spec.shape),
        }
        for name, spec in specs.items()
    ]


def _text(value):
    return value if isinstance(value, str) else orjson.dumps(value).decode()
