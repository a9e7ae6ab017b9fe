"""What was proven of a model, written into its card; its graph stays as it is, byte for byte."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from anyres_analyzer import Analysis
from anyres_exporter.card.compose import UNPROVEN, Told, derived
from anyres_exporter.card.metadata import rewritten
from anyres_exporter.card.stamp import card_text
from anyres_exporter.errors import NotStamped
from anyres_exporter.proof.proving import Verdict
from anyres_proto.card import METADATA_KEY, Card


def stamped(
    model: Path, name: str, analysis: Analysis, verdict: Verdict, original: Mapping[str, str]
) -> Card:
    """Put the proofs into a model's card, or into a new one that its graph tells.

    Args:
        model: the file.
        name: what a model without a card is called.
        analysis: of its graph.
        verdict: what was found.
        original: what it was proven against, for the provenance.

    Raises:
        NotStamped: nothing was proven, its card is none of ours, or the file cannot be written.
    """
    if not verdict.proven:
        raise NotStamped(f"{model} is not proven, so there is nothing to stamp")
    card = _card(model, name, analysis)
    before = {key: value for key, value in card.provenance.items() if value != UNPROVEN}
    against = {f"proven.{key}": value for key, value in original.items()}
    card = card.model_copy(update={"proofs": verdict.proofs(), "provenance": before | against})
    rewritten(model, model.resolve(), {METADATA_KEY: card.model_dump_json()})
    return card


def _card(model: Path, name: str, analysis: Analysis) -> Card:
    text = card_text(model)
    if text is None:
        return derived(Told(name), analysis)
    try:
        return Card.model_validate_json(text)
    except ValidationError as error:
        raise NotStamped(
            f"the card of {model} cannot be read: {error.errors()[0]['msg']}"
        ) from error
