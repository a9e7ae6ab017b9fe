"""What a file's card says, held against its graph; and a card for a file that brings none."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from pydantic import ValidationError

from anyres_analyzer import Analysis
from anyres_proto.card import METADATA_KEY, Card, ImageInput, Output
from anyres_server.errors import ModelBroken


def card_for(name: str, metadata: Mapping[str, str], analysis: Analysis) -> Card:
    """The card in a file's metadata, or the one that its graph deserves.

    Raises:
        ModelBroken: it cannot be read, or it says what its graph does not.
    """
    text = metadata.get(METADATA_KEY)
    try:
        card = card_of(name, analysis) if text is None else Card.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelBroken(f"its card is wrong at {where}: {first['msg']}") from error
    _check_input(card.input, analysis)
    _check_tiling(card, analysis)
    return card


def check_outputs(card: Card, analysis: Analysis, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """The first output is served, and others by their names: they are what the graph makes.

    Raises:
        ModelBroken: a card speaks of outputs that are not the graph's.
    """
    made = {output.name: output.dtype for output in analysis.outputs}
    for said in card.outputs:
        if made.get(said.name) != said.dtype:
            there = ", ".join(f"{name!r} ({dtype})" for name, dtype in made.items())
            raise ModelBroken(
                f"its card speaks of output {said.name!r} ({said.dtype}); its graph gives {there}"
            )
    strides = {output.name: output.stride for output in analysis.outputs}
    for output in card.outputs:
        if output.dense and output.stride != strides[output.name]:
            raise ModelBroken(
                f"its card says that output {output.name!r} has stride {_words(output.stride)} "
                f"(height, width); its graph's has {_words(strides[output.name])}"
            )
        if output is card.output or output.dense:
            _check_channels(output, shapes[output.name])


def _check_channels(output: Output, shape: tuple[int, ...]) -> None:
    if _channels(output, shape) != output.channels:
        maps = _MAPS[output.layout].format(output.channels)
        raise ModelBroken(
            f"its output {output.name!r} has shape {shape}; served are (n, {output.channels}) "
            f"and {maps}"
        )


def _words(stride: tuple[Fraction, Fraction]) -> str:
    return f"{stride[0]}, {stride[1]}"


def card_of(name: str, analysis: Analysis) -> Card:
    """The card of a model that brings none: what its graph says, and the usual pixels (0..1)."""
    channels = analysis.input.channels
    return Card.model_validate(
        {
            "name": name,
            "description": "Made from the graph: the file has no card.",
            "task": "unknown",
            "input": ImageInput(
                name=analysis.input.name,
                channels=channels,
                dtype="uint8" if analysis.input.dtype == "uint8" else "float32",
                layout="NHWC" if analysis.input.layout == "NHWC" else "NCHW",
                colour="GRAY" if channels == 1 else "RGB",
                mean=(0.0,) * channels,
                std=(1.0,) * channels,
            ),
            "outputs": tuple(map(Output.model_validate, analysis.outputs)),
            "sizes": analysis.sizes,
            "receptive_field": analysis.receptive_field,
            "tiling": analysis.tiling,
            "parameters": analysis.parameters,
        }
    )


def _check_input(said: ImageInput, analysis: Analysis) -> None:
    taken = analysis.input
    is_so = (taken.name, taken.dtype, taken.layout, taken.channels)
    if (said.name, said.dtype, said.layout, said.channels) != is_so:
        raise ModelBroken(
            f"its card says input {said.name!r} is {said.dtype} {said.layout} of {said.channels} "
            f"channels; its graph takes {taken.name!r}, {taken.dtype} {taken.layout} of "
            f"{taken.channels}"
        )


def _check_tiling(card: Card, analysis: Analysis) -> None:
    """Tiles that see less than the graph needs are wrong at their edges, and nobody would know."""
    if not card.tiling.exact:
        return
    for axis in ("height", "width"):
        said, needed = getattr(card.tiling, axis), getattr(analysis.tiling, axis)
        if needed is None:
            why = ", ".join(analysis.tiling.breakers)
            raise ModelBroken(f"its card says that tiles are exact; its graph's are not: {why}")
        if (
            said.alignment % needed.alignment
            or said.halo_before < needed.halo_before
            or said.halo_after < needed.halo_after
        ):
            raise ModelBroken(
                f"its card says that tiles along the {axis} need {_rule(said)}; its graph needs "
                f"{_rule(needed)}"
            )


def _rule(axis: Any) -> str:
    halos = f"{axis.halo_before} and {axis.halo_after}"
    return f"starts at multiples of {axis.alignment} and halos of {halos} pixels"


_MAPS = {"NCHW": "(n, {0}, h, w)", "NHWC": "(n, h, w, {0})", "NHW": "(n, h, w)"}


def _channels(output: Output, shape: tuple[int, ...]) -> int | None:
    """How many channels an output of this shape has; None where it is none that is served."""
    match len(shape):
        case 1:
            return 1
        case 2:
            return shape[1]
        case 3:
            return 1 if output.layout == "NHW" else None
        case 4:
            return shape[3 if output.layout == "NHWC" else 1]
        case _:
            return None
