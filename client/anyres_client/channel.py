"""How to reach a server: channel options, retries, and the codes of calls that failed."""

from __future__ import annotations

import json

import grpc

from anyres_client import errors
from anyres_proto.status import Problem

MESSAGE_BYTES = 256 * 2**20
TIMEOUT_S = 60.0

# gRPC itself retries what never reached a server; delays are in seconds.
_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.2s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
)

ERRORS: dict[Problem, type[errors.ClientError]] = {
    Problem.INVALID_REQUEST: errors.InvalidRequest,
    Problem.NOT_FOUND: errors.ModelNotFound,
    Problem.NOT_READY: errors.ModelNotFound,
    Problem.OVERLOADED: errors.Overloaded,
    Problem.UNAVAILABLE: errors.Unavailable,
    Problem.DEADLINE: errors.DeadlineExceeded,
    Problem.CANCELLED: errors.Unavailable,
    Problem.UNIMPLEMENTED: errors.ServerFailed,
    Problem.FAILED: errors.ServerFailed,
}


def failed(error: grpc.RpcError, address: str) -> errors.ClientError:
    """The client's own error for a call that failed: the server's sentence, or ours without one."""
    problem, details = Problem.of(error.code()), error.details() or ""
    if problem is Problem.UNAVAILABLE:
        details = f"the server at {address} cannot be reached: {details}"
    if problem is Problem.DEADLINE:
        details = f"the server at {address} did not answer in time"
    return ERRORS[problem](details or f"the server at {address} failed")
