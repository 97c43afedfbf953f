"""Turns the outputs of a classifier into labels, the best first."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ServiceError

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

TOP = 5
"""How many predictions are given unless asked otherwise."""


def check_classifies(model: "ServedModel"):
    """Check that a model gives one score for each class.

    Args:
        model: The model.

    Raises:
        ServiceError: It does not; 400.
    """
    shapes = {name: list(spec.shape) for name, spec in model.outputs.items()}
    if len(shapes) != 1 or any(len(shape) != 2 for shape in shapes.values()):
        outputs = ", ".join(f"'{name}' {shape}" for name, shape in shapes.items())
        raise ServiceError(
            400,
            f"Model '{model.name}' does not classify: it gives {outputs}. Expected one "
            "output of the shape [batch, classes]. Send numbers to "
            f"/v2/models/{model.name}/infer.",
        )


def ranked(
    scores: np.ndarray, labels: Sequence[str] | None, top: int = TOP
) -> list[dict[str, Any]]:
    """Order classes by their scores, the highest first; of equal ones the first.

    Args:
        scores: A score for each class, as the model gives it.
        labels: A name for each class, or None.
        top: How many to return at most.

    Returns:
        Dicts with `label` (None where there is none), `index` and `score` (None where
        it is not finite; such a class comes last).

    Example:
        >>> import numpy as np
        >>> from kerasbnn.serve.prediction.ranking import ranked
        >>> ranked(np.array([0.5, 2.0]), ["cat", "dog"], top=1)
        [{'label': 'dog', 'index': 1, 'score': 2.0}]
    """
    scores = np.asarray(scores, np.float64)
    finite = np.isfinite(scores)
    order = np.argsort(np.where(finite, -scores, np.inf), kind="stable")
    names = labels or ()
    return [
        {
            "label": names[index] if index < len(names) else None,
            "index": index,
            "score": float(scores[index]) if finite[index] else None,
        }
        for index in order[:top].tolist()
    ]


def prediction(
    model: "ServedModel", outputs: Mapping[str, np.ndarray], top: int
) -> dict[str, Any]:
    """Put together the answer of a model about one image.

    Args:
        model: The model.
        outputs: What it has computed, of one row.
        top: How many predictions to give at most.

    Returns:
        Dict for the JSON of the answer.
    """
    ((name, scores),) = outputs.items()
    return {
        "model_name": model.name,
        "model_version": model.version,
        "output": name,
        "predictions": ranked(scores[0], model.labels, top),
    }
