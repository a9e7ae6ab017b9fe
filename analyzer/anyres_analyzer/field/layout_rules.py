"""Operators that move the axis to another dimension, or let it end."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from anyres_analyzer.field import reach
from anyres_analyzer.field.border_rules import repeated
from anyres_analyzer.field.breaker import Effect, MadeFor
from anyres_analyzer.field.field import Field, Flat
from anyres_analyzer.field.merge_rules import merged, pointwise
from anyres_analyzer.field.propagation import Call

FLATTENS = "it flattens the axis into others"


def moved(call: Call) -> Field:
    """Transpose."""
    image, rank = call.image, call.rank
    if image.dim is None:
        return image
    order = call.node.attributes.get("perm") or tuple(reversed(range(rank)))
    return replace(image, dim=list(order).index(rank + image.dim) - rank)


def joined(call: Call) -> Field:
    """Concat."""
    image, rank = pointwise(call), call.rank
    if image.dim is not None and call.node.attributes["axis"] % rank == rank + image.dim:
        return image.broken(call.node, "it joins maps along the axis itself", dim=image.dim)
    return image


def divided(call: Call) -> Field:
    """Split."""
    image, rank = call.image, call.rank
    if image.dim is not None and call.node.attributes.get("axis", 0) % rank == rank + image.dim:
        return image.broken(call.node, "it splits the axis itself", dim=image.dim)
    return image


def gathered(call: Call) -> Field:
    """Gather."""
    image, rank = call.image, call.rank
    if image.dim is None:
        return image
    axis = call.node.attributes.get("axis", 0) % rank
    indices = call.tensor(1)
    if call.fields[0] is None or any(call.fields[1:]):
        return image.broken(call.node, "it picks positions along the axis")
    if axis == rank + image.dim:
        return _picked(call, call.constant(1))
    added = len(indices.shape) - 1 if indices else 0
    return replace(image, dim=image.dim - added * (axis > rank + image.dim))


def gathered_at_points(call: Call) -> Field:
    """GatherND: rows of indices into the first dimensions after the batch's."""
    image, rank, indices = call.image, call.rank, call.tensor(1)
    if image.dim is None or indices is None:
        return image
    if call.fields[0] is None or any(call.fields[1:]):
        return image.broken(call.node, "it picks positions along the axis")
    column = rank + image.dim - call.node.attributes.get("batch_dims", 0)
    deep = indices.shape[-1]
    if 0 <= column < deep:
        points = call.constant(1)
        return _picked(call, points[column::deep] if points else None)
    return image.broken(call.node, "it picks positions beside the axis", dim=None)


def _picked(call: Call, positions: tuple[float, ...] | None) -> Field:
    """Positions along the axis. A single one (the first row, say) is meant; several that are the
    same at every size were made for one size. What others mean that are computed from the size, as
    torch's export of an adaptive pool does, nobody can tell from the graph: it is wrong at most.
    """
    image, indices = call.image, call.tensor(1)
    assert image.dim is not None, "the callers have looked"
    assert indices is not None, "a required input that ONNX's checker guarantees"
    if not indices.shape or indices.elements == indices.shape[-1] == 1:
        return image.broken(call.node, "it picks one position along the axis")
    if call.varies(1) or call.samples.one_size:
        padded = repeated(call)
        if padded is not None:
            return padded
    if call.varies(1):
        return image.unknown(call.node, "it picks positions that are computed from the size")
    cells = int(max(positions)) + 1 if positions else None
    return image.broken(
        call.node,
        f"it picks the same positions of {cells or 'its map'} whatever the size",
        effect=Effect.BAKED,
        made_for=MadeFor(call.node.inputs[0], image.dim, cells) if cells else None,
    )


def reshaped(call: Call) -> Field:
    """Reshape and its kin: the axis lives on where it stays a dimension of its own.

    Flattening (n, c, h, w) to (n, c*h*w) merges it; (n, c, h, w) to (n, g, c/g, h, w) does not. A
    flattened map that gets its shape again is a map again.
    """
    image, rank = call.image, call.rank
    source, target = call.node.inputs[0], call.node.outputs[0]
    if image.dim is None:
        shapes = tuple(tensors[target].shape for tensors in call.samples)
        return image.restored(image.flat) if image.flat and shapes == image.flat.shapes else image
    dims = [
        _same_dimension(tensors[source].shape, tensors[target].shape, rank + image.dim)
        for tensors in call.samples
    ]
    if None in dims or len(set(dims)) > 1:
        shapes = tuple(tensors[source].shape for tensors in call.samples)
        return image.flattened(call.node, FLATTENS, Flat(shapes, image.dim))
    return replace(image, dim=dims[0])


def _same_dimension(source: tuple[int, ...], target: tuple[int, ...], position: int) -> int | None:
    """Where dimension `position` of `source` is in `target`, counted from the end."""
    before = prod(source[:position])
    for index, size in enumerate(target):
        if size == source[position] and prod(target[:index]) == before:
            return index - len(target)
    return None


def expanded(call: Call) -> Field:
    """Expand: an axis that is there stays; one of a single cell is repeated."""
    return call.image


def shuffled(call: Call) -> Field:
    """DepthToSpace."""
    if call.image.dim is None:
        return call.image
    return call.image.through(reach.pixel_shuffle(call.node.attributes["blocksize"]), call.node)


def unshuffled(call: Call) -> Field:
    """SpaceToDepth."""
    if call.image.dim is None:
        return call.image
    return call.image.through(reach.pixel_unshuffle(call.node.attributes["blocksize"]), call.node)


def multiplied(call: Call) -> Field:
    """MatMul and Gemm: a contraction over space ties every pixel to every other."""
    image = call.image
    if sum(field is not None for field in call.fields[:2]) > 1:
        return merged(call).broken(call.node, "it multiplies the map with itself (attention)")
    if image.dim is None:
        return image
    left = call.fields[0] is not None
    vector = call.tensor(1 if left else 0)
    if call.rank == 1 or vector is None or len(vector.shape) == 1:
        return image.broken(call.node, "it contracts the map with a vector")
    swapped = call.node.attributes.get("transA" if left else "transB", 0)
    contracted = -1 if left != bool(swapped) else -2
    if image.dim == contracted:
        return image.broken(call.node, "its weights contract the axis itself")
    return replace(image, dim=-2 if left else -1) if image.dim in (-1, -2) else image
