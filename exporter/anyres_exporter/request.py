"""What is asked of an export, next to the model itself."""

from __future__ import annotations

from dataclasses import dataclass

from anyres_exporter.rewrite.pad_rule import PadMode


@dataclass(frozen=True)
class Sizes:
    """What is asked of H and W.

    Args:
        traced: the size (h, w) that the model is traced at; the only one where not `dynamic`.
        dynamic: whether H and W are to be open.
        any_size: pad to the network's step and crop back inside the graph, with this mode.
    """

    traced: tuple[int, int] = (224, 224)
    dynamic: bool = True
    any_size: PadMode | None = None
