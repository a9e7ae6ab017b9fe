"""How a model's images may be cut, so that tiles are exact for every output that is asked.

A card speaks of the first output, and of its views, which are made of it cell by cell. What another
output needs, the graph has said when it was loaded. One cut serves several outputs: its tiles start
where all of them allow it, and their halos are the widest that one of them needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from math import lcm
from typing import TypeAlias

from anyres_analyzer.tiling.plan import AxisRule
from anyres_proto.card import AxisContract, AxisTiling, Tiling
from anyres_server.model import Model

Rules: TypeAlias = tuple[AxisRule, AxisRule]


def tile_rules(model: Model, outputs: Sequence[str] = ()) -> Rules | None:
    """How images may be cut along both axes; None where tiles would not be exact.

    Args:
        model: whose images.
        outputs: the names of those that are asked; the served one where empty.
    """
    found, sizes = tiling(model, outputs), model.card.sizes
    if found.height is None or found.width is None:
        return None
    return _rule(found.height, sizes.height), _rule(found.width, sizes.width)


def tiling(model: Model, outputs: Sequence[str] = ()) -> Tiling:
    """The rule that holds for all of some outputs, or the nodes that stand against it."""
    asked = outputs or (model.card.output.name,)
    return reduce(_both, (_of(model, name) for name in asked))


def beyond(model: Model, outputs: Sequence[str]) -> tuple[str, ...]:
    """The same outputs, or none where the served one and its views are all that is asked."""
    views = {view.name for view in model.card.views}
    return () if views.issuperset(outputs) else tuple(outputs)


def _of(model: Model, name: str) -> Tiling:
    if not beyond(model, [name]):
        return model.card.tiling
    found, sizes = model.tilings[name], model.card.sizes
    return Tiling(
        height=_promised(found.height, sizes.height),
        width=_promised(found.width, sizes.width),
        breakers=tuple(f"of output {name!r}, {breaker}" for breaker in found.breakers),
    )


def _promised(found: AxisTiling | None, contract: AxisContract) -> AxisTiling | None:
    """A card may promise fewer sizes than its graph takes: tiles are of such."""
    if found is None or contract.maximum is not None:
        return None
    return found.model_copy(update={"alignment": lcm(found.alignment, contract.step)})


def _both(one: Tiling, other: Tiling) -> Tiling:
    return Tiling(
        height=_covering(one.height, other.height),
        width=_covering(one.width, other.width),
        breakers=(*one.breakers, *other.breakers),
    )


def _covering(one: AxisTiling | None, other: AxisTiling | None) -> AxisTiling | None:
    if one is None or other is None:
        return None
    return AxisTiling(
        alignment=lcm(one.alignment, other.alignment),
        halo_before=max(one.halo_before, other.halo_before),
        halo_after=max(one.halo_after, other.halo_after),
    )


def _rule(axis: AxisTiling, contract: AxisContract) -> AxisRule:
    return AxisRule(
        axis.alignment, axis.halo_before, axis.halo_after, contract.minimum, contract.step
    )
