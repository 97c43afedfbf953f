"""LitServe, with requests and answers of the Open Inference Protocol.

python litserve_server.py MODEL_FILE MODEL_NAME PORT
"""

import sys

import litserve
import numpy as np

from kerasbnn.runtime import Interpreter


class Runtime(litserve.LitAPI):
    def __init__(self, path, name):
        super().__init__(api_path=f"/v2/models/{name}/infer")
        self._path, self._name = path, name

    def setup(self, device):
        self._interpreter = Interpreter(self._path)
        (signature,) = self._interpreter.signatures.values()
        (self._output,) = signature.outputs

    def decode_request(self, request):
        (tensor,) = request["inputs"]
        return np.array(tensor["data"], np.float32).reshape(tensor["shape"])

    def predict(self, x):
        return self._interpreter.predict(x)

    def encode_response(self, output):
        tensor = {
            "name": self._output,
            "shape": list(output.shape),
            "datatype": "FP32",
            "data": output.ravel().tolist(),
        }
        return {"model_name": self._name, "outputs": [tensor]}


if __name__ == "__main__":
    path, name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    litserve.LitServer(Runtime(path, name), accelerator="cpu").run(
        host="127.0.0.1",
        port=port,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
