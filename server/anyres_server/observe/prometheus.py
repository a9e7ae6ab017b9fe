"""Metrics, where they are wanted: a registry that nobody else fills, and the port to scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric

from anyres_server.observe.events import Event, Tell
from anyres_server.observe.metrics import Metrics
from anyres_server.observe.now import Lent, Now, watch_now
from anyres_server.observe.scraped import scraped


@dataclass(frozen=True, eq=False)
class Scraped:
    """Who counts, and where it can be read; without a port nobody does."""

    tell: Tell
    port: int | None


@contextmanager
def prometheus(
    address: tuple[str, int | None],
    models: Callable[[], Mapping[str, bool]],
    lent: Mapping[str, Callable[[], Lent]],
    backlog: Callable[[], int],
    healthy: Callable[[], bool],
) -> Iterator[Scraped]:
    """Count, and answer scrapes at (host, port), until the block ends.

    Raises:
        StartFailed: the port is taken.
    """
    host, port = address
    if port is None:
        yield Scraped(_nobody, None)
        return
    registry = _Registry()
    watch_now(registry, Now(lent, backlog, models))
    with scraped(registry, healthy, host, port) as taken:
        yield Scraped(Metrics(registry, models), taken)


class _Registry(CollectorRegistry):
    """Without when each series began: that doubles a scrape, and nobody asks."""

    def collect(self) -> Iterator[Metric]:
        """What is scraped."""
        for metric in super().collect():
            metric.samples = [one for one in metric.samples if not one.name.endswith("_created")]
            yield metric


def _nobody(event: Event) -> None:
    """Nobody counts."""
