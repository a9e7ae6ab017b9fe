"""The asyncio client: the methods of `anyres_client.client.Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from functools import cached_property
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from anyres_client import flows
from anyres_client.answers import Estimate, ModelSummary, Size
from anyres_client.connection import Connection, Tls, connected
from anyres_client.failures import TIMEOUT_S, failed, not_ready
from anyres_client.flows import Ask, Call, Flow, advance
from anyres_client.many import IN_FLIGHT, AsyncAnswers, awaited
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction
from anyres_client.stub import stub
from anyres_proto.card import Card

T = TypeVar("T")
_SERVING = health_pb2.HealthCheckResponse.SERVING


class AsyncClient:
    """The asyncio twin of `Client`: the same methods, awaited.

    Args:
        address: see `Client`; so are timeout, tls and token.
        timeout: see `Client`.
        tls: see `Client`.
        token: see `Client`.
    """

    def __init__(
        self,
        address: str | Connection = "localhost:8001",
        *,
        timeout: float = TIMEOUT_S,
        tls: Tls | None = None,
        token: str | None = None,
    ) -> None:
        self.connection = connected(address, tls, token)
        self.timeout = timeout
        self._cards: flows.Cards = {}

    async def predict(
        self,
        picture: Picture,
        *,
        model: str | None = None,
        version: str = "",
        output: str | Sequence[str] = "classes",
        top_k: int = 5,
        timeout: float | None = None,
    ) -> Prediction:
        """Predict one picture at its own size; see `Client.predict`."""
        ask = Ask(picture, model, version, output, top_k)
        return await self._perform(flows.predict(ask, self._cards), timeout)

    def predict_many(
        self,
        pictures: Iterable[Picture],
        *,
        model: str | None = None,
        version: str = "",
        output: str | Sequence[str] = "classes",
        top_k: int = 5,
        in_flight: int = IN_FLIGHT,
        ordered: bool = True,
    ) -> AsyncAnswers:
        """Predict pictures as they come, `async for`; see `Client.predict_many`."""

        def ask(picture: Picture) -> Awaitable[Prediction]:
            return self._perform(
                flows.predict(Ask(picture, model, version, output, top_k), self._cards)
            )

        return awaited(ask, pictures, in_flight=in_flight, ordered=ordered)

    async def models(self) -> tuple[ModelSummary, ...]:
        """The server's models; see `Client.models`."""
        return await self._perform(flows.models())

    async def model(self, name: str, version: str = "") -> Card:
        """One model's card; see `Client.model`."""
        return await self._perform(flows.card(name, version))

    async def estimate(self, model: str, size: Size, version: str = "") -> Estimate:
        """What an image would cost, and its route; see `Client.estimate`."""
        return await self._perform(flows.estimate(model, size, version))

    async def wait_ready(self, timeout: float = TIMEOUT_S) -> None:
        """Return once the server says that it serves; see `Client.wait_ready`."""
        request, metadata = health_pb2.HealthCheckRequest(), self.connection.metadata
        watch: Any = health_pb2_grpc.HealthStub(self._channel).Watch  # type: ignore[attr-defined]
        try:
            async for answer in watch(
                request, timeout=timeout, wait_for_ready=True, metadata=metadata
            ):
                if answer.status == _SERVING:
                    return
        except grpc.RpcError as error:
            raise not_ready(error, self.connection.address, timeout) from error

    async def close(self) -> None:
        """End the connection."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @cached_property
    def _channel(self) -> grpc.aio.Channel:
        return self.connection.aio_channel()

    @cached_property
    def _stub(self) -> Any:
        return stub(self._channel)

    async def _perform(self, flow: Flow[T], timeout: float | None = None) -> T:
        """Between calls a flow reads files and copies pixels: no work for an event loop."""
        step = await asyncio.to_thread(advance, flow)
        while isinstance(step, Call):
            answer = await self._answer(step, self.timeout if timeout is None else timeout)
            step = await asyncio.to_thread(advance, flow, answer)
        return step.value

    async def _answer(self, call: Call, timeout: float) -> object:
        try:
            return await getattr(self._stub, call.method)(
                call.request, timeout=timeout, metadata=self.connection.metadata
            )
        except grpc.RpcError as error:
            raise failed(error, self.connection.address) from error
