"""An evaluation for a terminal of 100 columns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anyres_exporter.evaluate.metrics import ClassScore, Scores, confusions
from anyres_exporter.evaluate.report import (
    Classification,
    Regression,
    Report,
    Segmentation,
)

COLUMNS = 100
ALL_CLASSES = 40  # that are listed; of more, the worst
WORST_CLASSES = 15
CONFUSIONS = 5
BAR = 10  # characters of a full bar


def show(report: Report, console: Console) -> None:
    """Print the report."""
    width = min(COLUMNS, console.width)
    console.print(_title(report), width=width)
    for heading, body in _SECTIONS[type(report.result)](report, report.result):
        console.print()
        console.print(Text(heading, "bold"), width=width)
        console.print(Padding(body, (0, 0, 0, 2)), width=width)
    for note in (*_missing(report), *report.notes):
        console.print()
        console.print(Text(f"note: {note}", "yellow"), width=width)


def _title(report: Report) -> RenderableType:
    covered = report.coverage
    what = f"{report.task} of {_count(covered.pictures, 'picture')}"
    if covered.compared != covered.pictures:
        what += f", {_count(covered.compared, 'pixel')} compared"
    rate = f" in {covered.seconds:.1f} s"
    return Text.assemble((report.model, "bold cyan"), (f"  {what}{rate}", "dim"))


def _segmentation(report: Report, result: Segmentation) -> Iterator[tuple[str, RenderableType]]:
    scores = result.scores
    classes = len(scores.classes)
    with_accuracy = classes - len(scores.absent)
    with_iu = sum(one.iu is not None for one in scores.classes)
    rows = _grid()
    rows.add_row("pixel accuracy", _percent(scores.pixel_accuracy), "")
    rows.add_row("mean accuracy", _percent(scores.mean_accuracy), _over(with_accuracy, classes))
    rows.add_row("mean IU", Text(_percent(scores.mean_iu), "bold"), _over(with_iu, classes))
    rows.add_row("frequency-weighted IU", _percent(scores.frequency_weighted_iu), "")
    yield "How right it is (Long et al., 2015)", rows
    yield from _classes(report, scores, "pixel", iu=True)
    yield from _taken_for(report, result.counts, "pixel")


def _classification(report: Report, result: Classification) -> Iterator[tuple[str, RenderableType]]:
    scores = result.scores
    rows = _grid()
    rows.add_row("top-1 accuracy", Text(_percent(result.top1), "bold"), "")
    if result.top5 is not None:
        rows.add_row("top-5 accuracy", _percent(result.top5), "")
    classes = len(scores.classes)
    over = _over(classes - len(scores.absent), classes)
    rows.add_row("mean accuracy", _percent(scores.mean_accuracy), over)
    yield "How right it is", rows
    yield from _classes(report, scores, "picture", iu=False)
    yield from _taken_for(report, result.counts, "picture")


def _regression(report: Report, result: Regression) -> Iterator[tuple[str, RenderableType]]:
    rows = _table("", "values", "MAE", "RMSE", "R^2", "furthest off")
    for name, one in zip(report.names, result.channels, strict=True):
        r2 = "-" if one.r2 is None else f"{one.r2:.4f}"
        worst = "-"
        if one.worst is not None:
            at = f" at {one.worst.pixel[0]},{one.worst.pixel[1]}" if one.worst.pixel else ""
            worst = f"{one.worst.found:.6g} for {one.worst.label:.6g} in {one.worst.picture}{at}"
        rows.add_row(name, f"{one.count:,}", f"{one.mae:.6g}", f"{one.rmse:.6g}", r2, worst)
    body: RenderableType = rows
    if any(one.r2 is None for one in result.channels):
        body = Group(rows, Text("R^2 is undefined where all labels are equal.", "dim"))
    yield "How far off it is", body


def _classes(
    report: Report, scores: Scores, unit: str, *, iu: bool
) -> Iterator[tuple[str, RenderableType]]:
    """Each class that the labels name or the model found; of very many the worst."""
    quality = _iu if iu else _accuracy
    listed = [
        (name, one)
        for name, one in zip(report.names, scores.classes, strict=True)
        if len(scores.classes) <= ALL_CLASSES or one.labelled
    ]
    heading = "By class"
    if len(listed) > ALL_CLASSES:
        listed = sorted(listed, key=lambda named: quality(named[1]) or 0.0)[:WORST_CLASSES]
        heading = f"The {WORST_CLASSES} worst of {len(scores.classes)} classes"
    total = sum(one.labelled for one in scores.classes)
    columns = ("", f"{unit}s", "share", "accuracy", "precision", *(("IU",) if iu else ()), "")
    rows = _table(*columns)
    for name, one in listed:
        cells = [f"{one.labelled:,}", _percent(one.labelled / total)]
        cells += [_percent(one.accuracy), _percent(one.precision)]
        cells += [_percent(one.iu)] if iu else []
        absent = None if one.labelled else "dim"
        rows.add_row(name, *cells, _bar(quality(one)), style=absent)
    yield heading, Group(rows, *_absent(scores, iu=iu))


def _absent(scores: Scores, *, iu: bool) -> Iterator[Text]:
    if not scores.absent:
        return
    found = sum(scores.classes[i].predicted > 0 for i in scores.absent)
    text = f"{_count(len(scores.absent), 'class', 'classes')} in no label: no accuracy"
    if iu:
        text += f"; {found} found all the same, whose IU of 0 counts" if found else " and no IU"
    yield Text(f"{text} (means are over the others).", "dim")


def _taken_for(report: Report, counts: Any, unit: str) -> Iterator[tuple[str, RenderableType]]:
    mistakes = confusions(counts, CONFUSIONS)
    if not mistakes:
        return
    labelled = counts.sum(axis=1)
    rows = _grid()
    for true, found, often in mistakes:
        share = _percent(often / int(labelled[true]))
        rows.add_row(
            report.names[true],
            Text("taken for", "dim"),
            report.names[found],
            _count(often, unit),
            Text(f"{share} of {report.names[true]}", "dim"),
        )
    yield "What it mistakes most", rows


def _missing(report: Report) -> Iterator[str]:
    """What was not compared, and why."""
    covered = report.coverage
    if covered.tiled:
        yield f"{_count(covered.tiled, 'picture')} went through in exact tiles"
    if covered.ignored:
        yield f"{_count(covered.ignored, 'pixel')} that the labels say to ignore"
    if covered.unanswered:
        labelled = covered.unanswered + covered.compared
        yield (
            f"{_count(covered.unanswered, 'labelled pixel')} "
            f"({_percent(covered.unanswered / labelled)}) lie outside what the network answers "
            "for, and are not counted"
        )
    if covered.unlabelled:
        yield f"{_count(covered.unlabelled, 'picture')} without a label left out"
    if covered.unused:
        yield f"{_count(covered.unused, 'label')} without a picture"


def _iu(one: ClassScore) -> float | None:
    return one.iu


def _accuracy(one: ClassScore) -> float | None:
    return one.accuracy


def _over(some: int, classes: int) -> Text:
    """How many classes a mean is over, where it is not over all."""
    return Text(f"over {some} of {classes} classes" if some < classes else "", "dim")


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.2f} %"


def _bar(share: float | None) -> Text:
    if share is None:
        return Text("")
    full = round(share * BAR)
    return Text.assemble(("━" * full, "cyan"), ("━" * (BAR - full), "bright_black"))


def _grid() -> Table:
    return Table.grid(padding=(0, 2), pad_edge=False)


def _table(*columns: str) -> Table:
    """Headings without lines; numbers to the right, words to the left."""
    rows = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        words = column in {"", "furthest off"}
        rows.add_column(column, justify="left" if words else "right")
    return rows


_SECTIONS: dict[type, Callable[[Report, Any], Iterator[tuple[str, RenderableType]]]] = {
    Segmentation: _segmentation,
    Classification: _classification,
    Regression: _regression,
}
