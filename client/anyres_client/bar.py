"""What one watches on a terminal while images are predicted: how many, how fast, how much longer.

Elsewhere than on a terminal a bar is noise, and is not drawn.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from anyres_client.printable import printable


class Rate(ProgressColumn):
    """Images and megapixels a second, since the first began."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before the first image."""
        elapsed, predicted = task.elapsed or 0.0, task.fields["predicted"]
        if not predicted or not elapsed:
            return Text("")
        pixels = task.fields["megapixels"] / elapsed
        return Text(f"{predicted / elapsed:.1f} images/s  {pixels:.1f} MP/s")


class Bar:
    """A bar on stderr; lines that are said meanwhile stand above it.

    Args:
        name: what stands before it.
        total: how many images there are, where it is known.
    """

    def __init__(self, name: str, total: int | None = None) -> None:
        self._console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            Rate(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._bar = self._progress.add_task(
            printable(name), total=total, start=False, megapixels=0.0, predicted=0
        )

    @property
    def drawn(self) -> bool:
        """Whether anybody sees it."""
        return self._progress.live.is_started

    def begin(self, done: int = 0) -> None:
        """Show the bar, so many images being done before; the time runs from here."""
        self._progress.update(self._bar, completed=done)
        self._progress.start_task(self._bar)
        alone = self._progress.tasks[self._bar].total == 1
        if self._console.is_terminal and not alone:
            self._progress.start()

    def expect(self, total: int | None) -> None:
        """Say how many images there are."""
        self._progress.update(self._bar, total=total)

    def advance(self, megapixels: float | None) -> None:
        """Count an image by its megapixels; None where it could not be predicted."""
        fields = self._progress.tasks[self._bar].fields
        self._progress.update(
            self._bar,
            advance=1,
            megapixels=fields["megapixels"] + (megapixels or 0.0),
            predicted=fields["predicted"] + (megapixels is not None),
        )

    def say(self, line: str) -> None:
        """One line on stderr."""
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)

    def end(self) -> None:
        """Take the bar away."""
        if self.drawn:
            self._progress.stop()

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
