"""`inference.GRPCInferenceService`, the Open Inference Protocol: stock clients send plain tensors.

A model's one input is images as its network takes them, floats or bytes, and its outputs are the
network's own: no decoding, scaling, tiling or reducing, which are `anyres.v1`'s. Of Triton's
extensions a few are here; the rest is answered UNIMPLEMENTED, as nothing overrides it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc.aio

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import grpc_service_pb2_grpc as pb_grpc
from anyres_proto.inference import model_config_pb2 as config
from anyres_server.errors import ModelNotFound
from anyres_server.inference.inference import Inference
from anyres_server.model import Model
from anyres_server.oip import codec
from anyres_server.repository.repository import Broken, Entry, Repository

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NAME = "inference.GRPCInferenceService"
PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("model_configuration", "binary_tensor_data")


def add_to(server: grpc.aio.Server, repository: Repository, inference: Inference) -> None:
    """Let a server speak the protocol."""
    # Abstract only in the stubs: a call that it lacks is answered UNIMPLEMENTED.
    service = OpenInferenceService(repository, inference)  # type: ignore[abstract]
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)


class OpenInferenceService(pb_grpc.GRPCInferenceServiceServicer):
    """The calls that are served; errors are raised and become codes elsewhere."""

    def __init__(self, repository: Repository, inference: Inference) -> None:
        self._repository = repository
        self._inference = inference

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Say that the server is alive: it answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Say whether requests are let in."""
        return pb.ServerReadyResponse(ready=self._inference.open)

    async def ModelReady(
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Say whether a model can be asked; one that does not exist cannot."""
        versions = self._repository.models.get(request.name, {})
        asked = [versions.get(request.version)] if request.version else versions.values()
        ready = any(isinstance(entry, Model) for entry in asked)
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, context: Context
    ) -> pb.ServerMetadataResponse:
        """Say what this server is."""
        return pb.ServerMetadataResponse(
            name="anyres", version=version("anyres"), extensions=EXTENSIONS
        )

    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, context: Context
    ) -> pb.ModelMetadataResponse:
        """Say what a model takes and gives."""
        model = self._repository.get(request.name, request.version)
        return await asyncio.to_thread(_metadata, model, self._repository)

    async def ModelConfig(
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        """Say how a model is configured."""
        model = self._repository.get(request.name, request.version)
        return pb.ModelConfigResponse(config=await asyncio.to_thread(_config, model))

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """List every version of every model, or only those that can be asked."""
        if request.repository_name:
            raise ModelNotFound(
                f"there is no repository {request.repository_name!r}; the only one has no name"
            )
        return pb.RepositoryIndexResponse(
            models=[
                _listed(entry)
                for versions in self._repository.models.values()
                for entry in versions.values()
                if isinstance(entry, Model) or not request.ready
            ]
        )

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Run a model once."""
        model = self._repository.get(request.model_name, request.model_version)
        outputs = codec.asked(request, model)
        images = await asyncio.to_thread(codec.to_images, request, model)
        values = await self._inference.infer(model, images, outputs)
        return await asyncio.to_thread(codec.to_response, request, model, outputs, values)


def _metadata(model: Model, repository: Repository) -> pb.ModelMetadataResponse:
    card, tensor = model.card, pb.ModelMetadataResponse.TensorMetadata
    entries = repository.versions(model.name).values()
    return pb.ModelMetadataResponse(
        name=model.name,
        versions=[entry.version for entry in entries if isinstance(entry, Model)],
        platform=PLATFORM,
        inputs=[
            tensor(
                name=card.input.name,
                datatype=codec.DATATYPES[card.input.dtype],
                shape=codec.model_input(model),
            )
        ],
        outputs=[
            tensor(
                name=output.name,
                datatype=codec.DATATYPES[output.dtype],
                shape=codec.model_output(model, output),
            )
            for output in card.outputs
        ],
        properties=dict(_properties(model)),
    )


def _properties(model: Model) -> Iterator[tuple[str, str]]:
    """What shapes cannot say: the exact sizes, why those, and what the numbers mean."""
    sizes = model.card.sizes
    for name, axis in (("height", sizes.height), ("width", sizes.width)):
        yield name, axis.expected()
        yield f"{name}_reason", axis.reason
    yield "task", model.card.task
    yield "output_meaning", model.card.output.meaning


def _config(model: Model) -> config.ModelConfig:
    """Shapes include the batch axis, so `max_batch_size` is 0."""
    card = model.card
    all_versions = config.ModelVersionPolicy(all=config.ModelVersionPolicy.All())
    return config.ModelConfig(
        name=model.name,
        platform=PLATFORM,
        backend="onnxruntime",
        version_policy=all_versions,
        max_batch_size=0,
        input=[
            config.ModelInput(
                name=card.input.name,
                data_type=_data_type(card.input.dtype),
                dims=codec.model_input(model),
            )
        ],
        output=[
            config.ModelOutput(
                name=output.name,
                data_type=_data_type(output.dtype),
                dims=codec.model_output(model, output),
            )
            for output in card.outputs
        ],
    )


def _data_type(dtype: str) -> config.DataType.ValueType:
    return config.DataType.Value(f"TYPE_{codec.DATATYPES[dtype]}")


def _listed(entry: Entry) -> pb.RepositoryIndexResponse.ModelIndex:
    broken = isinstance(entry, Broken)
    return pb.RepositoryIndexResponse.ModelIndex(
        name=entry.name,
        version=entry.version,
        state="UNAVAILABLE" if broken else "READY",
        reason=entry.reason if isinstance(entry, Broken) else "",
    )
