"""`inference.GRPCInferenceService`, the Open Inference Protocol with Triton's extensions.

Stock clients send a model's tensors and get the network's own outputs; those who send pictures, or
ask for what `anyres.v1` tells, go the way that its images go. Calls that nothing here overrides,
those about CUDA's memory, are answered UNIMPLEMENTED, and `EXTENSIONS` promises none of them.
"""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc.aio

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import grpc_service_pb2_grpc as pb_grpc
from anyres_server.inference.inference import Inference
from anyres_server.model import Model
from anyres_server.oip import index
from anyres_server.oip.answers import Answers
from anyres_server.oip.metadata import model_config, model_metadata
from anyres_server.oip.request import Asked, understood
from anyres_server.oip.shared_memory import Regions
from anyres_server.repository.repository import Repository

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NAME = "inference.GRPCInferenceService"
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
        self._answers = Answers(inference)
        self._regions = Regions(64)

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
        entries = self._repository.versions(model.name).values()
        versions = [entry.version for entry in entries if isinstance(entry, Model)]
        return await asyncio.to_thread(model_metadata, model, versions)

    async def ModelConfig(
        self, request: pb.ModelConfigRequest, context: Context
    ) -> pb.ModelConfigResponse:
        """Say how a model is configured."""
        model = self._repository.get(request.name, request.version)
        return pb.ModelConfigResponse(config=await asyncio.to_thread(model_config, model))

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """List every version of every model, or only those that can be asked."""
        index.check_repository(request.repository_name)
        models = self._repository.models.values()
        entries = (entry for versions in models for entry in versions.values())
        return index.index(entries, ready=request.ready)

    async def ModelInfer(
        self, request: pb.ModelInferRequest, context: Context
    ) -> pb.ModelInferResponse:
        """Run a model once."""
        return await self._answers.whole(request, await self._understood(request))

    async def _understood(self, request: pb.ModelInferRequest) -> Asked:
        model = self._repository.get(request.model_name, request.model_version)
        return await asyncio.to_thread(understood, request, model, self._regions)
