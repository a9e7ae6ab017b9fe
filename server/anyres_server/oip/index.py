"""The repository in the protocol's words: which versions there are, and loading and unloading."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest, ModelNotFound
from anyres_server.model import Model
from anyres_server.oip.shown import quoted
from anyres_server.repository.entries import Broken, Entry

KNOWN = ("unload_dependents",)  # nothing depends on a model here, so it changes nothing


def check_repository(name: str) -> None:
    """Refuse a repository that is not there.

    Raises:
        ModelNotFound: it has a name; the only one has none.
    """
    if name:
        raise ModelNotFound(f"there is no repository {quoted(name)}; the only one has no name")


def check_options(options: Mapping[str, pb.ModelRepositoryParameter]) -> None:
    """Refuse to change what is loaded: a model is what its folder says."""
    wrong = next((name for name in options if name not in KNOWN), None)
    if wrong is not None:
        raise InvalidRequest(
            f"option {quoted(wrong)} is not served: a model is its file, and its settings are in "
            f"the TOML beside it"
        )


def index(
    entries: Iterable[Entry], trouble: Callable[[str, str], str], *, ready: bool
) -> pb.RepositoryIndexResponse:
    """Every version of every model, or only those that can be asked.

    Args:
        entries: of the repository.
        trouble: why what lies in the folder is not what serves; of a name and a version.
        ready: leave out what cannot be asked.
    """
    return pb.RepositoryIndexResponse(
        models=[
            _listed(entry, trouble) for entry in entries if isinstance(entry, Model) or not ready
        ]
    )


def _listed(
    entry: Entry, trouble: Callable[[str, str], str]
) -> pb.RepositoryIndexResponse.ModelIndex:
    broken = isinstance(entry, Broken)
    return pb.RepositoryIndexResponse.ModelIndex(
        name=entry.name,
        version=entry.version,
        state="UNAVAILABLE" if broken else "READY",
        reason=entry.reason if isinstance(entry, Broken) else trouble(entry.name, entry.version),
    )
