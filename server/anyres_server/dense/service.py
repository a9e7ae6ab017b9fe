"""`anyres.v1.DensePredictionService`: messages in, our own values inside, messages out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import grpc.aio

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1 import dense_prediction_pb2_grpc as pb_grpc
from anyres_proto.packing import Part, field
from anyres_proto.tensors import tensor_parts, to_array
from anyres_server.dense.upload import Parts
from anyres_server.errors import InvalidRequest
from anyres_server.inference.canvas import Placed
from anyres_server.inference.inference import Estimate, Inference
from anyres_server.inference.pieces import computed_pixels
from anyres_server.inference.strips import StripInference
from anyres_server.model import (
    Array,
    Asked,
    OutputKind,
    Plan,
    Prediction,
    Request,
    RouteKind,
    Size,
)
from anyres_server.picture.spool import Disk
from anyres_server.repository.entries import Broken, Versions, newest
from anyres_server.repository.repository import Repository
from anyres_server.rpc.status import answer_to
from anyres_server.settings.sections import Uploads

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NAME = "anyres.v1.DensePredictionService"
SMALL_BYTES = 2**20
DEFAULT_TOP_K = 5
DEFAULT_THRESHOLD = 0.5
KINDS = {pb.OutputKind.Value(f"OUTPUT_KIND_{kind.name}"): kind for kind in OutputKind}
KIND_NUMBERS = {kind: number for number, kind in KINDS.items()}
ROUTES = {kind: pb.Route.Value(f"ROUTE_{kind.name}") for kind in RouteKind}


class DensePredictionService(pb_grpc.DensePredictionServiceServicer):
    """The six calls; errors are raised and become codes elsewhere."""

    def __init__(
        self,
        repository: Repository,
        inference: Inference,
        strips: StripInference,
        *,
        stream_in_flight: int,
        uploads: Uploads,
    ) -> None:
        self._repository = repository
        self._inference = inference
        self._stream_in_flight = stream_in_flight
        self._strips = strips
        self._uploads = uploads
        self._disk = Disk(uploads.disk, uploads.folder)

    # What is large is put together off the event loop, as it travels.
    async def Predict(self, request: pb.PredictRequest, context: Context) -> bytes:  # type: ignore[override]  # noqa: N802 - the wire's name
        """Predict one image."""
        prediction = await self._predict(request)
        return await _together(prediction, lambda: _packed(prediction))

    # The stubs know only generators; grpc.aio takes coroutines that write, too.
    async def PredictStream(  # type: ignore[override]  # noqa: N802 - the wire's name
        self, request_iterator: AsyncIterator[pb.PredictStreamRequest], context: Context
    ) -> None:
        """Predict many images, some at a time; each answer is written when it is ready."""
        slots = asyncio.Semaphore(self._stream_in_flight)
        writing = asyncio.Lock()

        async def answer(request: pb.PredictStreamRequest) -> None:
            try:
                response = await self._outcome(request)
                async with writing:
                    await context.write(response)
            finally:
                slots.release()

        async with asyncio.TaskGroup() as answers:
            await slots.acquire()
            async for request in request_iterator:
                answers.create_task(answer(request))
                await slots.acquire()

    async def PredictTiles(  # type: ignore[override]  # noqa: N802 - the wire's name
        self, request_iterator: AsyncIterator[pb.PredictTilesRequest], context: Context
    ) -> None:
        """Predict one image that comes in parts; each tile is written when it is ready."""
        parts = Parts(request_iterator, self._uploads, self._disk)
        header = await parts.header()
        model = self._repository.get(header.model_name, header.model_version)
        writing = asyncio.Lock()

        async def write(message: pb.PredictTilesResponse | bytes) -> None:
            async with writing:
                await context.write(message)

        async def begin(plan: Plan) -> None:
            await write(pb.PredictTilesResponse(plan=pb.TilesPlan(**_planned(plan))))

        async def deliver(piece: Placed) -> None:
            await write(await asyncio.to_thread(_tile, piece))

        request = _request(header, b"")
        with self._strips.entered():
            async with parts.received(header) as received:
                await self._strips.predict(model, request, received, begin, deliver)

    async def ListModels(  # noqa: N802 - the wire's name
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """List every model, broken ones included."""
        models = self._repository.models
        return pb.ListModelsResponse(
            models=[_summary(name, versions, self._repository) for name, versions in models.items()]
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:  # noqa: N802 - the wire's name
        """Return one model's card."""
        model = self._repository.get(request.name, request.version)
        return pb.GetModelResponse(
            name=model.name, version=model.version, card_json=model.card.model_dump_json()
        )

    async def EstimateCost(  # noqa: N802 - the wire's name
        self, request: pb.EstimateCostRequest, context: Context
    ) -> pb.EstimateCostResponse:
        """Say what a size would cost and which route it would take."""
        model = self._repository.get(request.model_name, request.model_version)
        size = request.image_size.height, request.image_size.width
        if min(size) < 1:
            raise InvalidRequest(f"image_size must be at least 1x1; got {size[1]}x{size[0]}")
        return _estimate(await self._inference.estimate(model, size), size)

    async def _predict(self, request: pb.PredictRequest) -> Prediction:
        model = self._repository.get(request.model_name, request.model_version)
        asked = _request(request, _image(request.image))
        return await self._inference.predict(model, asked)

    async def _outcome(self, request: pb.PredictStreamRequest) -> pb.PredictStreamResponse | bytes:
        try:
            prediction = await self._predict(request.request)
        except Exception as error:  # noqa: BLE001 - the boundary: every error becomes an answer
            answer = answer_to(error, "PredictStream")
            code, _ = answer.problem.code.value
            failure = pb.Failure(code=code, message=answer.message)
            return pb.PredictStreamResponse(id=request.id, failure=failure)
        return await _together(prediction, lambda: _in_stream(request.id, prediction))


def _request(asked: pb.PredictRequest | pb.PredictTilesHeader, image: bytes | Array) -> Request:
    unknown = [number for number in asked.outputs if number not in KINDS]
    if unknown:
        names = ", ".join(pb.OutputKind.Name(number) for number in KINDS)
        raise InvalidRequest(f"there is no output kind {unknown[0]}; there are: {names}")
    kinds = tuple(KINDS[number] for number in asked.outputs)
    own = tuple(asked.output_names)
    return Request(
        image=image,
        kinds=kinds if kinds or own else (OutputKind.CLASS_MAP,),
        top_k=asked.top_k or DEFAULT_TOP_K,
        threshold=asked.threshold if asked.HasField("threshold") else DEFAULT_THRESHOLD,
        threshold_class=asked.threshold_class,
        names=own,
    )


def _image(image: pb.Image) -> bytes | Array:
    match image.WhichOneof("source"):
        case "encoded":
            return image.encoded
        case "tensor":
            return to_array(image.tensor)
        case _:
            raise InvalidRequest("the request has no image; expected image.encoded or image.tensor")


def _planned(plan: Plan) -> dict[str, Any]:
    """The fields that a response and a plan share."""
    return {
        "model_name": plan.model.name,
        "model_version": plan.model.version,
        "image_size": _size(plan.image_size),
        "grid_size": _size(plan.grid_size),
        "route": ROUTES[plan.route],
        "pieces": plan.pieces,
        "padded": _size(plan.model.padded(plan.image_size)),
    }


def _outputs(number: int, values: Mapping[Asked, Array]) -> Iterator[Part]:
    """The field of a message that has this number: what was asked for, one after the other."""
    for asked, array in values.items():
        head = _what(asked).SerializeToString()
        tensor = field(pb.Output.TENSOR_FIELD_NUMBER, *tensor_parts(array))
        yield from field(number, head, *tensor)


def _what(asked: Asked) -> pb.Output:
    if isinstance(asked, str):
        return pb.Output(name=asked)
    return pb.Output(kind=KIND_NUMBERS[asked])


def _tile(piece: Placed) -> bytes:
    head = pb.ResultTile(
        top=piece.rows.start, left=piece.columns.start, size=_size(piece.size)
    ).SerializeToString()
    outputs = _outputs(pb.ResultTile.OUTPUTS_FIELD_NUMBER, piece.maps)
    return b"".join(field(pb.PredictTilesResponse.TILE_FIELD_NUMBER, head, *outputs))


def _response(prediction: Prediction) -> tuple[Part, ...]:
    timing = prediction.timing
    head = pb.PredictResponse(
        **_planned(prediction.plan),
        timing=pb.Timing(
            decode_s=timing.decode_s,
            queue_s=timing.queue_s,
            compute_s=timing.compute_s,
            reduce_s=timing.reduce_s,
        ),
    ).SerializeToString()
    return head, *_outputs(pb.PredictResponse.OUTPUTS_FIELD_NUMBER, prediction.outputs)


async def _together(prediction: Prediction, pack: Callable[[], bytes]) -> bytes:
    """What is small takes less than the way to a thread and back."""
    if sum(values.nbytes for values in prediction.outputs.values()) <= SMALL_BYTES:
        return pack()
    return await asyncio.to_thread(pack)


def _packed(prediction: Prediction) -> bytes:
    return b"".join(_response(prediction))


def _in_stream(id_: str, prediction: Prediction) -> bytes:
    """A stream's answer to the request of this id."""
    head = pb.PredictStreamResponse(id=id_).SerializeToString()
    number = pb.PredictStreamResponse.RESPONSE_FIELD_NUMBER
    return b"".join((head, *field(number, *_response(prediction))))


def _estimate(estimate: Estimate, size: Size) -> pb.EstimateCostResponse:
    route = estimate.route
    return pb.EstimateCostResponse(
        route=ROUTES[route.kind],
        pieces=len(route.tiles),
        grid_size=_size(estimate.grid),
        macs=route.macs,
        activation_bytes=route.activation_bytes,
        budget_bytes=route.budget_bytes,
        compute_s=estimate.compute_s,
        reason=route.reason,
        reserved_bytes=estimate.reserved_bytes,
        overhead=computed_pixels(route.tiles) / prod(size),
    )


def _summary(name: str, versions: Versions, repository: Repository) -> pb.ModelSummary:
    entry = newest(versions)
    if isinstance(entry, Broken):
        return pb.ModelSummary(name=name, versions=versions, ready=False, reason=entry.reason)
    sizes = entry.card.sizes
    broken = [each.reason for each in versions.values() if isinstance(each, Broken)]
    return pb.ModelSummary(
        name=name,
        versions=versions,
        ready=True,
        reason=repository.trouble(name, entry.version) or next(reversed(broken), ""),
        sizes=f"height {sizes.height.expected()}; width {sizes.width.expected()}",
        task=entry.card.task,
    )


def _size(size: Size) -> pb.Size:
    return pb.Size(height=size[0], width=size[1])
