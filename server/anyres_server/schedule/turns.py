"""The processors as threads see them: a run that was handed over early begins when those before it
have ended, without a word from the event loop in between.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Turns:
    """Lets runs in while their processors are free; blocks, so it is for threads that run networks.

    A wait ends with the runs that are under way. At most one run waits here at a time (`slots`), so
    none is overtaken.
    """

    def __init__(self, processors: int) -> None:
        self._free = processors
        self._changed = Condition()

    @contextmanager
    def taken(self, slots: int) -> Iterator[None]:
        """Have so many processors until the block ends; wait until they are free."""
        with self._changed:
            self._changed.wait_for(lambda: self._free >= slots)
            self._free -= slots
        try:
            yield
        finally:
            with self._changed:
                self._free += slots
                self._changed.notify_all()
