"""What a model is, in sentences for people who have not met it."""

from __future__ import annotations

from anyres_analyzer.report.facts import Axis, Cost, Output, Report
from anyres_analyzer.report.numbers import mebibytes, scaled
from anyres_analyzer.report.terminal import expected


def lead(report: Report) -> str:
    """One paragraph: what goes in and comes out, which sizes, at what cost."""
    sentences = [_input(report), *map(_output, report.outputs), sizes(report.width, report.height)]
    taken = next((cost for cost in report.costs if cost.refused is None), None)
    if taken is not None:
        sentences.append(_cost(taken))
    return " ".join(sentences)


def _input(report: Report) -> str:
    return (
        f"This model takes images of {report.input.channels} channels "
        f"({report.input.type}, called '{report.input.name}')."
    )


def _output(output: Output) -> str:
    channels = f"{output.channels:,} channel" + "s" * (output.channels != 1)
    if not output.dense:
        return f"Its output '{output.name}' is one answer of {channels} for the whole image."
    return f"Its output '{output.name}' is a map of {channels}{_density(output)}."


def _density(output: Output) -> str:
    width, height = output.field_width, output.field_height
    if width is None or height is None:
        return " that follows the image"
    if width.stride == height.stride == 1:
        return ", with an answer for every pixel"
    return f", with an answer for every {width.stride}x{height.stride} pixels"


def sizes(width: Axis, height: Axis) -> str:
    """Which sizes it takes."""
    if "unknown" in (width.verdict, height.verdict):
        return "Which sizes it is right for is not known."
    if width.maximum is not None and height.maximum is not None:
        only = _only(width, height)
        if "unsafe" in (width.verdict, height.verdict):
            return f"It is right for {only} alone, though it runs at other sizes."
        return f"It takes {only} and nothing else."
    if (width.verdict, height.verdict) == ("free", "free"):
        return f"It takes every size from {width.minimum}x{height.minimum} pixels on."
    if width == height:
        return f"Its sides must have {expected(width)} pixels."
    return f"Widths are {expected(width)}, heights {expected(height)} pixels."


def _only(width: Axis, height: Axis) -> str:
    if (width.minimum, height.minimum) == (width.maximum, height.maximum):
        return f"{width.minimum}x{height.minimum} pixels"
    return f"widths of {expected(width)} and heights of {expected(height)} pixels"


def _cost(cost: Cost) -> str:
    size = f"{cost.size[0]}x{cost.size[1]}"
    macs, bytes_ = cost.macs or 0, cost.activation_bytes or 0
    return (
        f"One image of {size} costs {scaled(macs)} multiply-adds (MACs) and, at the peak, "
        f"{mebibytes(bytes_)} of memory for activations."
    )
