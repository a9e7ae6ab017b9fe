"""Everything that can go wrong, named by what the caller can do about it.

ServingError
├── InvalidRequest    fix the request: the same one will fail again
├── ModelNotFound     ask for another model: the message lists those there are
├── RegionNotFound    register the region of shared memory first
├── RegionTaken       choose another name for it, or unregister the one that has it
├── Unserved          do without: this server is not set up for it
├── ModelBroken       repair the model's file, or ask for another model
│   ├── ProviderMissing   install what it is to run with
│   └── NotANumber        it says NaN about this image
├── NoToken           say who you are
├── Forbidden         ask for what your token allows
├── Overloaded        try again later
│   └── TooFast       try again when so many seconds are over
├── TooLate           give it more time, or send a smaller image
├── TooLarge          send a smaller image, or give the server more memory
├── Unavailable       try another server: this one is going away
└── InferenceFailed   report it: the model or the runtime is broken

Stopped               a run that nobody waited for any more; nobody is told
StartFailed           what keeps the server from starting; for whoever started it, never a caller

A class says which `Problem` it is; what that is on the wire is `anyres_proto.status`'s business.
"""

from __future__ import annotations

from typing import ClassVar

from anyres_proto.status import Problem


class ServingError(Exception):
    """An error whose message is written for the caller and safe to send to it."""

    problem: ClassVar[Problem]


class InvalidRequest(ServingError):
    """The image, its size or what was asked of it is wrong."""

    problem = Problem.INVALID_REQUEST


class ModelNotFound(ServingError):
    """There is no such model, or no such version of it."""

    problem = Problem.NOT_FOUND


class RegionNotFound(ServingError):
    """No region of shared memory is registered under that name."""

    problem = Problem.NOT_FOUND


class RegionTaken(ServingError):
    """Another region of shared memory is registered under that name."""

    problem = Problem.TAKEN


class Unserved(ServingError):
    """What was asked for is switched off, or is not what this server does."""

    problem = Problem.UNIMPLEMENTED


class ModelBroken(ServingError):
    """The model is in the repository, but its file cannot be served."""

    problem = Problem.NOT_READY


class ProviderMissing(ModelBroken):
    """What a model is to be run with is not installed, or cannot do what is asked of it."""


class Overloaded(ServingError):
    """There is too much to do right now; `retry_s` is when it may be less."""

    problem = Problem.OVERLOADED
    retry_s = 0.25


class TooFast(Overloaded):
    """More a second than is allowed; `retry_s` later there is room for one more."""

    def __init__(self, message: str, retry_s: float) -> None:
        super().__init__(message)
        self.retry_s = retry_s


class NotANumber(ModelBroken):
    """The model said NaN, or infinities that no probability can be made of."""


class NoToken(ServingError):
    """The call needs a token, and has none or one that nobody knows."""

    problem = Problem.NO_TOKEN


class Forbidden(ServingError):
    """The caller is known, and may not do this."""

    problem = Problem.FORBIDDEN


class TooLate(ServingError):
    """The answer would come after the caller's deadline."""

    problem = Problem.DEADLINE


class TooLarge(ServingError):
    """The image needs more memory than there is, and cannot be tiled."""

    problem = Problem.OVERLOADED


class Unavailable(ServingError):
    """The server is shutting down."""

    problem = Problem.UNAVAILABLE


class InferenceFailed(ServingError):
    """The model ran and broke."""

    problem = Problem.FAILED


class Stopped(Exception):
    """A network was stopped while it ran, because nobody waits for its answer."""


class StartFailed(Exception):
    """The server cannot start: a folder that is not there, a port that is taken."""
