"""A stock client in a process of its own: calls as JSON on stdin, what came of them on stdout.

Its protobuf package is called `inference`, like ours, and one process cannot hold both. A call is
one of the client's own methods, or one of `OPERATIONS`, which do what its users do. Bytes travel as
base64.

Usage: stock_client.py ADDRESS
"""

from __future__ import annotations

import json
import queue
import sys
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import numpy as np
from tritonclient import grpc  # type: ignore[import-untyped]
from tritonclient.utils import (  # type: ignore[import-untyped]
    InferenceServerException,
    shared_memory,
)

REGIONS: dict[str, Any] = {}
WAIT_S = 30


def main() -> None:
    """Make the calls in order over one channel."""
    with grpc.InferenceServerClient(sys.argv[1]) as client:
        calls: list[tuple[str, dict[str, Any]]] = json.load(sys.stdin)
        json.dump([outcome(client, name, arguments) for name, arguments in calls], sys.stdout)
    for region in REGIONS.values():
        shared_memory.destroy_shared_memory_region(region)


def outcome(client: Any, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """What a call returned, or the error that it raised."""
    try:
        if name in OPERATIONS:
            return {"value": OPERATIONS[name](client, **arguments)}
        return {"value": getattr(client, name)(**arguments)}
    except InferenceServerException as error:
        return failed(error)


def failed(error: Any) -> dict[str, Any]:
    return {"status": error.status(), "message": error.message()}


def infer(client: Any, model: str, **options: Any) -> dict[str, Any]:
    """One inference with numpy arrays, as the client's users do it."""
    return told(client.infer(model, **asked(**options)))


def async_infer(client: Any, requests: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Several inferences at once; what came of them, by their ids."""
    answers: queue.Queue[tuple[Any, Any]] = queue.Queue()
    for request in requests:
        client.async_infer(
            callback=lambda result, error: answers.put((result, error)),
            model_name=request["model"],
            **asked(**{key: value for key, value in request.items() if key != "model"}),
        )
    return [ended(*answers.get(timeout=WAIT_S)) for _ in requests]


def stream(
    client: Any, requests: list[dict[str, Any]], headers: dict[str, str] | None = None
) -> list[dict[str, Any]]:
    """Requests over one stream; what came, in that order, until each has its last answer."""
    came: queue.Queue[tuple[Any, Any]] = queue.Queue()
    client.start_stream(lambda result, error: came.put((result, error)), headers=headers)
    for request in requests:
        client.async_stream_infer(
            request["model"],
            **asked(**{key: value for key, value in request.items() if key != "model"}),
        )
    found: list[dict[str, Any]] = []
    while sum(map(last, found)) < len(requests):
        found.append(ended(*came.get(timeout=WAIT_S)))
    client.stop_stream()
    assert came.empty()
    return found


def last(answer: dict[str, Any]) -> bool:
    """Whether an answer is its request's last."""
    return "value" not in answer or answer["value"]["parameters"]["triton_final_response"]


def share(client: Any, name: str, key: str, size: int, values: list[Any] | None = None) -> None:
    """A new region of this process's own, float32 values in it, registered."""
    region = shared_memory.create_shared_memory_region(name, key, size, create_only=True)
    REGIONS[name] = region
    if values is not None:
        shared_memory.set_shared_memory_region(region, [np.array(values, np.float32)])
    client.register_system_shared_memory(name, key, size)


def shared(client: Any, name: str, shape: list[int], dtype: str = "float32") -> list[Any]:
    """What is in a region now."""
    array = shared_memory.get_contents_as_numpy(REGIONS[name], np.dtype(dtype), shape)
    values: list[Any] = array.copy().tolist()
    return values


def asked(
    values: list[Any] | None = None,
    files: list[str] | None = None,
    *,
    name: str = "image",
    datatype: str = "FP32",
    dtype: str = "float32",
    region: dict[str, Any] | None = None,
    shape: list[int] | None = None,
    outputs: list[Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The client's arguments: a tensor of values, of files, or of what is in a region."""
    array = np.array(values, dtype) if files is None else np.array([*map(b64decode, files)], object)
    tensor = grpc.InferInput(name, array.shape, datatype)
    if region is None:
        tensor.set_data_from_numpy(array)
    else:
        tensor.set_shared_memory(**region)
    if shape is not None:
        tensor.set_shape(shape)
    return {"inputs": [tensor], "outputs": outputs and [*map(wanted, outputs)], **options}


def wanted(output: str | dict[str, Any]) -> Any:
    """An output to be asked for: its name, a number of classes, a region."""
    if isinstance(output, str):
        return grpc.InferRequestedOutput(output)
    asked = grpc.InferRequestedOutput(output["name"], output.get("class_count", 0))
    if "region" in output:
        asked.set_shared_memory(**output["region"])
    return asked


def ended(result: Any, error: Any) -> dict[str, Any]:
    """What a callback was given."""
    return failed(error) if error else {"value": told(result)}


def told(result: Any) -> dict[str, Any]:
    """An answer as JSON."""
    response = result.get_response(as_json=False)
    return {
        "id": response.id,
        "model": [response.model_name, response.model_version],
        "outputs": {each.name: numbers(result, each) for each in response.outputs},
        "datatypes": {each.name: each.datatype for each in response.outputs},
        "parameters": {
            name: getattr(value, value.WhichOneof("parameter_choice"))
            for name, value in response.parameters.items()
        },
    }


def numbers(result: Any, output: Any) -> Any:
    if "shared_memory_region" in output.parameters:
        return {"region": output.parameters["shared_memory_region"].string_param}
    array = result.as_numpy(output.name)
    if output.datatype == "BYTES":
        return np.vectorize(lambda each: b64encode(each).decode(), otypes=[object])(array).tolist()
    return array.tolist()


OPERATIONS: dict[str, Callable[..., Any]] = {
    "infer": infer,
    "async_infer": async_infer,
    "stream": stream,
    "share": share,
    "shared": shared,
}


if __name__ == "__main__":
    main()
