"""A stock client in a process of its own: calls as JSON on stdin, what came of them on stdout.

Its protobuf package is called `inference`, like ours, and one process cannot hold both.

Usage: stock_client.py ADDRESS
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
from tritonclient import grpc  # type: ignore[import-untyped]
from tritonclient.utils import InferenceServerException  # type: ignore[import-untyped]


def main() -> None:
    """Make the calls in order over one channel."""
    with grpc.InferenceServerClient(sys.argv[1]) as client:
        calls: list[tuple[str, dict[str, Any]]] = json.load(sys.stdin)
        json.dump([outcome(client, name, arguments) for name, arguments in calls], sys.stdout)


def outcome(client: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a call returned, or the error that it raised."""
    try:
        if name == "infer":
            return {"value": infer(client, **arguments)}
        return {"value": getattr(client, name)(**arguments)}
    except InferenceServerException as error:
        return {"status": error.status(), "message": error.message()}


def infer(
    client: Any,
    model: str,
    values: list[Any],
    *,
    name: str = "image",
    datatype: str = "FP32",
    dtype: str = "float32",
    outputs: list[str] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """One inference with numpy arrays, as the client's users do it."""
    array = np.array(values, dtype)
    tensor = grpc.InferInput(name, array.shape, datatype)
    tensor.set_data_from_numpy(array)
    wanted = [grpc.InferRequestedOutput(output) for output in outputs] if outputs else None
    result = client.infer(model, [tensor], outputs=wanted, **options)
    response = result.get_response()
    return {
        "id": response.id,
        "model": [response.model_name, response.model_version],
        "outputs": {each.name: result.as_numpy(each.name).tolist() for each in response.outputs},
    }


if __name__ == "__main__":
    main()
