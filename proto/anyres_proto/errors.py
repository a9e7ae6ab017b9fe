"""What can be wrong with what crosses the wire.

WireError                 a tensor's type, shape and bytes do not fit together: its sender mends it
"""

from __future__ import annotations

from anyres_proto.status import Problem


class WireError(ValueError):
    """A tensor cannot be sent or read; the message says why and is safe to send back."""

    problem = Problem.INVALID_REQUEST
