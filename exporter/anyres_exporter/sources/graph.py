"""A graph that somebody gave: an ONNX file, its weights inside or beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from pydantic import ValidationError

from anyres_analyzer import analyze
from anyres_analyzer.errors import AnalysisError
from anyres_exporter.errors import BadRecipe
from anyres_proto.card import METADATA_KEY, Card, Description


def read_graph(path: Path) -> onnx.ModelProto:
    """The graph with its weights.

    Raises:
        BadRecipe: it is missing, no ONNX file, or lacks the file that its weights are in.
    """
    if not path.is_file():
        raise BadRecipe(f"{path} {'is no file' if path.exists() else 'does not exist'}")
    try:
        return onnx.load(path)
    except (DecodeError, OSError, ValueError, onnx.checker.ValidationError) as error:
        raise BadRecipe(f"{path} cannot be read as ONNX: {error}") from error


def described(path: Path) -> dict[str, Any]:
    """What its card says of it, as a recipe's fields; without a card, its name and its channels.

    Raises:
        BadRecipe: it cannot be read, its input is no image, or its card is none of ours.
    """
    graph = read_graph(path)
    text = next((entry.value for entry in graph.metadata_props if entry.key == METADATA_KEY), None)
    if text is not None:
        try:
            card = Card.model_validate_json(text)
        except ValidationError as error:
            raise BadRecipe(
                f"the card of {path} cannot be read: {error.errors()[0]['msg']}"
            ) from error
        return {key: getattr(card, key) for key in Description.model_fields}
    try:
        found = analyze(graph).input
    except AnalysisError as error:
        raise BadRecipe(f"{path}: {error}") from error
    plain = {"mean": (0.0,) * found.channels, "std": (1.0,) * found.channels}
    colour = "GRAY" if found.channels == 1 else "RGB"
    image = {"name": found.name, "channels": found.channels, "colour": colour} | plain
    return {"name": path.stem, "input": image}
