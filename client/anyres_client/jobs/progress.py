"""A job as one watches it: a bar on stderr, failures as they come, a summary at the end."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from dataclasses import asdict
from threading import Thread

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

from anyres_client.async_client import AsyncClient
from anyres_client.connection import Connection
from anyres_client.errors import ClientError
from anyres_client.jobs import sources
from anyres_client.jobs.job import Job, Outcome, Summary
from anyres_client.jobs.running import run
from anyres_client.printable import printable


class Rate(ProgressColumn):
    """Images and megapixels a second, since the job began."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before the first image."""
        elapsed, predicted = task.elapsed or 0.0, task.fields["predicted"]
        if not predicted or not elapsed:
            return Text("")
        pixels = task.fields["megapixels"] / elapsed
        return Text(f"{predicted / elapsed:.1f} images/s  {pixels:.1f} MP/s")


class Watched:
    """Shows a job's progress on a console."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._console = Console(stderr=True)
        columns = (TextColumn(job.model), BarColumn(), MofNCompleteColumn(), Rate())
        self._progress = Progress(
            *columns, TimeRemainingColumn(), console=self._console, transient=True
        )
        self._bar = self._progress.add_task("", total=None, megapixels=0.0, predicted=0)

    def begin(self, done: int) -> None:
        """Show the bar; elsewhere than on a terminal it is noise."""
        self._progress.update(self._bar, completed=done)
        if self._console.is_terminal:
            self._progress.start()
            Thread(target=self.count, daemon=True).start()

    def report(self, outcome: Outcome) -> None:
        """Count an image; say why, where it failed."""
        fields = self._progress.tasks[self._bar].fields
        self._progress.update(
            self._bar,
            advance=1,
            megapixels=fields["megapixels"] + outcome.megapixels,
            predicted=fields["predicted"] + (not outcome.failure),
        )
        if outcome.failure:
            self.say(f"{outcome.file}: skipped: {outcome.failure}")

    def count(self) -> None:
        """Find out how many there are, while the first are predicted already."""
        with suppress(ClientError, OSError, ModuleNotFoundError):  # the job itself says so
            self._progress.update(self._bar, total=sources.count(self._job.source, self._job.out))

    def end(self) -> None:
        """Take the bar away."""
        if self._progress.live.is_started:
            self._progress.stop()

    def say(self, line: str) -> None:
        """One line on stderr."""
        self._console.print(printable(line), markup=False, highlight=False, soft_wrap=True)


async def run_with_progress(
    job: Job, connection: Connection, timeout_s: float, *, as_json: bool
) -> Summary:
    """Run a job and show it.

    Raises:
        ClientError: see `anyres_client.jobs.running.run`.
    """
    async with AsyncClient(connection, timeout=timeout_s) as client:
        summary, watched = await shown(job, client)
    _tell(job, summary, watched, as_json=as_json)
    return summary


async def shown(job: Job, client: AsyncClient) -> tuple[Summary, Watched]:
    """Run a job, with its bar and its failures on stderr."""
    watched = Watched(job)
    try:
        return await run(job, client, watched.begin, watched.report), watched
    finally:
        watched.end()


def _tell(job: Job, summary: Summary, watched: Watched, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(asdict(summary)) + "\n")
        return
    watched.say(
        f"{summary.done} predicted, {summary.skipped} done before, {summary.failed} failed; "
        f"results in {job.out}"
    )
    if summary.scores is not None:
        watched.say(
            f"mean IoU {summary.scores.mean_iou:.2%}, "
            f"pixel accuracy {summary.scores.pixel_accuracy:.2%}"
        )
