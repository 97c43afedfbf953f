"""What MLServer loads: it reads `settings.json` beside the models."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from kerasbnn.runtime import Interpreter


class Runtime(MLModel):
    async def load(self) -> bool:
        self._interpreter = Interpreter(self.settings.parameters.uri)
        (signature,) = self._interpreter.signatures.values()
        (self._output,) = signature.outputs
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        x = NumpyCodec.decode_input(payload.inputs[0]).astype(np.float32, copy=False)
        y = self._interpreter.predict(x)
        return InferenceResponse(
            id=payload.id,
            model_name=self.name,
            model_version=self.version,
            outputs=[NumpyCodec.encode_output(self._output, y)],
        )
