"""Operators that gather far away: harmless over channels, global over the axis itself."""

from __future__ import annotations

from dataclasses import replace

from anyres_analyzer.field.field import Field
from anyres_analyzer.field.merge_rules import merged, pointwise
from anyres_analyzer.field.propagation import Call


def pooled_globally(call: Call) -> Field:
    """The whole axis becomes one value."""
    return call.image.broken(call.node, "it pools the whole axis into one value")


def reduced(call: Call) -> Field:
    """Reductions: harmless over channels, global over space."""
    image, rank = call.image, call.rank
    if image.dim is None:
        return image
    axes = {axis % rank for axis in _reduced_axes(call)}
    if rank + image.dim in axes:
        return pooled_globally(call)
    dropped = 0 if call.node.attributes.get("keepdims", 1) else 1
    after = sum(1 for axis in axes if axis > rank + image.dim)
    return replace(image, dim=image.dim + dropped * after)


def _reduced_axes(call: Call) -> tuple[int, ...]:
    """An attribute before opset 13 or 18, an input after; ArgMax and ArgMin have one axis."""
    attributes = call.node.attributes
    if call.node.op_type in ("ArgMax", "ArgMin"):
        return (attributes.get("axis", 0),)
    given = attributes.get("axes") or call.constant(1)
    if not given and not call.values(1) and attributes.get("noop_with_empty_axes", 0):
        return ()
    return tuple(map(int, given or range(call.rank)))


def batch_normalised(call: Call) -> Field:
    """BatchNormalization: constant numbers per channel, but in training the map's own."""
    training = (
        call.node.attributes.get("training_mode", 0)
        if call.opset >= 14
        else len(call.node.made) > 1
    )
    return normalised(call) if training else pointwise(call)


def normalised(call: Call) -> Field:
    """Statistics over the whole map: every pixel depends on every other."""
    return call.image.broken(
        call.node, "it normalises by statistics over the whole map", dim=call.image.dim
    )


def mean_variance_normalised(call: Call) -> Field:
    """MeanVarianceNormalization over some axes, by default over batch and space."""
    image, rank = call.image, call.rank
    axes = {axis % rank for axis in call.node.attributes.get("axes", (0, 2, 3))}
    return normalised(call) if image.dim is not None and rank + image.dim in axes else image


def layer_normalised(call: Call) -> Field:
    """LayerNormalization: from `axis` to the last dimension."""
    image, rank = call.image, call.rank
    if image.dim is None or rank + image.dim < call.node.attributes.get("axis", -1) % rank:
        return image
    return normalised(call)


def soft_over_axis(call: Call) -> Field:
    """Softmax and its kin along one dimension; before opset 13 along all from there on."""
    image, rank = call.image, call.rank
    if image.dim is None:
        return image
    flattens = call.opset < 13 and call.node.op_type != "LpNormalization"
    axis, position = (
        call.node.attributes.get("axis", 1 if flattens else -1) % rank,
        rank + image.dim,
    )
    if position < axis or (position > axis and not flattens):
        return image
    return image.broken(call.node, "it normalises along the axis itself", dim=image.dim)


def sorted_over_axis(call: Call) -> Field:
    """TopK along one dimension."""
    image, rank = call.image, call.rank
    if image.dim is None or call.node.attributes.get("axis", -1) % rank != rank + image.dim:
        return image
    return image.broken(call.node, "it picks the largest along the axis itself")


def dropped(call: Call) -> Field:
    """Dropout: the identity, but at random in training."""
    mode = call.tensor(2)
    if mode is not None and (mode.value is None or mode.value.any()):
        return call.image.broken(call.node, "it drops pixels at random", dim=call.image.dim)
    return call.image


def scattered(call: Call) -> Field:
    """Operators that read from far away, along the axis or where the pixels say."""
    return merged(call).broken(call.node, "it reads far from where it writes")
