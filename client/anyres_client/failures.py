"""The client's own errors for calls that failed."""

from __future__ import annotations

import grpc

from anyres_client import errors
from anyres_client.connection import MESSAGE_BYTES
from anyres_proto.status import Problem

TIMEOUT_S = 60.0

ERRORS: dict[Problem, type[errors.ClientError]] = {
    Problem.INVALID_REQUEST: errors.InvalidRequest,
    Problem.NOT_FOUND: errors.ModelNotFound,
    Problem.TAKEN: errors.InvalidRequest,
    Problem.NO_TOKEN: errors.NotAllowed,
    Problem.FORBIDDEN: errors.NotAllowed,
    Problem.NOT_READY: errors.ModelNotFound,
    Problem.OVERLOADED: errors.Overloaded,
    Problem.UNAVAILABLE: errors.Unavailable,
    Problem.DEADLINE: errors.DeadlineExceeded,
    Problem.CANCELLED: errors.Unavailable,
    Problem.UNIMPLEMENTED: errors.ServerFailed,
    Problem.FAILED: errors.ServerFailed,
}


# How gRPC's own sentences begin where the server has said nothing, and what we say instead.
_OURS = {
    "failed to connect": "no server answers",
    "connections to all backends failing": "no server answers",
    "DNS resolution failed": "there is no such host",
    "Method not found": "the server does not speak anyres.v1",
}
_UNTRUSTED = "CERTIFICATE_VERIFY_FAILED"
_TOO_LARGE = "message larger than max"


def failed(error: grpc.RpcError, address: str) -> errors.ClientError:
    """The client's own error for a call that failed: the server's sentence, and its address."""
    problem, details = Problem.of(error.code()), error.details() or "the call failed"
    if _TOO_LARGE in details:
        limit = f"{MESSAGE_BYTES // 2**20} MiB"
        return errors.InvalidRequest(f"the answer is over {limit}: ask for fewer outputs")
    if problem is Problem.DEADLINE:
        details = "no answer came in time"
    if _UNTRUSTED in details:
        details = "the server's certificate is not trusted: name who signed it (Tls.authorities)"
    ours = next((said for start, said in _OURS.items() if details.startswith(start)), details)
    return ERRORS[problem](f"{ours} ({address})")


def not_ready(error: grpc.RpcError, address: str, timeout_s: float) -> errors.ClientError:
    """The error for a server that was waited for."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.Unavailable(f"the server was not ready within {timeout_s:g} s ({address})")
    return failed(error, address)
