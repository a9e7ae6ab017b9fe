"""What answers requests, however they come: the models, and what takes an image through them.

models = stack.enter_context(stocked(settings))            a repository, and memory for it
answering = await stack.enter_async_context(at_work(...))  the use cases, ready for requests
await models.repository.start()
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from anyres_analyzer import analyze
from anyres_server.engine.providers import execution_of, provider_of
from anyres_server.engine.session import open_engine
from anyres_server.errors import ProviderMissing, StartFailed
from anyres_server.inference.bounds import Bounds
from anyres_server.inference.inference import Inference
from anyres_server.inference.off_loop import OffLoop
from anyres_server.inference.pieces import Pieces
from anyres_server.inference.strips import StripInference, strip_inference
from anyres_server.model import LoadedNetwork
from anyres_server.observe.events import Tell
from anyres_server.picture.spool import Disk
from anyres_server.repository.agreement import Agreement
from anyres_server.repository.loading import loader
from anyres_server.repository.opening import repository_of
from anyres_server.repository.repository import Repository
from anyres_server.routing.pace import Pace
from anyres_server.routing.router import Limits, Router
from anyres_server.schedule.admission import Admission, admission
from anyres_server.schedule.running import scheduling
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.sections import Uploads
from anyres_server.settings.settings import Settings


class OpenEngine(Protocol):
    """Loads a network; the seam between the server and what computes."""

    def __call__(self, path: Path, *, threads: int) -> LoadedNetwork:
        """Load an ONNX file."""


@dataclass(frozen=True, eq=False)
class Stock:
    """The models, how long they take, and the memory that is lent to whoever uses them."""

    repository: Repository
    pace: Pace
    admitted: Admission


@dataclass(frozen=True, eq=False)
class Answering:
    """The use cases: images that come whole, and those that come in strips."""

    inference: Inference
    strips: StripInference


@contextmanager
def stocked(settings: Settings, opening: OpenEngine | None = None) -> Iterator[Stock]:
    """The models of a folder, opened with `opening`; none is loaded before the repository starts.

    Raises:
        StartFailed: what they are to be run with is not there.
    """
    _check_provider(settings)
    _check_disk(settings.uploads)
    admitted = admission(settings.limits.requests, settings.memory)
    pace, compute = Pace(), settings.compute

    def opened(path: Path, own: ModelSettings) -> LoadedNetwork:
        threads = own.threads or compute.threads
        if opening:
            return opening(path, threads=threads)
        return open_engine(path, threads, execution_of(compute, own))

    judge = Agreement(
        partial(execution_of, compute),
        lambda path: open_engine(path, compute.threads),
        compute.agreement,
    )
    with ThreadPoolExecutor(1, "loading") as loading:
        repository = repository_of(
            settings.models,
            settings.repository,
            pool=loading,
            load=loader(opened, analyze, judge),
            lent=admitted.activations.lent,
            note=pace.note,
        )
        yield Stock(repository, pace, admitted)


@asynccontextmanager
async def at_work(settings: Settings, stock: Stock, tell: Tell) -> AsyncIterator[Answering]:
    """Take requests until the block ends."""
    threads, admitted = settings.compute.threads, stock.admitted
    with (
        ThreadPoolExecutor(threads, "pixels") as pixels,
        ThreadPoolExecutor(2 * threads + 1, "networks") as networks,
    ):
        async with scheduling(settings, networks, stock.pace, tell) as batcher:
            bounds = Bounds(settings.limits.image_pixels, settings.limits.message_bytes)
            pieces = Pieces(
                admitted.activations, batcher, stock.pace, OffLoop(pixels), at_once=threads + 1
            )
            router = _router(settings)
            inference = Inference(admitted, router, pieces, bounds)
            strips = strip_inference(settings, admitted, router, pieces, inference)
            yield Answering(inference, strips)


def _router(settings: Settings) -> Router:
    memory = settings.memory
    piece = min(memory.whole_image, memory.activations)
    return Router(Limits(memory.activations, piece, min(memory.tile, piece)))


def _check_disk(uploads: Uploads) -> None:
    if uploads.disk:
        try:
            Disk(uploads.disk, uploads.folder).check()
        except OSError as error:
            folder = uploads.folder or "the system's folder for temporary files"
            raise StartFailed(
                f"uploads.folder: nothing can be written into {folder}: {error.strerror}"
            ) from error


def _check_provider(settings: Settings) -> None:
    """What all models are run with must be there, or nothing starts."""
    try:
        provider_of(execution_of(settings.compute, ModelSettings()))
    except ProviderMissing as error:
        raise StartFailed(f"compute.provider: {error}") from error
