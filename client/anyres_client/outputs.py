"""The arrays of a prediction by their names, and what to say where one is not there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from numpy.typing import NDArray

from anyres_client.errors import NotRequested

Outputs: TypeAlias = Mapping[str, NDArray[Any]]


def requested(outputs: Outputs, key: str, output: str) -> NDArray[Any]:
    """The array `key`, which comes where `output` is asked for.

    Raises:
        NotRequested: it was not.
    """
    if key not in outputs:
        raise NotRequested(
            f"this prediction holds no {output.replace('_', ' ')}: "
            f"ask for it with predict(..., output={output!r})"
        )
    return outputs[key]
