"""Operators that took something in another way before: an attribute for an input, or not at all.

Every rule writes nodes that opset 13 has, and leaves what the older definition has, too, as it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from anyres_exporter.rewrite.older.site import Site

_END = np.iinfo(np.int64).max


def reduced(site: Site) -> None:
    """Reduce* before 18: the axes are an attribute."""
    axes = _axes(site, 1)
    kept = {"keepdims": site.attributes.get("keepdims", 1)}
    if axes:
        site.end(site.node.op_type, site.node.input[:1], axes=axes, **kept)
    elif not site.attributes.get("noop_with_empty_axes", 0):
        site.end(site.node.op_type, site.node.input[:1], **kept)
    elif site.node.op_type in ("ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"):
        site.end("Identity", site.node.input[:1])
    else:
        site.refuse("it reduces over no axis")


def padded(site: Site) -> None:
    """Pad before 18: every axis is listed, begins first, then ends."""
    axes = _axes(site, 3)
    if axes is None:
        return _same(site, drop=())
    rank, count = len(site.shape(0)), len(axes)
    where = [0] * (2 * rank)  # into [0, *pads]
    for position, axis in enumerate(axes):
        where[axis % rank] = 1 + position
        where[rank + axis % rank] = 1 + count + position
    pads = _spread(site, site.node.input[1], "pads", 0, where)
    site.end("Pad", [site.node.input[0], pads, *site.node.input[2:3]], **_kept(site, ()))
    return None


def split(site: Site) -> None:
    """Split before 18: parts that are not all equal are listed."""
    if "num_outputs" not in site.attributes:
        return _same(site, drop=())
    axis, parts = site.attributes.get("axis", 0), len(site.node.output)
    data = site.node.input[0]
    axis %= len(site.shape(0))
    size = site.shape(0)[axis]
    if size is None:
        sizes = _computed_parts(site, axis, parts)
    else:
        part = -(-size // parts)
        sizes = site.number("split", [part] * (parts - 1) + [size - part * (parts - 1)])
    site.end("Split", [data, sizes], axis=axis)
    return None


def _computed_parts(site: Site, axis: int, parts: int) -> str:
    """ceil(size / parts), and for the last what is left."""
    shape = site.add("Shape", site.node.input[:1], "shape")
    size = site.add("Gather", [shape, site.number("axis", [axis])], "size")
    up = site.add("Add", [size, site.number("up", [parts - 1])], "up_to")
    part = site.add("Div", [up, site.number("parts", [parts])], "part")
    others = site.add("Mul", [part, site.number("others", [parts - 1])], "before")
    last = site.add("Sub", [size, others], "last")
    return site.add("Concat", [part] * (parts - 1) + [last], "split", axis=0)


def resized(site: Site) -> None:
    """Resize before 18: scales or sizes are of every axis."""
    axes = site.attributes.get("axes")
    if axes is None:
        return _same(site, drop=())
    if site.attributes.get("coordinate_transformation_mode") == b"tf_crop_and_resize":
        site.refuse("it crops along some axes only")
    rank = len(site.shape(0))
    data, _, scales, sizes = [*site.node.input, "", "", ""][:4]
    if sizes:
        where = list(range(rank))  # into [*shape, *sizes]
        for position, axis in enumerate(axes):
            where[axis % rank] = rank + position
        shape = site.add("Shape", [data], "shape")
        sizes = _gathered(site, [shape, sizes], "sizes", where)
    else:
        where = [0] * rank  # into [1, *scales]
        for position, axis in enumerate(axes):
            where[axis % rank] = 1 + position
        scales = _spread(site, scales, "scales", 1.0, where)
    inputs = [data, "", scales, sizes] if sizes else [data, "", scales]
    site.end("Resize", inputs, **_kept(site, ("axes",)))
    return None


def shape(site: Site) -> None:
    """Shape before 15: of every axis."""
    start, end = site.attributes.get("start", 0), site.attributes.get("end", _END)
    if (start, end) == (0, _END):
        return site.end("Shape", site.node.input)
    whole = site.add("Shape", site.node.input, "whole")
    return site.end("Slice", [whole, site.number("start", [start]), site.number("end", [end])])


def reshaped(site: Site) -> None:
    """Reshape before 14: a zero always means the input's own size.

    A shape that is computed from an image has no zeros, for no image is empty.
    """
    target = site.constant(1)
    if site.attributes.get("allowzero") and target is not None and 0 in target:
        site.refuse("it makes an empty tensor")
    _same(site, drop=("allowzero",))


def sampled(site: Site) -> None:
    """GridSample before 20: of images only, and the modes had other names."""
    if len(site.shape(0)) != 4:
        site.refuse("it samples something else than images")
    names = {b"linear": "bilinear", b"cubic": "bicubic", b"nearest": "nearest"}
    mode = names[site.attributes.get("mode", b"linear")]
    site.end("GridSample", site.node.input, mode=mode, **_kept(site, ("mode",)))


def aligned(site: Site) -> None:
    """RoiAlign before 16: only the way that was the default then."""
    if site.attributes.get("coordinate_transformation_mode") != b"output_half_pixel":
        site.refuse("coordinates were not shifted by half a pixel then")
    _same(site, drop=("coordinate_transformation_mode",))


def pooled(site: Site) -> None:
    """AveragePool before 19, LpPool before 18: not dilated."""
    undilated = set(site.attributes.get("dilations", [1])) == {1}
    _same(site, drop=("dilations",) if undilated else ())


def cast_like(site: Site) -> None:
    """CastLike, of opset 15: Cast to a type that is known."""
    site.end("Cast", site.node.input[:1], to=site.element_type(1), **_kept(site, ()))


def quantized(site: Site) -> None:
    """QuantizeLinear before 21: the zero point alone says the type."""
    _same(site, drop=("output_dtype",) if site.has(2) else ())


def transformed(site: Site) -> None:
    """DFT before 20: another axis was meant where none is named."""
    site.refuse("its axis was an attribute")


def _axes(site: Site, index: int) -> list[int] | None:
    """The axes in an input; None where there is none."""
    if not site.has(index):
        return None
    axes = site.constant(index)
    if axes is None:
        site.refuse("its axes are computed in the graph")
    return [int(axis) for axis in axes]


def _spread(site: Site, values: str, hint: str, rest: float, where: Sequence[int]) -> str:
    """`values` at the axes that are theirs, `rest` at the others."""
    first = site.number(f"{hint}_else", [rest], np.float32 if isinstance(rest, float) else np.int64)
    return _gathered(site, [first, values], hint, where)


def _gathered(site: Site, parts: Sequence[str], hint: str, where: Sequence[int]) -> str:
    together = site.add("Concat", parts, f"{hint}_given", axis=0)
    return site.add("Gather", [together, site.number(f"{hint}_where", where)], hint)


def _same(site: Site, drop: Sequence[str]) -> None:
    site.end(site.node.op_type, site.node.input, **_kept(site, drop))


def _kept(site: Site, drop: Sequence[str]) -> dict[str, object]:
    return {name: value for name, value in site.attributes.items() if name not in drop}
