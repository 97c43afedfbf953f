"""The service as FastAPI's tutorial has one write it.

python plain_fastapi.py MODEL_FILE MODEL_NAME PORT
"""

import sys
from typing import Any

import numpy as np
import uvicorn
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel, ConfigDict

from kerasbnn.runtime import Interpreter


class InputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    parameters: dict[str, Any] | None = None
    data: list[float]


class RequestedOutput(BaseModel):
    name: str
    parameters: dict[str, Any] | None = None


class InferenceRequest(BaseModel):
    id: str | None = None
    parameters: dict[str, Any] | None = None
    inputs: list[InputTensor]
    outputs: list[RequestedOutput] | None = None


class OutputTensor(BaseModel):
    name: str
    shape: list[int]
    datatype: str
    data: list[float]


class InferenceResponse(BaseModel):
    model_config = ConfigDict(protected_namespaces=())

    model_name: str
    model_version: str | None = None
    id: str | None = None
    outputs: list[OutputTensor]


path, model_name, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
model = Interpreter(path)
(signature,) = model.signatures.values()
(input_name,) = signature.inputs
(output_name,) = signature.outputs
app = FastAPI()


@app.get("/v2/health/ready")
async def ready() -> dict[str, bool]:
    return {"ready": True}


@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: InferenceRequest) -> InferenceResponse:
    if name != model_name:
        raise HTTPException(404, "no such model")
    (tensor,) = request.inputs
    if tensor.name != input_name or tensor.datatype != "FP32":
        raise HTTPException(400, "wrong input")
    try:
        x = np.array(tensor.data, np.float32).reshape(tensor.shape)
        y = model.predict(x)
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    output = OutputTensor(
        name=output_name, shape=y.shape, datatype="FP32", data=y.ravel().tolist()
    )
    return InferenceResponse(model_name=name, id=request.id, outputs=[output])


uvicorn.run(
    app,
    host="127.0.0.1",
    port=port,
    loop="uvloop",
    http="httptools",
    access_log=False,
    log_level="warning",
)
