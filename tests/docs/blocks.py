"""What a page of the docs tells its reader to type, and what it says will be printed.

A page is Markdown that reads as well on GitHub as on the site. Its blocks of `sh` and `python` are
run, in order; one with a title (```` ```python title="net.py" ````), of any language, is a file
that the reader writes. A block of `text` directly behind one is what it prints; a line `...` in it
stands for any lines. What else there is to say of a block stands before it, in a comment that no
reader sees:

    <!-- not run: REASON -->    it cannot be, and this is why
    <!-- exits with N: REASON --> the shell's exit code, where it is not 0
    <!-- until Ctrl-C -->       it goes on for ever: it is ended once it has printed what is shown
    <!-- numbers vary -->       of a block of text: any numbers will do, and any widths of columns
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

_FENCE = re.compile(
    r"^(?P<marks>(?:<!--[^\n]*-->\n+)*)```(?P<language>\w*)(?P<info>[^\n]*)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!-- (not run|exits with|until Ctrl-C|numbers vary):? ?(.*?) ?-->")
_TITLE = re.compile(r'title="([^"]+)"')
_NUMBER = re.compile(r"(?:(?<![\w.])|(?<=\dx))\d[\d.,]*(?:e[+-]?\d+)?")  # but not of a name
RUN = ("sh", "python")


@dataclass(frozen=True)
class Printed:
    """What a page says that a block prints."""

    text: str
    numbers_vary: bool = False

    def matches(self, output: str) -> bool:
        """Whether these lines are among the output's, one directly behind the other."""
        parts = [self._pattern(part) for part in re.split(r"^\.\.\.\n", self.text, flags=re.M)]
        lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        return bool(re.search("^" + r"(?:.*\n)*?".join(parts), lines, re.MULTILINE))

    def _pattern(self, part: str) -> str:
        return "".join(f"{self._line(line.rstrip())}\n" for line in part.splitlines())

    def _line(self, line: str) -> str:
        if not self.numbers_vary:
            return re.escape(line)
        words = (_varied(word) for word in line.split())
        return r"\s*" + r"\s+".join(words) + r"\s*"


def _varied(word: str) -> str:
    texts = _NUMBER.split(word)
    return r"\d[\d.,]*(?:e[+-]?\d+)?".join(re.escape(text) for text in texts)


@dataclass(frozen=True)
class Block:
    """Something to type."""

    place: str  # page:line
    language: str
    text: str
    title: str | None  # the file that it is
    not_run: str | None  # why
    exit_code: int
    endless: bool
    prints: Printed | None


def blocks(page: Path) -> tuple[Block, ...]:
    """All blocks of `sh` and `python`, in order.

    Raises:
        ValueError: a comment before a block is none of those that are known here.
    """
    text = page.read_text("utf-8")
    fences = list(_FENCE.finditer(text))
    return tuple(
        _block(fence, f"{page.name}:{_line(fence)}", _printed(fence, after))
        for fence, after in zip_longest(fences, fences[1:])
        if fence["language"] in RUN or _written(fence)
    )


def _line(fence: re.Match[str]) -> int:
    return fence.string.count("\n", 0, fence.start("text"))


def _block(fence: re.Match[str], place: str, prints: Printed | None) -> Block:
    marks = _marks(fence, place)
    title = _written(fence)
    return Block(
        place=place,
        language=fence["language"],
        text=fence["text"],
        title=title and title[1],
        not_run=marks.get("not run"),
        exit_code=int(marks.get("exits with", "0").split(":")[0]),
        endless="until Ctrl-C" in marks,
        prints=prints,
    )


def _written(fence: re.Match[str]) -> re.Match[str] | None:
    return None if fence["language"] == "text" else _TITLE.search(fence["info"])


def _printed(fence: re.Match[str], after: re.Match[str] | None) -> Printed | None:
    if after is None or after["language"] != "text":
        return None
    between = fence.string[fence.end() : after.start()]
    if between.strip():
        return None
    return Printed(after["text"], "numbers vary" in _marks(after, "a block of text"))


def _marks(fence: re.Match[str], place: str) -> dict[str, str]:
    found = dict(_MARK.findall(fence["marks"]))
    if fence["marks"].count("<!--") != len(found):
        raise ValueError(f"{place}: a comment before a block that says nothing: {fence['marks']!r}")
    return found
