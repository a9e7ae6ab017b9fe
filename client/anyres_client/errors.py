"""Everything that can go wrong, named by what the caller can do about it.

    ClientError
    ├── InvalidRequest      fix the request: the image, the size or the output asked for
    │   └── NotRequested    ask for that output in `predict(output=...)`
    ├── ModelNotFound       ask for another model: the message lists those there are
    │   └── ModelNotReady   wait until it is loaded, or mend its file on the server
    ├── NotAllowed          show a token that may do this
    ├── Overloaded          try again later, or send a smaller image
    ├── Unavailable         start the server, or try another one
    │   └── NotServing      wait: it is there, and starts or stops
    ├── DeadlineExceeded    give it more time, or a smaller image
    └── ServerFailed        report it: the server or its model is broken

Each carries a sentence for the person who asked.
"""

from __future__ import annotations


class ClientError(Exception):
    """An error whose message is a sentence for the person who asked."""


class InvalidRequest(ClientError):
    """The image or what was asked of it is wrong; the same request will fail again."""


class NotRequested(InvalidRequest):
    """An output that the prediction does not hold, because nobody asked the server for it."""


class ModelNotFound(ClientError):
    """The server has no such model, or none that is ready."""


class ModelNotReady(ModelNotFound):
    """The server knows the model and cannot be asked about it: it is being loaded, or broken."""


class NotAllowed(ClientError):
    """The server wants a token, or the one that it got may not do this."""


class Overloaded(ClientError):
    """The server has too much to do, or too little memory for this image."""


class Unavailable(ClientError):
    """The server cannot be reached, or is not ready."""


class NotServing(Unavailable):
    """The server is there, and says that it does not serve now."""


class DeadlineExceeded(ClientError):
    """No answer came within the deadline."""


class ServerFailed(ClientError):
    """The server broke on a request that may well be right."""
