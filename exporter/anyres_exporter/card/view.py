"""A card for people, in 100 columns: sizes, field, tiles, cost, proofs, and where it is from."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import TypeVar

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from anyres_exporter.card.precision_table import table
from anyres_proto.card import Card, Conversion, ImageInput, Output, Term

Value = TypeVar("Value")

COLUMNS = 100
_COLOURS = {
    "free": "green",
    "stepped": "yellow",
    "fixed": "red",
    "unsafe": "bold red",
    "unknown": "magenta",
}
_CLASSES = 8  # that are named; of more, how many


def show(card: Card, console: Console) -> None:
    """Print the card."""
    width = min(COLUMNS, console.width)
    console.print(_title(card), width=width)
    for heading, body in (
        ("What goes in and what comes out", _tensors(card)),
        ("Which sizes it takes", _sizes(card)),
        ("What one output pixel sees", _field(card)),
        ("Can an image be cut into tiles?", _tiling(card)),
        ("What it costs", _cost(card)),
        ("What was proven", _proofs(card)),
        ("Where it comes from", _provenance(card)),
    ):
        console.print()
        console.print(Text(heading, "bold"), width=width)
        console.print(Padding(body, (0, 0, 0, 2), expand=False), width=width)


def _title(card: Card) -> RenderableType:
    title = Text.assemble(
        (card.name, "bold cyan"), (f"  task {card.task}, {card.parameters:,} parameters", "dim")
    )
    return Group(title, Text(card.description, "dim")) if card.description else title


def _tensors(card: Card) -> RenderableType:
    image = card.input
    table = _grid()
    table.add_row(
        Text("in", "bold"),
        Text(f"'{image.name}', {_image(image)}"),
        Text(_made_of(image), "dim"),
    )
    for output in card.outputs:
        what = "a map" if output.dense else "one answer for the whole image"
        table.add_row(
            Text("out", "bold"),
            Text(f"'{output.name}', {_numbers(output)}: {what}"),
            Text(_names(card) if output is card.output else "", "dim"),
        )
    return table


def _image(image: ImageInput) -> str:
    """Floats are usual, bytes and channels that come last are said."""
    words = [f"{image.channels} channels", image.colour]
    words += ["bytes"] if image.dtype == "uint8" else []
    words += ["channels last"] if image.layout == "NHWC" else []
    return ", ".join(words)


def _made_of(image: ImageInput) -> str:
    if image.dtype == "uint8":
        return "as they were decoded"
    mean, std = (", ".join(f"{n:g}" for n in numbers) for numbers in (image.mean, image.std))
    return f"(pixel * {_plain(image.scale)} - ({mean})) / ({std})"


def _numbers(output: Output) -> str:
    if output.meaning == "class_map":
        return f"one of {output.class_count} classes, {output.dtype}"
    if output.meaning == "mask":
        return f"{output.channels} mask{'s' * (output.channels > 1)} of 0 and 1"
    if output.meaning.startswith("top_k"):
        what = "classes" if output.meaning == "top_k_classes" else "probabilities"
        return f"the {output.channels} best {what} of {output.class_count}"
    last = ", channels last" if output.layout == "NHWC" else ""
    return f"{output.channels} channels of {output.meaning}{last}"


def _plain(scale: float) -> str:
    """1/255 rather than 0.00392157, where it is that."""
    simple = Fraction(scale).limit_denominator(1000)
    return str(simple) if float(simple) == scale else f"{scale:g}"


def _names(card: Card) -> str:
    names = [each.name for each in card.classes]
    more = f", ... {len(names)} classes" if len(names) > _CLASSES else ""
    return ", ".join(names[:_CLASSES]) + more


def _sizes(card: Card) -> RenderableType:
    table = _grid()
    for axis, contract in _by_axis(card.sizes.height, card.sizes.width):
        why = Text.assemble((contract.node or "", "cyan"), ": " if contract.node else "")
        why.append(contract.reason, "dim")
        verdict = Text(contract.verdict, _COLOURS[contract.verdict])
        table.add_row(axis, verdict, Text(contract.expected()), why)
    if card.padding is None:
        return table
    height, width = card.padding.height, card.padding.width
    steps = " and ".join(dict.fromkeys(f"{a.minimum} + k x {a.step}" for a in (height, width)))
    return Group(table, Text(f"The graph pads to {steps} ({card.padding.mode}).", "dim"))


def _field(card: Card) -> RenderableType:
    field = card.receptive_field
    if field is None:
        return Text("The whole image, or unknown: what stands against tiles says why.")
    table = _table(("", "left"), "receptive field", "stride", "reads from", "to")
    for axis, along in _by_axis(field.height, field.width):
        table.add_row(axis, f"{along.size} px", str(along.stride), str(along.low), str(along.high))
    return Group(table, Text("pixels, from stride x (row or column of the output) on", "dim"))


def _tiling(card: Card) -> RenderableType:
    height, width = card.tiling.height, card.tiling.width
    if height is None or width is None:
        against = _grid()
        for breaker in card.tiling.breakers:
            against.add_row(Text(breaker, "dim"))
        return Group(Text("No. What stands against it:", "red"), against)
    table = _table(("", "left"), "starts on multiples of", "halo before", "halo after")
    for axis, along in _by_axis(height, width):
        before, after = f"{along.halo_before} px", f"{along.halo_after} px"
        table.add_row(axis, str(along.alignment), before, after)
    return Group(Text("Yes, tiles equal the whole image.", "green"), table)


def _cost(card: Card) -> RenderableType:
    if card.cost is None:
        return Text("The card does not say.", "dim")
    table = _table("W x H", "MACs", "peak activations")
    for at in card.cost.at:
        peak = f"{at.activation_bytes / 2**20:,.1f} MiB"
        table.add_row(f"{at.width} x {at.height}", f"{at.macs:,}", peak)
    formula = card.cost.formula
    if formula is None or formula.minimum == (card.sizes.width.maximum, card.sizes.height.maximum):
        return table
    where = f"Where W, H leave {_pair(formula.remainder)} by {_pair(formula.period)}:"
    return Group(
        table,
        Text(where, "dim"),
        Text(f"  MACs   {_polynomial(formula.macs)}"),
        *(Text(f"  bytes  {_polynomial(terms)}") for terms in formula.activation_bytes),
    )


def _pair(size: tuple[int, int]) -> str:
    return f"{size[0]}, {size[1]}"


def _polynomial(terms: Iterable[Term]) -> str:
    """2219.5 H W + 3 H - 1, with exact fractions."""
    text = " + ".join(_term(term) for term in terms) or "0"
    return text.replace("+ -", "- ")


def _term(term: Term) -> str:
    powers = [
        name if power == 1 else f"{name}^{power}"
        for name, power in (("H", term.height), ("W", term.width))
        if power
    ]
    return " ".join([str(term.coefficient), *powers])


def _proofs(card: Card) -> RenderableType:
    found = [_compared(card)] if card.proofs or not (card.conversion or card.precision) else []
    found += [_converted(card.conversion)] if card.conversion else []
    found += [table(card.precision)] if card.precision else []
    return Group(*found)


def _converted(conversion: Conversion) -> RenderableType:
    (width, height), patches = conversion.trained, conversion.patches
    images = "photographs" if patches.photographs else "images of noise"
    same = f"{patches.argmax_agreement:.1%} of {patches.cells} patches of {patches.images} {images}"
    return Text(
        f"A classifier for {width}x{height} made convolutional: there it differs by "
        f"{conversion.max_rel_error:.1e} of the largest value; its class is the same on {same}.\n"
        + "\n".join(f"Reason: {reason}" for reason in patches.reasons),
        "green",
    )


def _compared(card: Card) -> RenderableType:
    if not card.proofs:
        return Text("Nothing: the card was derived from the graph and never compared.", "yellow")
    count = len(card.proofs)
    worst = max(card.proofs, key=lambda proof: proof.max_rel_error)
    return Text(
        f"ONNX Runtime equals the original at {count} size{'s' * (count > 1)}; the worst error is "
        f"{worst.max_rel_error:.1e} of the largest value, at {worst.width}x{worst.height} "
        f"(batch {worst.batch}).",
        "green",
    )


def _provenance(card: Card) -> RenderableType:
    table = _grid()
    for key, value in card.provenance.items():
        table.add_row(Text(key, "bold"), Text(value, "dim", overflow="fold"))
    return table if card.provenance else Text("The card does not say.", "dim")


def _by_axis(height: Value, width: Value) -> list[tuple[Text, Value]]:
    """A row for each axis, or one for both where they say the same."""
    if height == width:
        return [(Text("H, W", "bold"), height)]
    return [(Text("H", "bold"), height), (Text("W", "bold"), width)]


def _grid() -> Table:
    return Table.grid(padding=(0, 2), pad_edge=False)


def _table(*columns: str | tuple[str, str]) -> Table:
    """Headings without lines; numbers to the right."""
    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    for column in columns:
        name, justify = column if isinstance(column, tuple) else (column, "right")
        table.add_column(name, justify="left" if justify == "left" else "right")
    return table
