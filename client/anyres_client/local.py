"""A model without a server: `Client(local_connection("unet.onnx"))`, with `anyres[server]`.

The server's use case answers in this process, with its budgets and tiles: the same messages go to
it, without gRPC. To a client it is a connection like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from threading import Lock
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from anyres_client.connection import Connection
from anyres_client.errors import InvalidRequest
from anyres_proto.errors import CallFailed

GROUP = "anyres.local"


@dataclass(frozen=True)
class LocalConnection(Connection):
    """A file, or a folder of them, that this process answers for."""

    models: Path = Path()

    def channel(self) -> Any:
        """What a blocking client takes for a channel."""
        return _Channel(self.models)

    def aio_channel(self) -> Any:
        """What an asyncio client takes for one."""
        return _AioChannel(self.models)


def local_connection(models: str | Path) -> LocalConnection:
    """A connection to a model's file, or to a folder of models.

    Raises:
        InvalidRequest: the part that answers is not installed.
    """
    _installed()
    return LocalConnection(str(models), models=Path(models))


def _installed() -> Callable[[Path], Any]:
    for point in entry_points(group=GROUP):
        try:
            answering: Callable[[Path], Any] = point.load()
        except ImportError as error:
            raise InvalidRequest(_missing(f"{error.name} is missing")) from error
        return answering
    raise InvalidRequest(_missing("it is not installed"))


def _missing(why: str) -> str:
    return f"--local needs the server's part, and {why}: pip install 'anyres[server]'"


class LocalError(grpc.RpcError):
    """A call that failed, as gRPC tells of it."""

    def __init__(self, error: CallFailed) -> None:
        super().__init__(str(error))
        self._error = error

    def code(self) -> grpc.StatusCode:
        """Its status."""
        return self._error.problem.code

    def details(self) -> str:
        """What went wrong."""
        return str(self._error)


class _Channel:
    """Calls that stay in this process; it starts when the first is made."""

    def __init__(self, models: Path) -> None:
        self._models = models
        self._stack = ExitStack()
        self._starting = Lock()
        self._server: Any = None

    def unary_unary(self, path: str, *_: Any, **how: Any) -> Callable[..., Any]:
        """One message, one answer."""
        read, method = how.get("response_deserializer"), path.rpartition("/")[2]

        def call(request: Any, timeout: float | None = None, metadata: Any = ()) -> Any:
            try:
                return _message(self.started().call(method, request, timeout).result(), read)
            except CallFailed as error:
                raise LocalError(error) from error

        return call

    def unary_stream(self, path: str, *_: Any, **how: Any) -> Callable[..., Iterator[Any]]:
        """The health check is the only one: it serves as soon as it is there."""

        def watch(request: Any, **how: Any) -> Iterator[Any]:
            self.started()
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

        return watch

    def stream_stream(self, path: str, *_: Any, **how: Any) -> Callable[..., Any]:
        """A picture in parts, and its tiles."""
        read = how["response_deserializer"]

        def call(requests: Iterable[Any], timeout: float | None = None, metadata: Any = ()) -> Any:
            return _Answers(self.started().tiles(requests, timeout), read)

        return call

    def stream_unary(self, *_: Any, **how: Any) -> None:
        """There is none; stubs ask for all kinds."""

    def close(self) -> None:
        """Let the models go."""
        with self._starting:
            self._stack.close()
            self._server = None

    def started(self) -> Any:
        """What answers, once it has loaded the models."""
        with self._starting:
            if self._server is None:
                try:
                    self._server = self._stack.enter_context(_installed()(self._models))
                except CallFailed as error:
                    raise LocalError(error) from error
            return self._server


class _AioChannel:
    """The same, awaited."""

    def __init__(self, models: Path) -> None:
        self._channel = _Channel(models)

    def unary_unary(self, path: str, *given: Any, **how: Any) -> Callable[..., Any]:
        """One message, one answer."""
        read, method = how.get("response_deserializer"), path.rpartition("/")[2]

        async def call(request: Any, timeout: float | None = None, metadata: Any = ()) -> Any:
            server = await asyncio.to_thread(self._channel.started)
            try:
                answer = await asyncio.wrap_future(server.call(method, request, timeout))
            except CallFailed as error:
                raise LocalError(error) from error
            return _message(answer, read)

        return call

    def unary_stream(self, path: str, *_: Any, **how: Any) -> Callable[..., AsyncIterator[Any]]:
        """The health check."""

        async def watch(request: Any, **how: Any) -> AsyncIterator[Any]:
            await asyncio.to_thread(self._channel.started)
            yield health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.SERVING)

        return watch

    def stream_stream(self, *_: Any, **how: Any) -> None:
        """Asyncio clients make no such call; stubs ask for all kinds."""

    async def close(self) -> None:
        """Let the models go."""
        await asyncio.to_thread(self._channel.close)


class _Answers:
    """The answers of a stream, as messages."""

    def __init__(self, streamed: Any, read: Callable[[bytes], Any]) -> None:
        self._streamed = streamed
        self._read = read

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return _message(next(self._streamed), self._read)
        except CallFailed as error:
            raise LocalError(error) from error

    def cancel(self) -> None:
        """Let it go."""
        self._streamed.cancel()


def _message(answer: Any, read: Callable[[bytes], Any] | None) -> Any:
    """An answer; large ones come as the bytes that they would travel as."""
    return read(answer) if isinstance(answer, bytes) and read is not None else answer
