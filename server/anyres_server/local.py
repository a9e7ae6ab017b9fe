"""A server in this process, without a network: the same use case, budgets and tiles.

    with local(Path("unet.onnx")) as server:
        future = server.call("Predict", request, timeout_s=60.0)

It has a thread with an event loop of its own; whoever calls blocks on futures, or awaits them. The
client finds it by its entry point, and speaks the messages of `anyres.v1` to it as to any server.
Freed memory is kept as a server keeps it, for the whole process.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any, Self

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.errors import CallFailed
from anyres_proto.status import Problem
from anyres_server.allocator import keep_freed
from anyres_server.bench.served import folder_of
from anyres_server.core import at_work, stocked
from anyres_server.dense.service import DensePredictionService
from anyres_server.errors import StartFailed
from anyres_server.observe.events import telling
from anyres_server.observe.logs import log_to_stderr
from anyres_server.rpc.status import answer_to
from anyres_server.settings.mistake import Key, Mistake
from anyres_server.settings.reading import Given, read_settings, variable
from anyres_server.settings.settings import Settings

AHEAD = 4  # messages of a stream that wait for their reader
END = object()


@contextmanager
def local(models: Path) -> Iterator[LocalServer]:
    """Serve a folder of models, or one file, to this process; the environment's settings hold.

    Raises:
        CallFailed: it cannot start; the problem says what to mend.
    """
    if not models.exists():
        raise CallFailed(Problem.INVALID_REQUEST, f"there is no file or folder {models}")
    if models.is_dir():
        with LocalServer(_settings(models)) as server:
            yield server
        return
    if models.suffix != ".onnx":
        said = f"--local takes an .onnx file, or a folder of models; got {models.name}"
        raise CallFailed(Problem.INVALID_REQUEST, said)
    with folder_of(models) as folder, LocalServer(_settings(folder)) as server:
        yield server


def _settings(folder: Path) -> Settings:
    """Threads spin if nothing else is said: whoever waits for the answer has nothing else to do."""
    given: dict[Key, Given] = {
        ("models",): Given(str(folder), "--local"),
        ("repository", "watch"): Given(False, "--local"),
    }
    spin = ("compute", "spin")
    if variable(spin) not in os.environ:
        given[spin] = Given(True, "--local")
    try:
        return read_settings(given, os.environ, None).settings
    except Mistake as error:
        raise CallFailed(Problem.INVALID_REQUEST, str(error)) from error


class LocalServer:
    """Answers calls of this process, from its own thread, until it is left."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="local server", daemon=True)
        self._stack = AsyncExitStack()
        self._service: DensePredictionService | None = None

    def __enter__(self) -> Self:
        log_to_stderr("error", self._settings.observe.log_format)
        keep_freed(self._settings.memory.keep_freed)
        self._thread.start()
        try:
            self._run(self._start())
        except StartFailed as error:
            self._end()
            raise CallFailed(Problem.INVALID_REQUEST, str(error)) from error
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._stack.aclose())
        self._end()

    def call(self, method: str, request: Any, timeout_s: float | None) -> Future[Any]:
        """One call with one answer: a message, or its bytes. Fails with CallFailed.

        A request to predict comes as it travels, as the client puts it together.
        """
        answer = self._answer(method, request, timeout_s)
        return asyncio.run_coroutine_threadsafe(answer, self._loop)

    def tiles(self, requests: Iterable[Any], timeout_s: float | None) -> Streamed:
        """The call that sends a picture in parts; its answers, as they come."""
        answers: Queue[Any] = Queue(AHEAD)
        work = self._stream(requests, answers, timeout_s)
        return Streamed(answers, asyncio.run_coroutine_threadsafe(work, self._loop))

    async def _start(self) -> None:
        stock = self._stack.enter_context(stocked(self._settings))
        answering = await self._stack.enter_async_context(
            at_work(self._settings, stock, telling([]))
        )
        await stock.repository.start()
        self._service = DensePredictionService(
            stock.repository,
            answering.inference,
            answering.strips,
            stream_in_flight=self._settings.limits.stream_in_flight,
            uploads=self._settings.uploads,
        )

    async def _answer(self, method: str, request: Any, timeout_s: float | None) -> Any:
        async with _told(method, timeout_s):
            if isinstance(request, bytes):
                request = pb.PredictRequest.FromString(request)
            return await getattr(self._service, method)(request, None)

    async def _stream(
        self, requests: Iterable[Any], answers: Queue[Any], timeout_s: float | None
    ) -> None:
        context: Any = _Writer(answers)
        try:
            async with _told("PredictTiles", timeout_s):
                assert self._service is not None
                await self._service.PredictTiles(_awaited(iter(requests)), context)
        finally:
            await asyncio.to_thread(answers.put, END)

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Streamed:
    """The answers of a call, one after the other; its end, or its error, at the end."""

    def __init__(self, answers: Queue[Any], work: Future[None]) -> None:
        self._answers = answers
        self._work = work

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Any:
        answer = self._answers.get()
        if answer is END:
            self._answers.put(END)
            self._work.result()
            raise StopIteration
        return answer

    def cancel(self) -> None:
        """Let the call go; what it still has to say is for nobody."""
        self._work.cancel()
        while self._answers.get() is not END:
            pass
        self._answers.put(END)


class _Writer:
    """What of a call's context a service uses."""

    def __init__(self, answers: Queue[Any]) -> None:
        self._answers = answers

    async def write(self, message: Any) -> None:
        """Hand an answer over, once there is room."""
        await asyncio.to_thread(self._answers.put, message)


async def _awaited(requests: Iterator[Any]) -> AsyncIterator[Any]:
    while (request := await asyncio.to_thread(next, requests, END)) is not END:
        yield request


@asynccontextmanager
async def _told(method: str, timeout_s: float | None) -> AsyncIterator[None]:
    """What goes wrong in the block is told as a server would tell it."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        raise CallFailed(Problem.DEADLINE, "no answer came in time") from error
    except Exception as error:
        answer = answer_to(error, method)
        raise CallFailed(answer.problem, answer.message) from error
