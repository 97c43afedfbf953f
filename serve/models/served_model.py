"""One version of a model, ready to answer."""

import asyncio
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from kerasbnn._errors import CommandError
from kerasbnn.geometry.report import GeometryReport
from kerasbnn.runtime import Interpreter, ModelError

from ..batching import Batcher, BatchingPlan, calibrate
from ..errors import ServiceError
from ..geometry import GeometryMonitor
from ..protocol.statistics import ModelStatistics
from ..settings import Settings
from .datatypes import datatype_of
from .repository import ModelFiles, find_models, packaged_models, version_order
from .tensor_spec import TensorSpec

Arrays = Mapping[str, np.ndarray]

# Seconds that all models together may take to measure their batches.
CALIBRATION = 0.5


class ServedModel:
    """One version of a model: its file, batches, statistics and geometry.

    Args:
        files: Where it lies.
        settings: Settings of the service.
        seconds: Time to measure what batches take.

    Attributes:
        files: As given.
        name: Name of the model.
        version: Its version.
        interpreter: What runs the file.
        inputs: What it takes, by name.
        outputs: What it gives, by name.
        metadata: What the file says of itself.
        labels: A name for each class, or None.
        normalization: `mean` and `std` of what it was trained on, or None.
        report: What the audit said at the export, or None.
        geometry: `geometry.json` as it is, or None.
        plan: How requests become batches, and what was measured for it.
        batcher: What does so.
        statistics: What was answered so far.
        monitor: Measures the geometry of live requests; None without a probe.

    Raises:
        ModelError: A file is damaged.
        CommandError: A file cannot be served.
    """

    def __init__(
        self, files: ModelFiles, settings: Settings, seconds: float = CALIBRATION
    ):
        self.files = files
        self.name, self.version = files.name, files.version
        self._timeout = settings.inference_timeout
        self.interpreter = Interpreter(files.model, settings.num_threads)
        signatures = self.interpreter.signatures
        signature = signatures.get("serving_default") or next(iter(signatures.values()))
        self.inputs = _specs(signature.inputs, files)
        self.outputs = _specs(signature.outputs, files)
        self.metadata: dict[str, Any] = self.interpreter.metadata
        self.labels = _labels(files, self.metadata)
        self.normalization: dict[str, Any] | None = self.metadata.get("normalization")
        self.geometry = _geometry(files)
        self.report = GeometryReport.from_dict(self.geometry) if self.geometry else None
        self.plan: BatchingPlan = calibrate(
            self._run, self.inputs, settings.batching, settings.num_threads, seconds
        )
        self.statistics = ModelStatistics()
        self.batcher = Batcher(
            self.statistics.timed(self._run), self.plan, settings.max_queue
        )
        self.monitor = GeometryMonitor.for_model(files, self.geometry, settings)

    async def infer(self, arrays: Arrays) -> dict[str, np.ndarray]:
        """Compute the outputs of some rows, together with those of other requests.

        Args:
            arrays: An array of the right dtype and shape for each input.

        Returns:
            An array for each output.

        Raises:
            ServiceError: The queue is full, the time is over, or the file cannot be
                run on such inputs.
        """
        if self.monitor is not None:
            self.monitor.offer(arrays)
        try:
            return await self.batcher.submit(arrays, self._timeout)
        except TimeoutError as error:
            raise ServiceError(
                504,
                f"Model '{self.name}' did not answer within {self._timeout:g} s. Try "
                "again later, or with fewer rows.",
            ) from error
        except (ModelError, ValueError, TypeError) as error:
            raise ServiceError(400, str(error)) from error

    def check_queue(self):
        """Refuse a request, whatever it holds, where too many wait.

        Raises:
            ServiceError: Too many rows wait; 503.
        """
        self.batcher.check_queue(1, self._timeout)

    def start(self):
        """Begin to measure live requests."""
        if self.monitor is not None:
            self.monitor.start()

    async def close(self):
        """Answer what was accepted, then free the memory."""
        await self.batcher.drain()
        if self.monitor is not None:
            await asyncio.to_thread(self.monitor.close)
        self.interpreter.close()

    def _run(self, arrays: Arrays) -> dict[str, np.ndarray]:
        return self.interpreter.compute(arrays)


class ModelSet:
    """The models of a service.

    Args:
        models: All versions of all models.
    """

    def __init__(self, models: list[ServedModel]):
        self._models: dict[tuple[str, str | None], ServedModel] = {
            (model.name, model.version): model for model in models
        }
        # The last version of each, which answers where none is named.
        for model in sorted(models, key=lambda m: version_order(m.version)):
            self._models[model.name, None] = model

    @classmethod
    def load(cls, settings: Settings) -> "ModelSet":
        """Load all models of the folder of the settings.

        Args:
            settings: Settings of the service.

        Returns:
            The models, which were run once.

        Raises:
            CommandError: There is none, or a file is damaged.
        """
        models, found = [], find_models(settings.model_dir or packaged_models())
        for files in found:
            try:
                models.append(ServedModel(files, settings, CALIBRATION / len(found)))
            except (ModelError, OSError, ValueError) as error:
                raise CommandError(
                    f"model '{files.name}', version {files.version}, cannot be "
                    f"served: {error}"
                ) from error
        return cls(models)

    def get(self, name: str, version: str | None = None) -> ServedModel:
        """Return a model.

        Args:
            name: Its name.
            version: Its version; None for the last.

        Returns:
            The model.

        Raises:
            ServiceError: There is none; 404.
        """
        model = self._models.get((name, version))
        if model is not None:
            return model
        versions = self.versions(name)
        if not versions:
            raise ServiceError(
                404,
                f"There is no model '{name[:100]}'. There are: "
                f"{', '.join(self.names)}.",
            )
        raise ServiceError(
            404,
            f"Model '{name}' has no version '{(version or '')[:100]}'. It has: "
            f"{', '.join(versions)}.",
        )

    @property
    def names(self) -> list[str]:
        """Names of the models."""
        return list(dict.fromkeys(model.name for model in self))

    def versions(self, name: str) -> list[str]:
        """Return the versions of a model, the oldest first."""
        found = [model.version for model in self if model.name == name]
        return sorted(found, key=version_order)

    def __iter__(self) -> Iterator[ServedModel]:
        """Iterate over all versions of all models."""
        return (model for (_, version), model in self._models.items() if version)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _specs(found, files) -> dict[str, TensorSpec]:
    specs = {}
    for name, spec in found.items():
        if spec.dtype is None:
            raise CommandError(
                f"'{files.model}' has a tensor '{name}' of a type that numpy does not "
                "have. Convert the model with float or integer inputs and outputs."
            )
        shape = tuple(-1 if size is None else int(size) for size in spec.shape)
        specs[name] = TensorSpec(name, datatype_of(spec.dtype), spec.dtype, shape)
    return specs


def _labels(files, metadata) -> tuple[str, ...] | None:
    if files.labels is not None:
        try:
            lines = files.labels.read_text("utf-8").rstrip().splitlines()
        except UnicodeDecodeError as error:
            raise CommandError(
                f"'{files.labels}' is no text in UTF-8. Write a name on each line."
            ) from error
        return tuple(lines) or None
    labels = metadata.get("labels")
    return tuple(map(str, labels)) if labels else None


def _geometry(files) -> dict[str, Any] | None:
    if files.geometry is None:
        return None
    try:
        values = json.loads(files.geometry.read_text("utf-8"))
        GeometryReport.from_dict(values)
    except (ValueError, AttributeError) as error:
        raise CommandError(
            f"'{files.geometry}' is not the geometry of an export: {error} Export the "
            "model again."
        ) from error
    return values
