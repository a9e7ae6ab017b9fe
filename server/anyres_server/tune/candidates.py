"""The ways of running a network that may be the fastest here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from anyres_server.engine.providers import PROVIDERS
from anyres_server.model import Execution


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way: a provider that computes so exactly, and the threads of a run that has them all."""

    execution: Execution
    threads: int

    def __str__(self) -> str:
        """In words."""
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return f"{self.execution}, {threads}"


def candidates(providers: Iterable[str], processors: int) -> tuple[Candidate, ...]:
    """All of them, those that change nothing first.

    Half of the processors may be more than all: two that share a core have one unit for products.
    """
    executions = [
        Execution(name, precision) for name in providers for precision in PROVIDERS[name].precisions
    ]
    return tuple(
        Candidate(each, threads) for each in executions for threads in _threads(processors)
    )


def _threads(processors: int) -> Iterator[int]:
    yield processors
    if processors >= 4:
        yield processors // 2
    if processors > 1:
        yield 1
