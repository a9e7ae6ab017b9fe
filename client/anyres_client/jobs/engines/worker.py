"""What one of Ray's processes does with a parcel of images: what any job does with all of them."""

from __future__ import annotations

import pickle
from asyncio import Runner
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from anyres_client.async_client import AsyncClient
from anyres_client.connection import Connection
from anyres_client.jobs.answering import Answered, Question
from anyres_client.jobs.engines.here import Here
from anyres_client.jobs.items import Found

IMAGES, ANSWERS = "images", "answers"  # the columns, each a pickle a row

Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Worker:
    """Answers parcels; travels to the processes, and finds its connection there."""

    question: Question
    connection: Connection
    timeout_s: float

    def __call__(self, row: Row) -> Row:
        """A row of images becomes a row of answers."""
        images, answers = iter(pickle.loads(row[IMAGES])), list[Answered]()

        def left(count: int) -> list[Found]:
            return list(islice(images, count))

        async def settle(answered: Answered) -> None:
            answers.append(answered)

        runner, client = _connected(self.connection, self.timeout_s)
        runner.run(Here(client).answer(self.question, left, settle))
        return {ANSWERS: pickle.dumps(answers)}


@lru_cache(maxsize=1)
def _connected(connection: Connection, timeout_s: float) -> tuple[Runner, AsyncClient]:
    """An event loop and a client on it, for as long as the process lives: parcels are small."""
    return Runner(), AsyncClient(connection, timeout=timeout_s)
