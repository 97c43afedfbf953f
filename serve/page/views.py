"""What the pages show of models, ready for the templates."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kerasbnn.geometry.views.wording import decimal, origin, percent

from ..errors import ServiceError
from ..prediction.inputs import ImageInput
from ..prediction.predictor import ImagePrediction
from ..prediction.ranking import check_classifies
from .charts import picture, score_bar
from .health import Health, changes, model_health
from .layers import LayerView, layer_views
from .traffic import Traffic
from .wording import with_minus

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

Live = Mapping[str, Any] | None


@dataclass(frozen=True)
class ModelView:
    """A model, as both pages show it.

    Attributes:
        name: Its name.
        version: Its version.
        path: Path of its page.
        api: Path of it in the API.
        takes: What it takes, in words.
        gives: What it gives, in words.
        takes_images: Whether it can be tried with an image.
        health: Whether its geometry holds.
        traffic: What it has answered.
    """

    name: str
    version: str
    path: str
    api: str
    takes: str
    gives: str
    takes_images: bool
    health: Health
    traffic: Traffic

    @classmethod
    def of(cls, model: "ServedModel", live: Live) -> "ModelView":
        """Put together what is known of a model.

        Args:
            model: The model.
            live: What its monitor says, or None without one.
        """
        place = f"{model.name}/versions/{model.version}"
        takes, takes_images = _takes(model)
        return cls(
            name=model.name,
            version=model.version,
            path=f"/models/{place}",
            api=f"/v2/models/{place}",
            takes=takes,
            gives=_gives(model),
            takes_images=takes_images,
            health=model_health(model, live),
            traffic=Traffic.of(model),
        )


@dataclass(frozen=True)
class Details:
    """What only the page of a model shows.

    Attributes:
        layers: Its layers.
        inputs: Its inputs and how far they are from those of the reference.
        drifted: Name and anchor of what has drifted, and how, in a few words.
        sampling: How many live requests are measured, in words; "" where none are.
        audit: What the geometry at the export was measured with, or "".
        facts: What else there is to say, by subject.
    """

    layers: list[LayerView]
    inputs: list[Mapping[str, Any]]
    drifted: list[tuple[str, str, str]]
    sampling: str
    audit: str
    facts: Mapping[str, str]

    @classmethod
    def of(cls, model: "ServedModel", live: Live) -> "Details":
        """Put together all that is known of a model.

        Args:
            model: The model.
            live: What its monitor says, or None without one.
        """
        layers = layer_views(model.report, live)
        inputs = list((live or {}).get("inputs", ()))
        drifted = [(view.name, view.anchor, view.changes) for view in layers]
        told = {text for layer in layers for text in layer.warnings}
        drifted += [
            (found["name"], "inputs", changes(found["kinds"]))
            for found in inputs
            if not told.issuperset(found["warnings"])
        ]
        return cls(
            layers=layers,
            inputs=inputs,
            drifted=[entry for entry in drifted if entry[2]],
            sampling="" if live is None else _sampling(live),
            audit="" if model.report is None else origin(model.report),
            facts=_facts(model),
        )


@dataclass(frozen=True)
class Score:
    """One class of a prediction.

    Attributes:
        label: Its label, or its number.
        score: Its score, as the model gives it.
        bar: The score as a bar.
    """

    label: str
    score: str
    bar: Markup


@dataclass(frozen=True)
class PredictionView:
    """What a model says of an image.

    Attributes:
        picture: The image, as the model was given it.
        best: The label with the highest score.
        scores: The classes, the best first.
        output: Name of the output that the scores are from.
    """

    picture: Markup
    best: str
    scores: list[Score]
    output: str

    @classmethod
    def of(cls, found: ImagePrediction) -> "PredictionView":
        """Show a prediction.

        Args:
            found: The prediction.
        """
        entries = found.answer["predictions"]
        known = [entry["score"] for entry in entries if entry["score"] is not None]
        low, high = min([0.0, *known]), max([0.0, *known])
        scores = [
            Score(
                _label(entry),
                with_minus(decimal(entry["score"])),
                score_bar(entry["score"], low, high),
            )
            for entry in entries
        ]
        height, width = found.pixels.shape[:2]
        label = f"The image as the model was given it, {width} by {height} pixels"
        shown = picture(found.pixels, label)
        return cls(shown, scores[0].label, scores, found.answer["output"])


def since(started: float) -> tuple[str, str]:
    """Write when a service has begun.

    Args:
        started: Seconds since 1970.

    Returns:
        The time, and how long ago that is.
    """
    seconds = max(int(time.time() - started), 0)
    units = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((u for u in units if seconds >= u[0]), units[-1])
    count = seconds // size
    ago = f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    return datetime.fromtimestamp(started, UTC).strftime("%Y-%m-%d %H:%M UTC"), ago


def _takes(model) -> tuple[str, bool]:
    try:
        taken = ImageInput.of(model)
        check_classifies(model)
    except ServiceError:
        return _shapes(model.inputs), False
    kind = "gray" if taken.channels == 1 else "color"
    return f"{kind} images, {taken.width} × {taken.height}", True


def _gives(model) -> str:
    shapes = [spec.shape for spec in model.outputs.values()]
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] > 0:
        count = shapes[0][1]
        return "1 score" if count == 1 else f"scores of {count:,} classes"
    return _shapes(model.outputs)


def _shapes(specs) -> str:
    return ", ".join(
        f"{spec.name}: {spec.datatype} "
        f"[{', '.join('any' if size < 0 else str(size) for size in spec.shape)}]"
        for spec in specs.values()
    )


def _sampling(live) -> str:
    used = live["cpu_seconds"] / max(live["elapsed_seconds"], 1e-3)
    text = (
        f"{live['measured']:,} of {live['seen']:,} live rows were measured; the latest "
        f"{live['samples']:,} count. That took "
        f"{percent(used, 2)} of a processor; up to {percent(live['budget'], 2)} are "
        "allowed."
    )
    if live["failed"]:
        text += f" {live['failed']:,} could not be measured: {live['error']}"
    return text


def _facts(model) -> dict[str, str]:
    total, delegated = len(model.interpreter.composites), model.interpreter.delegated
    facts = {
        "File": f"{model.files.model.stat().st_size:,} bytes",
        "Inputs": _shapes(model.inputs),
        "Outputs": _shapes(model.outputs),
        "Binary layers": f"{total}, of which the native delegate computes "
        f"{len(delegated)}",
        "Batching": model.plan.reason,
    }
    if model.labels:
        shown = ", ".join(model.labels[:12])
        more = len(model.labels) - 12
        facts["Labels"] = shown + (f" and {more:,} more" if more > 0 else "")
    if model.normalization:
        mean, std = model.normalization.get("mean"), model.normalization.get("std")
        facts["Normalization"] = (
            f"(raw \N{MINUS SIGN} {mean}) / {std}, with raw from 0 to 255"
        )
    return facts


def _label(entry) -> str:
    label = entry["label"]
    return f"class {entry['index']}" if label is None else label
