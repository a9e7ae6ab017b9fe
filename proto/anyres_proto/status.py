"""The only table of gRPC status codes: what each problem is called on the wire.

A server's errors carry a `Problem`, whose code ends the call; a client turns the code back into the
problem and raises its own error for it. An image too large for the server is an invalid request,
since the same request would fail again. A model that did not load is not unavailable, because
channels retry on that.
"""

from __future__ import annotations

from enum import Enum
from typing import Self

import grpc


class Problem(Enum):
    """What went wrong, named by what the caller should do about it."""

    INVALID_REQUEST = grpc.StatusCode.INVALID_ARGUMENT  # fix the request
    NOT_FOUND = grpc.StatusCode.NOT_FOUND  # ask for something that exists
    TAKEN = grpc.StatusCode.ALREADY_EXISTS  # choose another name
    NO_TOKEN = grpc.StatusCode.UNAUTHENTICATED  # say who you are
    FORBIDDEN = grpc.StatusCode.PERMISSION_DENIED  # ask for what you may
    NOT_READY = grpc.StatusCode.FAILED_PRECONDITION  # mend the model on the server
    OVERLOADED = grpc.StatusCode.RESOURCE_EXHAUSTED  # try again later
    UNAVAILABLE = grpc.StatusCode.UNAVAILABLE  # try another server, or wait for this one
    DEADLINE = grpc.StatusCode.DEADLINE_EXCEEDED  # give it more time
    CANCELLED = grpc.StatusCode.CANCELLED  # nothing: the caller left
    UNIMPLEMENTED = grpc.StatusCode.UNIMPLEMENTED  # use another call: the server lacks this one
    FAILED = grpc.StatusCode.INTERNAL  # report it: the server or the model is broken

    @property
    def code(self) -> grpc.StatusCode:
        """The status code that the problem travels as."""
        return self.value

    @classmethod
    def of(cls, code: grpc.StatusCode) -> Self:
        """The problem behind a call's status code.

        Codes that no problem has come from gRPC itself or from something between the two ends, and
        say no more than that the call failed.
        """
        return cls(code) if code in _CODES else cls.FAILED


_CODES = frozenset(problem.code for problem in Problem)
