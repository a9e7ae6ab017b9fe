"""The blocking client.

    with Client("localhost:8001") as client:
        prediction = client.predict("photo.jpg", model="climate_unet")
        prediction.overlay("photo.jpg").save("overlay.png")

It performs the flows of `flows`, as its asyncio twin (`async_client`) does; each knows only how to
make one call. A client may be used without `with`; then its connection ends with the process.
Errors: see `anyres_client.errors`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
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
from anyres_client.huge import Told, check_target, write_tiles
from anyres_client.many import IN_FLIGHT, Answers, answered
from anyres_client.picture import Picture
from anyres_client.prediction import Prediction
from anyres_client.stub import stub
from anyres_client.tiles import Huge, Plan, Tiles, parts
from anyres_proto.card import Card

T = TypeVar("T")
_SERVING = health_pb2.HealthCheckResponse.SERVING


class Client:
    """Asks one server, blocking.

    Args:
        address: of the server, as "localhost:8001", or a `Connection`, which says everything.
        timeout: in seconds, of each call; 60 where left out.
        tls: how the server is known, and the client, if not by "https://" alone.
        token: shown with every call.
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

    def predict(
        self,
        picture: Picture,
        *,
        model: str | None = None,
        version: str = "",
        output: str | Sequence[str] = "classes",
        top_k: int = 5,
        timeout: float | None = None,
    ) -> Prediction:
        """Predict one picture at its own size.

        Args:
            picture: a path, a file's bytes, a PIL image, an array uint8 (h, w) or (h, w, channels)
                of pixels, or float32 (channels, h, w), the network's own input.
            model: its name; may be left out where the server has one model only.
            version: its version; the newest where empty.
            output: one or more of classes, confidence, top_k, probabilities, probabilities_255,
                threshold_mask, logits; the name of one of the model's own outputs, which comes as
                it is, (channels, h, w), in `Prediction.outputs`; or overlay or instances for
                whatever `Prediction.overlay` or `Prediction.instances` needs of this model.
            top_k: how many classes a cell for `top_k`.
            timeout: in seconds, instead of the client's own.

        Raises:
            ClientError: see `anyres_client.errors`.
        """
        ask = Ask(picture, model, version, output, top_k)
        return self._perform(flows.predict(ask, self._cards), timeout)

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
    ) -> Answers:
        """Predict pictures as they come, some at a time; one that fails does not end the others.

        Args:
            pictures: may be endless: no more than `in_flight` are taken ahead.
            model: see `predict`; so are version, output and top_k.
            version: see `predict`.
            output: see `predict`.
            top_k: see `predict`.
            in_flight: how many are under way.
            ordered: in the order of the pictures, or as they are done.

        Returns:
            an `Answer` for every picture, whose `.prediction` raises the error that it got.
        """

        def ask(picture: Picture) -> Prediction:
            return self._perform(
                flows.predict(Ask(picture, model, version, output, top_k), self._cards)
            )

        return answered(ask, pictures, in_flight=in_flight, ordered=ordered)

    def predict_tiles(
        self,
        picture: Huge,
        *,
        model: str,
        version: str = "",
        output: str | Sequence[str] = "classes",
        top_k: int = 5,
        timeout: float | None = None,
    ) -> Tiles:
        """Predict a picture of any size without ever having it in memory.

        Read the tiles in a `with` block: who leaves it ends the call.

        Args:
            picture: the path of a file, or `Strips` of pixels.
            model: its name.
            version: see `predict`; so are output and top_k.
            output: see `predict`.
            top_k: see `predict`.
            timeout: in seconds, until the last tile is there; none if left out.

        Raises:
            InvalidRequest: the file cannot be read, or an output has no such name.
        """
        names = [output] if isinstance(output, str) else list(output)
        self._perform(flows.checked(names, model, version, self._cards))
        sent = parts(picture, model, version, names, top_k)
        call = self._stub.PredictTiles(sent, timeout=timeout, metadata=self.connection.metadata)
        return Tiles(call, self.connection.address)

    def predict_huge(
        self,
        picture: Huge,
        save: str | PathLike[str],
        *,
        model: str,
        version: str = "",
        output: str = "classes",
        told: Told = lambda there, cells: None,
    ) -> Plan:
        """Predict a picture larger than memory into an .npy file, holding one tile at a time.

        Args:
            picture: see `predict_tiles`; so are model and version.
            save: the file; it is there whole or not at all.
            model: see `predict_tiles`.
            version: see `predict_tiles`.
            output: one that is one array; classes (h, w) or probabilities (classes, h, w), say,
                or one of the model's own.
            told: called with the cells that are there and those there will be, tile by tile.

        Raises:
            ClientError: see `anyres_client.errors`.
        """
        path = Path(save)
        check_target(path, output)
        with self.predict_tiles(picture, model=model, version=version, output=output) as tiles:
            return write_tiles(tiles, path, told)

    def check_outputs(self, names: Sequence[str], model: str | None = None) -> None:
        """Refuse names that are no outputs, before anything is predicted.

        Raises:
            InvalidRequest: one is neither among those of `predict` nor the model's own.
        """
        self._perform(flows.checked_of_any(names, model))

    def models(self) -> tuple[ModelSummary, ...]:
        """The server's models, those that failed to load included.

        Raises:
            ClientError: see `anyres_client.errors`.
        """
        return self._perform(flows.models())

    def model(self, name: str, version: str = "") -> Card:
        """One model's card: sizes it takes, classes, tiling rule, what was proven.

        Raises:
            ModelNotFound: there is none of that name; `ModelNotReady` where it is broken.
        """
        return self._perform(flows.card(name, version))

    def estimate(self, model: str, size: Size, version: str = "") -> Estimate:
        """What an image would cost, and its route; nothing is run.

        Args:
            model: its name.
            size: of the image, (height, width) in pixels.
            version: see `predict`.

        Raises:
            ClientError: see `anyres_client.errors`; a size that would be refused is none, but has
                the route "refused".
        """
        return self._perform(flows.estimate(model, size, version))

    def wait_ready(self, timeout: float = TIMEOUT_S) -> None:
        """Return once the server says that it serves.

        Raises:
            Unavailable: it did not within `timeout` seconds.
        """
        request, metadata = health_pb2.HealthCheckRequest(), self.connection.metadata
        watch: Any = health_pb2_grpc.HealthStub(self._channel).Watch  # type: ignore[attr-defined]
        try:
            for answer in watch(request, timeout=timeout, wait_for_ready=True, metadata=metadata):
                if answer.status == _SERVING:
                    return
        except grpc.RpcError as error:
            raise not_ready(error, self.connection.address, timeout) from error

    def close(self) -> None:
        """End the connection."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @cached_property
    def _channel(self) -> grpc.Channel:
        return self.connection.channel()

    @cached_property
    def _stub(self) -> Any:
        return stub(self._channel)

    def _perform(self, flow: Flow[T], timeout: float | None = None) -> T:
        step = advance(flow)
        while isinstance(step, Call):
            step = advance(flow, self._answer(step, self.timeout if timeout is None else timeout))
        return step.value

    def _answer(self, call: Call, timeout: float) -> object:
        try:
            return getattr(self._stub, call.method)(
                call.request, timeout=timeout, metadata=self.connection.metadata
            )
        except grpc.RpcError as error:
            raise failed(error, self.connection.address) from error
