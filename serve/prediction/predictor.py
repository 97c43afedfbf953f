"""From a request with an image to what a model says of it."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

import numpy as np
from fastapi import Request

from ..errors import ServiceError
from ..protocol.bodies import read_body
from ..settings import Settings
from .images import read_image
from .inputs import ImageInput
from .ranking import TOP, check_classifies, prediction
from .uploads import uploaded_image

if TYPE_CHECKING:
    from ..models.served_model import ServedModel

# Each waits with its file in memory.
MOST_WAITING = 32


@dataclass(frozen=True)
class ImagePrediction:
    """What a model says of an image.

    Attributes:
        pixels: The image as the model was given it, before it was normalized:
            `(height, width, channels)`, uint8.
        answer: The body of the answer.
    """

    pixels: np.ndarray
    answer: dict[str, Any]


class Predictor:
    """Decodes images, one at a time, and lets models predict.

    A decoded image takes far more memory than its file, so that decoding several at
    once would let few requests take all there is.

    Args:
        settings: Settings of the service.
    """

    def __init__(self, settings: Settings):
        self._settings = settings
        self._turn = asyncio.Semaphore(1)
        self._waiting = 0

    async def predict(
        self, model: "ServedModel", request: Request, top: int = TOP
    ) -> ImagePrediction:
        """Predict what the image in a request shows, and count that.

        Args:
            model: The model.
            request: The request, with a PNG or JPEG file in its body.
            top: How many predictions to give at most.

        Returns:
            The prediction.

        Raises:
            ServiceError: The model takes no image or does not classify, the body cannot
                be used, or too many wait.
        """

        async def read():
            headers = dict(request.scope["headers"])
            body = await read_body(headers, request.receive, self._settings)
            return body, headers.get(b"content-type", b"").decode("latin-1")

        return await self._counted(model, read, top)

    async def predict_file(
        self, model: "ServedModel", path: Path, top: int = TOP
    ) -> ImagePrediction:
        """Predict what an image of this package shows, and count that.

        Args:
            model: The model.
            path: A PNG or JPEG file.
            top: How many predictions to give at most.

        Returns:
            The prediction.

        Raises:
            ServiceError: As `predict` does.
        """

        async def read():
            return path.read_bytes(), ""

        return await self._counted(model, read, top)

    async def _counted(self, model, read, top):
        begin = perf_counter_ns()
        try:
            return await self._predicted(model, read, top)
        except Exception:
            model.statistics.record_failure(perf_counter_ns() - begin)
            raise

    async def _predicted(self, model, read, top):
        taken = ImageInput.of(model)
        check_classifies(model)
        body, kind = await read()
        received = perf_counter_ns()
        pixels = await self._decoded(body, kind, taken)
        decoded = perf_counter_ns()
        outputs = await model.infer({taken.name: taken.array(pixels)})
        inferred = perf_counter_ns()
        found = ImagePrediction(pixels, prediction(model, outputs, top))
        model.statistics.record(
            rows=1,
            received=received,
            decoded=decoded,
            inferred=inferred,
            encoded=perf_counter_ns(),
        )
        return found

    async def _decoded(self, body, kind, taken: ImageInput) -> np.ndarray:
        if self._waiting >= MOST_WAITING:
            raise ServiceError(
                503,
                f"{self._waiting} images wait to be decoded. Try again in a second.",
                {"Retry-After": "1"},
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(self._decode, body, kind, taken)
        finally:
            self._waiting -= 1

    def _decode(self, body, kind, taken):
        return read_image(
            uploaded_image(body, kind),
            taken.width,
            taken.height,
            taken.channels,
            self._settings.max_pixels,
        )
