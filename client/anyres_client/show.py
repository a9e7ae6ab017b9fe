"""What the command line prints: tables for people, JSON for machines."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from anyres_client.answers import Estimate, ModelSummary, Size, percent, size_text
from anyres_client.doctor import Finding
from anyres_client.errors import InvalidRequest
from anyres_client.instances import Instance
from anyres_client.prediction import Prediction
from anyres_client.printable import printable
from anyres_proto.card import AxisContract, Card

Done = Sequence[tuple[Path, Prediction]]
Estimates = Sequence[tuple[Size, Estimate | InvalidRequest]]  # or why there can be none

STATES = {"ok": "green", "missing": "yellow", "broken": "bold red"}
WIDEST = 100  # columns; longer lines are hard to read, however wide the screen


def _print(table: Table) -> None:
    console = Console()
    console.print(table, width=min(WIDEST, console.width))


def predictions_as_table(done: Done) -> None:
    """One row a photo: size, grid, route, time, and the shares of its classes.

    A photo is called by its name alone where no other has the same: paths leave no room for more.
    """
    if not done:
        return
    table = Table(box=None, pad_edge=False)
    for heading in ("photo", "size", "grid", "route", "ms"):
        table.add_column(heading, no_wrap=heading != "photo", overflow="fold")
    table.add_column("classes, by share of the cells")
    names = {photo.name for photo, _ in done}
    for photo, prediction in done:
        table.add_row(
            Text(photo.name if len(names) == len(done) else str(photo)),
            size_text(prediction.image_size),
            size_text(prediction.grid_size),
            _route(prediction),
            f"{prediction.timing.total_s * 1000:.0f}",
            Text(_shares(prediction)),
        )
    _print(table)


def _route(prediction: Prediction) -> str:
    tiles = f", {prediction.pieces} tiles" if prediction.route == "tiled" else ""
    return prediction.route + tiles


def _shares(prediction: Prediction) -> str:
    if "classes" not in prediction.outputs:
        return "not asked for"
    return ", ".join(f"{share.name} {percent(share.share)}" for share in prediction.shares(3))


def predictions_as_json(done: Done, *, objects: bool = False) -> None:
    """One line a photo, with its objects where they were asked for."""
    for photo, prediction in done:
        line = {"photo": str(photo), **prediction.summary(shares=10)}
        if objects:
            line["objects"] = [_object(each) for each in prediction.instances()]
        sys.stdout.write(json.dumps(line) + "\n")


def _object(instance: Instance) -> dict[str, Any]:
    """All of an object but its cells."""
    fields = dataclasses.fields(instance)
    return {each.name: getattr(instance, each.name) for each in fields if each.repr}


def models_as_table(models: Sequence[ModelSummary]) -> None:
    """One row a model; one that failed to load says why."""
    table = Table(box=None, pad_edge=False)
    for heading in ("model", "versions", "task", "state", "sizes"):
        table.add_column(heading, overflow="fold")
    for model in models:
        state = "ready" if model.ready else "not ready"
        trouble = f"; not all is served: {model.reason}" if model.reason else ""
        what = model.sizes + trouble if model.ready else model.reason
        versions = ", ".join(model.versions)
        table.add_row(*map(Text, (model.name, versions, model.task, state, what)))
    _print(table)


def models_as_json(models: Sequence[ModelSummary]) -> None:
    """A list."""
    sys.stdout.write(json.dumps([dataclasses.asdict(model) for model in models]) + "\n")


def estimates_as_table(estimates: Estimates) -> None:
    """One row a size; why one would be refused goes to standard error."""
    table = Table(box=None, pad_edge=False)
    for heading in ("size", "route", "grid", "GMACs", "memory", "seconds"):
        table.add_column(heading, justify="left" if heading == "route" else "right")
    for size, found in estimates:
        table.add_row(size_text(size), *_estimate(found))
    _print(table)
    for size, found in estimates:
        if reason := refusal(found):
            said = printable(" ".join(reason.split()))
            sys.stderr.write(f"anyres estimate: {size_text(size)}: {said}\n")


def _estimate(found: Estimate | InvalidRequest) -> Sequence[str]:
    if isinstance(found, InvalidRequest):
        return ("refused",)
    tiles = f", {found.pieces} tiles" if found.route == "tiled" else ""
    return (
        found.route + tiles,
        size_text(found.grid_size),
        f"{found.macs / 1e9:,.2f}",
        f"{found.activation_bytes / 2**20:,.0f} MiB",
        "" if found.compute_s is None else f"{found.compute_s:,.3f}",
    )


def refusal(found: Estimate | InvalidRequest) -> str:
    """Why an image of a size would be refused; empty where it would not."""
    return str(found) if isinstance(found, InvalidRequest) else found.reason


def estimates_as_json(estimates: Estimates) -> None:
    """One line a size; one that the model does not take has its route and reason alone."""
    for (height, width), found in estimates:
        line: dict[str, Any] = {"width": width, "height": height}
        if isinstance(found, InvalidRequest):
            line |= {"route": "refused", "reason": str(found)}
        else:
            line |= dataclasses.asdict(found)
        sys.stdout.write(json.dumps(line) + "\n")


def card_as_json(card: Card) -> None:
    """The card itself."""
    sys.stdout.write(card.model_dump_json(indent=2) + "\n")


def card_as_text(card: Card) -> None:
    """The card in words."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for what, said in card_rows(card).items():
        table.add_row(what, Text(said))
    _print(table)


def card_rows(card: Card) -> dict[str, str]:
    """What a card says, in words, by what it speaks of; only what there is something to say of."""
    rows = {
        "model": card.name,
        "": card.description,
        "task": f"{card.task}, {len(card.classes) or card.output.class_count} classes",
        "height": _axis(card.sizes.height),
        "width": _axis(card.sizes.width),
        "answers": _answers(card),
        "padding": _padding(card),
        "tiles": _tiles(card),
        "parameters": f"{card.parameters:,}",
        "proven": _proven(card),
    }
    return {what: said for what, said in rows.items() if said}


def _axis(axis: AxisContract) -> str:
    by = f", by node {axis.node}: {axis.reason}" if axis.node else ""
    return f"{axis.verdict}: {axis.expected()}{by}"


def _answers(card: Card) -> str:
    if not card.output.dense:
        return "one for the whole image"
    height, width = card.output.stride
    if height == width == 1:
        return "one for every pixel"
    return f"one every {height} x {width} pixels"


def _padding(card: Card) -> str:
    padding = card.padding
    if padding is None:
        return ""
    steps = " and ".join(map(str, dict.fromkeys((padding.width.step, padding.height.step))))
    return f"to multiples of {steps} ({padding.mode}), cropped"


def _tiles(card: Card) -> str:
    height = card.tiling.height
    if height is None:
        return f"not exact, because of {'; '.join(card.tiling.breakers) or 'its fixed size'}"
    return f"exact: from multiples of {height.alignment}, halo {height.halo_before} pixels"


def _proven(card: Card) -> str:
    if not card.proofs:
        return ""
    worst = max(proof.max_rel_error for proof in card.proofs)
    return f"at {len(card.proofs)} sizes, worst error {worst:.1e} of the largest value"


def findings_as_table(findings: Sequence[Finding]) -> None:
    """One row a finding, in the colour of its state."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        state = Text(finding.state, style=STATES[finding.state])
        table.add_row(state, Text(finding.what), Text(finding.said))
    _print(table)


def findings_as_json(findings: Sequence[Finding]) -> None:
    """One line a finding."""
    for finding in findings:
        sys.stdout.write(json.dumps(dataclasses.asdict(finding)) + "\n")
