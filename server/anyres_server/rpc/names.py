"""Which models a message speaks of: what it asks for, and what an answer lists.

Rights are held by these two tables, in one place for both protocols, so that no call can forget to
ask. A message that is in neither speaks of no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

# A request's type -> the field that names its model.
ASKED = {
    "anyres.v1.PredictRequest": "model_name",
    "anyres.v1.PredictStreamRequest": "request.model_name",
    "anyres.v1.PredictTilesRequest": "header.model_name",
    "anyres.v1.GetModelRequest": "name",
    "anyres.v1.EstimateCostRequest": "model_name",
    "inference.ModelReadyRequest": "name",
    "inference.ModelMetadataRequest": "name",
    "inference.ModelInferRequest": "model_name",
    "inference.ModelConfigRequest": "name",
    "inference.ModelStatisticsRequest": "name",
    "inference.RepositoryModelLoadRequest": "model_name",
    "inference.RepositoryModelUnloadRequest": "model_name",
    "inference.TraceSettingRequest": "model_name",
}
# Those where no name means the server, or every model that the caller may see.
ALL_WITHOUT_A_NAME = {
    "anyres.v1.PredictTilesRequest",  # a chunk: the header before it had the name
    "inference.ModelStatisticsRequest",
    "inference.TraceSettingRequest",
}


@dataclass(frozen=True)
class Listed:
    """A response's repeated field, and how an item of it is called."""

    field: str
    name: str = "name"


LISTED = {
    "anyres.v1.ListModelsResponse": Listed("models"),
    "inference.RepositoryIndexResponse": Listed("models"),
    "inference.ModelStatisticsResponse": Listed("model_stats"),
}


def model_asked(message: Any) -> str | None:
    """The model that a request names; None where it speaks of none."""
    kind = message.DESCRIPTOR.full_name
    if kind not in ASKED:
        return None
    name: str = attrgetter(ASKED[kind])(message)
    return None if not name and kind in ALL_WITHOUT_A_NAME else name


def without(response: Any, may_see: Callable[[str], bool]) -> Any:
    """The response without the models that its receiver may not see; changed in place."""
    listed = LISTED.get(response.DESCRIPTOR.full_name)
    if listed is not None:
        items = getattr(response, listed.field)
        kept = [item for item in items if may_see(getattr(item, listed.name))]
        if len(kept) < len(items):
            copies = [type(item).FromString(item.SerializeToString()) for item in kept]
            del items[:]
            items.extend(copies)
    return response
