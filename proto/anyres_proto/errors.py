"""What can be wrong with what crosses the wire.

WireError                 a tensor's type, shape and bytes do not fit together: its sender mends it
CallFailed                a call within one process: what gRPC would end with a status
"""

from __future__ import annotations

from anyres_proto.status import Problem


class WireError(ValueError):
    """A tensor cannot be sent or read; the message says why and is safe to send back."""

    problem = Problem.INVALID_REQUEST


class CallFailed(Exception):
    """A call that did not go through gRPC failed; the message is written for the caller."""

    def __init__(self, problem: Problem, message: str) -> None:
        super().__init__(message)
        self.problem = problem
