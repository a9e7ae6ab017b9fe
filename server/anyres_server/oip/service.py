"""`inference.GRPCInferenceService`, the Open Inference Protocol with Triton's extensions.

Stock clients send a model's tensors and get the network's own outputs; those who send pictures, or
ask for what `anyres.v1` tells, go the way that its images go. Calls that nothing here overrides,
those about CUDA's memory, are answered UNIMPLEMENTED, and `EXTENSIONS` promises none of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Any, TypeAlias

import grpc.aio

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import grpc_service_pb2_grpc as pb_grpc
from anyres_server.inference.inference import Inference
from anyres_server.model import Model
from anyres_server.observe.asked import due_within
from anyres_server.observe.share import Share
from anyres_server.oip import index
from anyres_server.oip.answers import Answers
from anyres_server.oip.log_settings import log_settings
from anyres_server.oip.metadata import model_config, model_metadata, region_status
from anyres_server.oip.request import Asked, understood
from anyres_server.oip.shared_memory import Regions
from anyres_server.oip.statistics import Statistics
from anyres_server.oip.streaming import Stream
from anyres_server.oip.trace_settings import trace_settings
from anyres_server.repository.repository import Repository
from anyres_server.settings.settings import Settings
from anyres_server.settings.versions import VersionPolicy

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

NAME = "inference.GRPCInferenceService"
EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "logging",
    "model_configuration",
    "model_repository",
    "parameters",
    "statistics",
)


def add_to(
    server: grpc.aio.Server,
    settings: Settings,
    repository: Repository,
    inference: Inference,
    statistics: Statistics,
    *,
    traced: Share | None,
) -> None:
    """Let a server speak the protocol; `traced` is None where no traces are sent."""
    limits = settings.limits
    regions = Regions(limits.shared_regions, limits.message_bytes)
    # Abstract only in the stubs: a call that it lacks is answered UNIMPLEMENTED.
    service = OpenInferenceService(  # type: ignore[abstract]
        repository,
        inference,
        statistics,
        regions,
        traced,
        stream_in_flight=limits.stream_in_flight,
        versions=settings.repository.versions,
    )
    pb_grpc.add_GRPCInferenceServiceServicer_to_server(service, server)


class OpenInferenceService(pb_grpc.GRPCInferenceServiceServicer):
    """The calls that are served; errors are raised and become codes elsewhere."""

    def __init__(
        self,
        repository: Repository,
        inference: Inference,
        statistics: Statistics,
        regions: Regions,
        traced: Share | None,
        *,
        stream_in_flight: int,
        versions: VersionPolicy,
    ) -> None:
        self._repository = repository
        self._inference = inference
        self._statistics = statistics
        self._regions = regions
        self._traced = traced
        self._stream_in_flight = stream_in_flight
        self._versions = versions
        self._answers = Answers(inference)

    async def ServerLive(
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Say that the server is alive: it answers."""
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Say whether requests are let in."""
        return pb.ServerReadyResponse(ready=self._inference.open and self._repository.ready)

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
        set_up = {"system_shared_memory": self._regions.served, "trace": bool(self._traced)}
        extensions = [*EXTENSIONS, *(name for name, served in set_up.items() if served)]
        return pb.ServerMetadataResponse(
            name="anyres", version=version("anyres"), extensions=extensions
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
        config = await asyncio.to_thread(model_config, model, self._versions)
        return pb.ModelConfigResponse(config=config)

    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, context: Context
    ) -> pb.ModelStatisticsResponse:
        """Say what has been counted so far."""
        return self._statistics.counted(request.name, request.version)

    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, context: Context
    ) -> pb.RepositoryIndexResponse:
        """List every version of every model, or only those that can be asked."""
        index.check_repository(request.repository_name)
        models = self._repository.models.values()
        entries = (entry for versions in models for entry in versions.values())
        return index.index(entries, self._repository.trouble, ready=request.ready)

    async def RepositoryModelLoad(
        self, request: pb.RepositoryModelLoadRequest, context: Context
    ) -> pb.RepositoryModelLoadResponse:
        """Load a model, or what has changed of it."""
        index.check_repository(request.repository_name)
        index.check_options(request.parameters)
        await self._repository.load(request.model_name)
        return pb.RepositoryModelLoadResponse()

    async def RepositoryModelUnload(
        self, request: pb.RepositoryModelUnloadRequest, context: Context
    ) -> pb.RepositoryModelUnloadResponse:
        """Take a model out of service; what it works on is finished."""
        index.check_repository(request.repository_name)
        index.check_options(request.parameters)
        await self._repository.unload(request.model_name)
        return pb.RepositoryModelUnloadResponse()

    async def SystemSharedMemoryStatus(
        self, request: pb.SystemSharedMemoryStatusRequest, context: Context
    ) -> pb.SystemSharedMemoryStatusResponse:
        """List the registered regions, or tell of one."""
        regions = self._regions.registered(request.name)
        return pb.SystemSharedMemoryStatusResponse(
            regions={name: region_status(region) for name, region in regions.items()}
        )

    async def SystemSharedMemoryRegister(
        self, request: pb.SystemSharedMemoryRegisterRequest, context: Context
    ) -> pb.SystemSharedMemoryRegisterResponse:
        """Register a region."""
        self._regions.register(request.name, request.key, request.offset, request.byte_size)
        return pb.SystemSharedMemoryRegisterResponse()

    async def SystemSharedMemoryUnregister(
        self, request: pb.SystemSharedMemoryUnregisterRequest, context: Context
    ) -> pb.SystemSharedMemoryUnregisterResponse:
        """Forget a region, or all."""
        self._regions.unregister(request.name)
        return pb.SystemSharedMemoryUnregisterResponse()

    async def LogSettings(
        self, request: pb.LogSettingsRequest, context: Context
    ) -> pb.LogSettingsResponse:
        """Change how much is logged, and say how much that is."""
        return log_settings(request, logging.getLogger())

    async def TraceSetting(
        self, request: pb.TraceSettingRequest, context: Context
    ) -> pb.TraceSettingResponse:
        """Change which requests are traced, and say which those are."""
        return trace_settings(request, self._traced)

    # What is large is answered as it travels, put together off the event loop.
    async def ModelInfer(  # type: ignore[override]
        self, request: pb.ModelInferRequest, context: Context
    ) -> bytes:
        """Answer one request."""
        asked = await self._understood(request)
        return await self._answers.whole(request, asked, lambda answer: b"".join(answer.parts))

    # The stubs know only generators; grpc.aio takes coroutines that write, too.
    async def ModelStreamInfer(  # type: ignore[override]
        self, request_iterator: AsyncIterator[pb.ModelInferRequest], context: Context
    ) -> None:
        """Answer many requests, some at a time."""
        stream = Stream(context, self._understood, self._answers, self._stream_in_flight)
        await stream.run(request_iterator)

    async def _understood(self, request: pb.ModelInferRequest) -> Asked:
        model = self._repository.get(request.model_name, request.model_version)
        asked = await asyncio.to_thread(understood, request, model, self._regions)
        if asked.within_s is not None:
            due_within(asked.within_s)
        return asked
