"""One model's file in, the settings that suit it on this machine out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from anyres_analyzer import analyze
from anyres_server.bench.sizes import draw
from anyres_server.engine.providers import installed, provider_of
from anyres_server.engine.session import open_engine
from anyres_server.errors import InvalidRequest
from anyres_server.machine import processors
from anyres_server.model import Execution, LoadedNetwork, Model, RouteKind
from anyres_server.picture.image import check_pixels
from anyres_server.repository.agreement import Agreement
from anyres_server.repository.entries import Broken
from anyres_server.repository.files import Found
from anyres_server.repository.loading import loader
from anyres_server.routing.router import Limits, Router
from anyres_server.settings.per_model import ModelSettings
from anyres_server.settings.sections import Limits as Requests
from anyres_server.settings.sections import Memory
from anyres_server.tune.candidates import Candidate, candidates
from anyres_server.tune.measure import measure
from anyres_server.tune.recommend import Pieces, Recommendation, Verdict, recommend, verdicts

Told = Callable[[Candidate, int], None]


@dataclass(frozen=True)
class Tuned:
    """What was measured, and what follows.

    Attributes:
        name: of the model.
        found: every candidate's figures, in the order in which they were tried.
        left_out: candidates that cannot run the model, and why.
        recommendation: of one of them.
        megapixels: of an image, on average.
    """

    name: str
    found: tuple[Verdict, ...]
    left_out: tuple[tuple[Candidate, str], ...]
    recommendation: Recommendation
    megapixels: float


def tune(
    path: Path,
    sizes: str,
    *,
    images: int,
    seconds: float,
    agreement: float,
    providers: Sequence[str] = (),
    told: Told = lambda candidate, lap: None,
) -> Tuned:
    """Measure a model with all providers that are installed, or with those that are named.

    Args:
        path: of the model's file.
        sizes: a range or names, as for benchmarks.
        images: how many are drawn from them.
        seconds: for the measurement, about.
        agreement: of the classes with the CPU's in f32, below which nothing is recommended.
        providers: to try; the CPU in f32 is tried in any case.
        told: is called before each candidate's turn.

    Raises:
        InvalidRequest: the model cannot be read or does not take these sizes.
        ProviderMissing: one of the providers is not installed.
    """
    if not path.is_file():
        raise InvalidRequest(f"there is no file {path}; expected an ONNX model")
    for name in providers:
        provider_of(Execution(name))
    wanted = dict.fromkeys(("cpu", *(providers or installed())))
    loaded, left_out = _loaded(path, candidates(wanted, processors()))
    usual = next(iter(loaded.values()))
    drawn = draw(sizes, usual.card.sizes, images)
    by_image = list(_pieces(usual, drawn))
    found = measure(loaded, (size for image in by_image for size in image), seconds, told)
    judged = verdicts(found, by_image)
    pixels = sum(height * width for height, width in drawn)
    return Tuned(
        path.stem, judged, left_out, recommend(judged, agreement), pixels / len(drawn) / 1e6
    )


def _loaded(
    path: Path, asked: Iterable[Candidate]
) -> tuple[dict[Candidate, Model], tuple[tuple[Candidate, str], ...]]:
    """The model as each candidate runs it, with its agreement; the first is what counts."""
    loaded: dict[Candidate, Model] = {}
    left_out: list[tuple[Candidate, str]] = []
    for candidate in asked:
        entry = _load(path, candidate)
        if isinstance(entry, Model):
            loaded[candidate] = entry
        elif not loaded:
            raise InvalidRequest(entry.reason)
        else:
            left_out.append((candidate, entry.reason))
    return loaded, tuple(left_out)


def _load(path: Path, candidate: Candidate) -> Model | Broken:
    def opened(file: Path, _: ModelSettings) -> LoadedNetwork:
        return open_engine(file, candidate.threads, candidate.execution)

    judge = Agreement(
        lambda _: candidate.execution, lambda file: open_engine(file, processors()), 0.0
    )
    found = Found(path.stem, "1", path, path.with_suffix(".toml"), (path,), ())
    return loader(opened, analyze, judge)(found, ModelSettings())


def _pieces(model: Model, sizes: Iterable[tuple[int, int]]) -> Iterator[Pieces]:
    """What of each image goes through the network, as a server with usual limits cuts it."""
    memory = Memory()
    router = Router(Limits(memory.activations, memory.whole_image, memory.tile))
    for size in sizes:
        check_pixels(size, Requests().image_pixels)
        route = router.route(model, size)
        if route.kind is RouteKind.REFUSED:
            raise InvalidRequest(route.reason)
        yield Counter(tile.size for tile in route.tiles)
