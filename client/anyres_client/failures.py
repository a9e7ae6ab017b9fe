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
    Problem.NOT_READY: errors.ModelNotReady,
    Problem.OVERLOADED: errors.Overloaded,
    Problem.UNAVAILABLE: errors.Unavailable,
    Problem.DEADLINE: errors.DeadlineExceeded,
    Problem.CANCELLED: errors.Unavailable,
    Problem.UNIMPLEMENTED: errors.ServerFailed,
    Problem.FAILED: errors.ServerFailed,
}


# How gRPC's own sentences begin where no server has said anything.
_NOBODY_SAID = (
    *("failed to connect", "connections to all backends failing"),
    *("DNS resolution failed", "errors resolving"),
)
# What it has found in the way, and what that means.
_IN_THE_WAY = {
    "backend unhealthy": "the server is starting or stopping: it says that it does not serve now",
    "CERTIFICATE_VERIFY_FAILED": "the server's certificate is not trusted: name who signed it "
    "(--ca, Tls.authorities)",
    "Hostname Verification": "the server's certificate is for another name than this",
    "WRONG_VERSION_NUMBER": "the server speaks without TLS: ask it without https:// and PEM files",
    "Socket closed": "the server hangs up: it may want TLS (https://...), or a certificate of "
    "yours (--cert and --key, Tls.certificate)",
    "SETTINGS frame": "what is there does not speak gRPC, or hangs",
    "http1": "what is there does not speak gRPC",
    "resol": "there is no such host",
}
_STARTING = "backend unhealthy"
_TOO_LARGE = "message larger than max"
_UNKNOWN_METHOD = "Method not found"


def failed(error: grpc.RpcError, address: str) -> errors.ClientError:
    """The client's own error for a call that failed: the server's sentence, and its address."""
    problem, details = Problem.of(error.code()), error.details() or "the call failed"
    if _TOO_LARGE in details:
        limit = f"{MESSAGE_BYTES // 2**20} MiB"
        return errors.InvalidRequest(f"the answer is over {limit}: ask for fewer outputs")
    if problem is Problem.DEADLINE:
        return errors.DeadlineExceeded(f"no answer came in time ({address})")
    if details.startswith(_NOBODY_SAID):
        kind = errors.NotServing if _STARTING in details else errors.Unavailable
        return kind(f"{_in_the_way(details)} ({address})")
    if details.startswith(_UNKNOWN_METHOD):
        details = "the server does not speak anyres.v1"
    return ERRORS[problem](f"{details} ({address})")


def _in_the_way(details: str) -> str:
    found = (said for what, said in _IN_THE_WAY.items() if what in details)
    return next(found, "no server answers")


def not_ready(error: grpc.RpcError, address: str, timeout_s: float) -> errors.ClientError:
    """The error for a server that was waited for."""
    if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return errors.Unavailable(f"the server was not ready within {timeout_s:g} s ({address})")
    return failed(error, address)
