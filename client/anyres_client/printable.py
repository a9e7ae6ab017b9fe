"""Names as they may be shown: on one line, and harmless to the terminal that they go to."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""A text in which what cannot be printed is escaped: a line's end is \n, no Unicode \udcff."""
    return "".join(each if each.isprintable() else _escaped(each) for each in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
