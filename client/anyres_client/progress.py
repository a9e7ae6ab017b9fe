"""A batch as one watches it: a bar on stderr, failures as they come, a summary at the end."""

from __future__ import annotations

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
from anyres_client.batch import Job, Outcome, Summary, run
from anyres_client.connection import Connection


class Rate(ProgressColumn):
    """Images and megapixels a second, since the job began."""

    def render(self, task: Task) -> Text:
        """The rate, or nothing before the first image."""
        elapsed = task.elapsed or 0.0
        if not task.completed or not elapsed:
            return Text("")
        pixels = task.fields["megapixels"] / elapsed
        return Text(f"{task.completed / elapsed:.1f} images/s  {pixels:.1f} MP/s")


async def run_with_progress(job: Job, connection: Connection, timeout_s: float) -> Summary:
    """Run a job and show it.

    Raises:
        ClientError: the folders or the model are wrong, or the server cannot be reached.
    """
    console = Console(stderr=True)

    def say(line: str) -> None:
        console.print(line, markup=False, highlight=False, soft_wrap=True)

    columns = (TextColumn(job.model), BarColumn(), MofNCompleteColumn(), Rate())
    progress = Progress(*columns, TimeRemainingColumn(), console=console, transient=True)
    bar = progress.add_task("", total=None, start=False, megapixels=0.0)

    def begin(left: int, done: int) -> None:
        if done:
            say(f"{done} done before, {left} left")
        progress.update(bar, total=left)
        progress.start_task(bar)
        if console.is_terminal:  # elsewhere a bar is noise
            progress.start()

    def report(outcome: Outcome) -> None:
        megapixels = progress.tasks[bar].fields["megapixels"] + outcome.megapixels
        progress.update(bar, advance=1, megapixels=megapixels)
        if outcome.failure:
            say(f"{outcome.file}: skipped: {outcome.failure}")

    try:
        async with AsyncClient(connection, timeout=timeout_s) as client:
            summary = await run(job, client, begin, report)
    finally:
        if progress.live.is_started:
            progress.stop()
    say(
        f"{summary.done} predicted, {summary.skipped} done before, {summary.failed} failed; "
        f"results in {job.out}"
    )
    return summary
