"""Whether a job's server is there and has its model, asked by a process of its own.

Ray begins its processes by forks, which may hang where gRPC has threads; so the process that is to
begin Ray must not have asked anybody. What one word can mend is then said in a moment, and not
after a cluster has started.

    job, connection -> [python -m ...asking_first] -> nothing, or the error
"""

from __future__ import annotations

import asyncio
import pickle
import sys
from asyncio.subprocess import PIPE
from dataclasses import replace

from anyres_client.async_client import AsyncClient
from anyres_client.connection import Connection
from anyres_client.errors import (
    ClientError,
    DeadlineExceeded,
    ModelNotReady,
    NotServing,
    Overloaded,
)
from anyres_client.jobs.fingerprint import fingerprint
from anyres_client.jobs.job import Job

ASK_S = 10.0
LATER = (NotServing, ModelNotReady, Overloaded, DeadlineExceeded)  # the job itself is patient


async def ask_first(job: Job, connection: Connection) -> None:
    """Ask for what the job will ask for, once.

    Raises:
        ClientError: it cannot begin, and waiting would not help.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", __name__),
        stdin=PIPE,
        stdout=PIPE,
        start_new_session=True,  # Ctrl-C is this process's, which ends that one
    )
    try:
        answer, _ = await process.communicate(pickle.dumps((job, connection)))
    finally:
        if process.returncode is None:
            process.kill()
    if answer and (error := pickle.loads(answer)) is not None:
        raise error


async def _error(job: Job, connection: Connection) -> ClientError | None:
    try:
        async with AsyncClient(connection, timeout=ASK_S) as client:
            await fingerprint(replace(job, attempts=1, patience_s=0), client)
    except LATER:
        return None
    except ClientError as error:
        return error
    return None


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(asyncio.run(_error(*pickle.load(sys.stdin.buffer)))))
