"""A cost formula in words: a polynomial in H and W, and the sizes it holds for."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from anyres_analyzer.report.facts import Formula, Term

PIECES = 3  # of the peak, shown at most


def in_words(formula: Formula) -> Iterator[Text]:
    """The lines of a terminal."""
    yield Text.assemble(("MACs  ", "dim"), polynomial(formula.macs))
    for index, piece in enumerate(formula.peak[:PIECES]):
        label = "peak  " if index == 0 else "   or "
        node = (f"   at {piece.node}", "dim")
        yield Text.assemble((label, "dim"), polynomial(piece.terms), (" bytes", "dim"), node)
    more = len(formula.peak) - PIECES
    if more > 0:
        yield Text(f"   or {more} more; the largest counts", "dim")
    elif len(formula.peak) > 1:
        yield Text("   the largest counts", "dim")
    yield Text(f"exact for {sizes(formula)}", "dim")


def polynomial(terms: tuple[Term, ...]) -> str:
    """As it is written by hand: 305,856 HW - 1,391,616 H + 3."""
    if not terms:
        return "0"
    first, *others = terms
    sign = "-" if first.coefficient < 0 else ""
    return sign + _term(first) + "".join(map(_signed, others))


def _signed(term: Term) -> str:
    return (" - " if term.coefficient < 0 else " + ") + _term(term)


def _term(term: Term) -> str:
    coefficient = abs(term.coefficient)
    number = f"{coefficient.numerator:,}"
    if coefficient.denominator > 1:
        number += f"/{coefficient.denominator:,}"
    unknowns = _power("H", term.height) + _power("W", term.width)
    if coefficient == 1 and unknowns:
        return unknowns
    return f"{number} {unknowns}".strip()


def _power(name: str, exponent: int) -> str:
    digits = str(exponent).translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return "" if exponent == 0 else name if exponent == 1 else name + digits


def sizes(formula: Formula) -> str:
    """The residue class: "H = 0 and W = 31 (mod 32), from 31x32 on"."""
    (width, height), (period_w, period_h) = formula.remainder, formula.period
    smallest = f"{formula.minimum[0]}x{formula.minimum[1]}"
    terms = (*formula.macs, *(term for piece in formula.peak for term in piece.terms))
    if all(term.height == term.width == 0 for term in terms):
        return smallest
    start = f"from {smallest} on"
    if (period_w, period_h) == (1, 1):
        return f"every size {start}"
    if period_w == period_h:
        return f"H = {height} and W = {width} (mod {period_h}), {start}"
    return f"H = {height} (mod {period_h}) and W = {width} (mod {period_w}), {start}"
