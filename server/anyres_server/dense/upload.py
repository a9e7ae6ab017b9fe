"""An image that comes in parts: a header first, then a file in chunks, or rows of pixels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.errors import InvalidRequest, ServingError
from anyres_server.machine import mib
from anyres_server.picture.header import SIGNATURE
from anyres_server.picture.pipe import Pipe
from anyres_server.picture.received import Received, ReceivedFile, ReceivedRows, receive
from anyres_server.picture.spool import Disk, Spool
from anyres_server.settings.sections import Uploads


@dataclass(frozen=True, eq=False)
class Parts:
    """What a caller sends, in bounded time; `limits` says how much of it."""

    parts: AsyncIterator[pb.PredictTilesRequest]
    limits: Uploads
    disk: Disk

    async def header(self) -> pb.PredictTilesHeader:
        """What is asked.

        Raises:
            InvalidRequest: there is no header, or what it announces is too large.
        """
        part = await self._next()
        if part is None:
            raise InvalidRequest("the upload is empty; expected a header and the image in parts")
        if part.WhichOneof("part") != "header":
            raise _unexpected(part, "first")
        if part.header.file_bytes > self.limits.file_bytes:
            raise self._too_large()
        return part.header

    @asynccontextmanager
    async def received(self, header: pb.PredictTilesHeader) -> AsyncIterator[Received]:
        """The image, which goes on coming until the block ends."""
        if header.HasField("raw"):
            size, channels = (header.raw.size.height, header.raw.size.width), header.raw.channels
            if min(*size, channels) < 1:
                raise InvalidRequest(
                    f"strips have at least 1 row, column and channel; the header says "
                    f"{size[1]}x{size[0]} (width x height) of {channels}"
                )
            pipe = Pipe(self.limits.chunk_bytes)
            expected = size[0] * size[1] * channels
            async with self._coming("rows", b"", pipe, expected):
                yield ReceivedRows(pipe, size, channels)
        else:
            first = await self._signature()
            declared = header.file_bytes or None
            ahead = self.limits.chunk_bytes
            came = receive(first, self.disk, ahead=ahead, declared=declared)
            async with self._coming("chunk", first, came, self.limits.file_bytes):
                yield ReceivedFile(came, self.disk, self.limits.expansion)

    @asynccontextmanager
    async def _coming(
        self, what: str, first: bytes, into: Pipe | Spool, most: int
    ) -> AsyncIterator[None]:
        feeding = asyncio.create_task(self._feed(what, first, into, most))
        try:
            yield
        finally:
            into.close()
            feeding.cancel()
            await asyncio.wait([feeding])
            if not feeding.cancelled():
                feeding.result()

    async def _feed(self, what: str, first: bytes, into: Pipe | Spool, most: int) -> None:
        """What goes wrong here is told to whoever reads."""
        try:
            bytes_ = first
            while True:
                if into.arrived + len(bytes_) > most:
                    raise self._too_large() if what == "chunk" else _too_many(most)
                await into.put(bytes_)
                part = await self._next()
                if part is None:
                    break
                bytes_ = self._content(part, what)
            into.end()
        except ServingError as failure:
            into.end(failure)

    async def _signature(self) -> bytes:
        """The first bytes of a file, enough to tell what it is; fewer only if it ends."""
        first = b""
        while len(first) < SIGNATURE and (part := await self._next()) is not None:
            first += self._content(part, "chunk")
        if not first:
            raise InvalidRequest("the image is empty: zero bytes came after the header")
        return first

    def _content(self, part: pb.PredictTilesRequest, what: str) -> bytes:
        if part.WhichOneof("part") != what:
            raise _unexpected(part, "after the header")
        content: bytes = getattr(part, what)
        if len(content) > self.limits.chunk_bytes:
            raise InvalidRequest(
                f"a part of an upload holds at most {mib(self.limits.chunk_bytes)}; "
                f"got {mib(len(content))}"
            )
        return content

    async def _next(self) -> pb.PredictTilesRequest | None:
        try:
            async with asyncio.timeout(self.limits.stall_s):
                return await anext(self.parts, None)
        except TimeoutError as late:
            raise InvalidRequest(
                f"nothing of the upload came for {self.limits.stall_s:g} s"
            ) from late

    def _too_large(self) -> InvalidRequest:
        most = mib(self.limits.file_bytes)
        return InvalidRequest(f"the file is larger than {most}, the limit of an upload")


def _unexpected(part: pb.PredictTilesRequest, where: str) -> InvalidRequest:
    what = part.WhichOneof("part") or "an empty part"
    return InvalidRequest(
        f"an upload is one header and then chunks of a file, or rows if the header says so; "
        f"got {what} {where}"
    )


def _too_many(expected: int) -> InvalidRequest:
    return InvalidRequest(f"the strips hold more than the {expected} bytes that were announced")
