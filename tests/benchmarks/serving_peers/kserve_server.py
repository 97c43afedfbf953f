"""KServe's model server in Python.

python kserve_server.py MODEL_FILE MODEL_NAME PORT
"""

import logging
import sys

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer

from kerasbnn.runtime import Interpreter


class Runtime(Model):
    def __init__(self, name, path):
        super().__init__(name)
        self._interpreter = Interpreter(path)
        (signature,) = self._interpreter.signatures.values()
        (self._output,) = signature.outputs
        self.ready = True

    async def predict(self, payload: InferRequest, headers=None, response_headers=None):
        y = self._interpreter.predict(payload.inputs[0].as_numpy())
        output = InferOutput(self._output, list(y.shape), "FP32")
        output.set_data_from_numpy(y, binary_data=False)
        return InferResponse(payload.id or "", self.name, [output])


path, name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
server = ModelServer(http_port=port, enable_grpc=False, enable_latency_logging=False)
for logger in ("uvicorn.access", "kserve", "kserve.trace"):
    logging.getLogger(logger).setLevel(logging.WARNING)
server.start([Runtime(name, path)])
