"""Stamps a card into a foreign model's file: derived from its graph, and not proven.

The graph is not touched, and neither is metadata of other keys. Two keys are ours:

    anyres.card         the card, as JSON
    anyres.bioimageio   the tensors in bioimage.io's words, as YAML, where asked for

A stamp replaces the one before it; what an author has proven is not replaced unless forced.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import onnx
from pydantic import ValidationError

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.graph.skim import skimmed
from anyres_exporter.bioimageio.tensors import fragment
from anyres_exporter.card.compose import Told, derived
from anyres_exporter.card.metadata import rewritten
from anyres_exporter.errors import NotStamped
from anyres_proto.card import METADATA_KEY, Card

BIOIMAGEIO_KEY = "anyres.bioimageio"


@dataclass(frozen=True)
class Stamped:
    """What was written, and where."""

    path: Path
    card: Card
    bioimageio: str | None


def stamp(
    model: Path, told: Told, out: Path | None = None, *, bioimageio: bool, force: bool
) -> Stamped:
    """Derive a model's card and write it into the file, or into a copy of it.

    Args:
        model: an ONNX file.
        told: what a person says about it.
        out: where to write the copy; the file itself by default.
        bioimageio: write its tensors in bioimage.io's words too.
        force: replace a card that has proofs.

    Raises:
        AnalysisError: the graph cannot be analysed.
        NotStamped: a proven card or external data would be lost, what was told does not fit, or
            the file cannot be written. The file is as it was.
    """
    target = (out or model).resolve()  # a link stays a link
    _refuse_folder(model, target)
    for path in {model.resolve(), target}:
        if not force and path.is_file():
            _refuse_proven(path)
    analysis = analyze(model)
    card = _derived(told, analysis)
    text = str(fragment(analysis, card)) if bioimageio else None
    entries = {METADATA_KEY: card.model_dump_json()}
    if text is not None:
        entries[BIOIMAGEIO_KEY] = text
    rewritten(model, target, entries, without=[BIOIMAGEIO_KEY])
    return Stamped(out or model, card, text)


def card_text(model: Path) -> str | None:
    """The card in a file, as it stands there; None where there is none.

    Raises:
        NotAModel: it cannot be read as ONNX.
    """
    entries = skimmed(model).model.metadata_props
    return next((entry.value for entry in entries if entry.key == METADATA_KEY), None)


def _refuse_folder(model: Path, target: Path) -> None:
    """External data is named relative to the file, so the file cannot leave its folder."""
    if target.is_dir():
        raise NotStamped(f"{target} is a folder; name a file")
    if target.parent == model.resolve().parent or target.parent == model.parent.resolve():
        return
    location = next(_external(skimmed(model).model.graph), None)
    if location is not None:
        raise NotStamped(
            f"{model} keeps weights in '{location}' beside it, which a copy in {target.parent} "
            "would not find; stamp it where it is, or copy its folder first"
        )


def _external(graph: onnx.GraphProto) -> Iterator[str]:
    """The files that the graph's tensors lie in."""
    held = (a.t for node in graph.node for a in node.attribute if a.HasField("t"))
    for tensor in chain(graph.initializer, held):
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            yield next((e.value for e in tensor.external_data if e.key == "location"), "")


def _refuse_proven(path: Path) -> None:
    proofs = _proofs(card_text(path))
    if proofs:
        raise NotStamped(
            f"{path} has a card that was proven at {proofs} size{'s' * (proofs > 1)}, "
            "and a stamp proves nothing; --force replaces it all the same"
        )


def _proofs(text: str | None) -> int:
    """How many; of a card of any schema, or of something that is no card."""
    try:
        found = json.loads(text or "{}")
    except ValueError:
        return 0
    proofs = found.get("proofs") if isinstance(found, dict) else None
    return len(proofs) if isinstance(proofs, list) else 0


def _derived(told: Told, analysis: Analysis) -> Card:
    channels = analysis.output.channels
    if told.classes and len(told.classes) != channels:
        raise NotStamped(
            f"{len(told.classes)} classes were named; '{analysis.output.name}' has "
            f"{channels} channels, one a class"
        )
    try:
        return derived(told, analysis)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "what was said"
        raise NotStamped(f"{where}: {first['msg']}") from error
