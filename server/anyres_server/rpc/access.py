"""Who calls, and what they may: by a bearer token in the call's metadata.

Without a file of tokens everyone may do everything. With one, a call without a token is
UNAUTHENTICATED, unless it is among those that need none; what a token does not allow is
PERMISSION_DENIED, in the same words whether or not there is such a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Protocol, TypeAlias

import grpc.aio
from google.protobuf import descriptor_pool

from anyres_server.errors import Forbidden, NoToken, StartFailed
from anyres_server.observe.events import Answered, Event
from anyres_server.rpc.rates import Pace
from anyres_server.rpc.tokens import ALL, Rights, owner
from anyres_server.schedule.admission import Gate

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]

SCHEME = "bearer "
LONGEST_TOKEN = 1024  # characters: what is longer is not even hashed

# What changes the server for everyone, or reads what is not the caller's.
ADMINISTERS = frozenset(
    """RepositoryModelLoad RepositoryModelUnload TraceSetting LogSettings
    SystemSharedMemoryStatus SystemSharedMemoryRegister SystemSharedMemoryUnregister
    CudaSharedMemoryStatus CudaSharedMemoryRegister CudaSharedMemoryUnregister""".split()
)


@dataclass(frozen=True, eq=False)
class Caller:
    """Somebody, and how much of their share they use."""

    name: str
    rights: Rights

    @cached_property
    def gate(self) -> Gate | None:
        """A place for each of their calls; None where only the server's own limit holds."""
        most = self.rights.requests
        return None if most is None else Gate(most, f"requests of {self.name}")

    @cached_property
    def pace(self) -> Pace:
        """How fast they ask."""
        return Pace(self.name, self.rights.requests_per_s, self.rights.megapixels_per_s)

    def entered(self) -> AbstractContextManager[None]:
        """Take a place for a while.

        Raises:
            Overloaded: they have as many as may be.
        """
        return nullcontext() if self.gate is None else self.gate.entered()

    def sees(self, model: str) -> bool:
        """Whether a model is theirs."""
        return self.rights.sees(model)

    def check(self, model: str) -> None:
        """Raise where a model is not theirs.

        Raises:
            NoToken: nobody knows them.
            Forbidden: they have a token for other models.
        """
        if self.sees(model):
            return
        if not self.name:
            raise NoToken("this needs a token: send metadata `authorization: Bearer TOKEN`")
        theirs = ", ".join(self.rights.models) or "none"
        raise Forbidden(f"{self.name} may not use model {model!r}; may use: {theirs}")


def metadata_of(context: Context) -> Metadata:
    """What a call sent ahead of its message."""
    return tuple((key, value) for key, value in context.invocation_metadata() or ())


CALLER: ContextVar[Caller | None] = ContextVar("caller", default=None)


class Known(Protocol):
    """What the file of tokens says now."""

    @property
    def value(self) -> Mapping[str, Rights]:
        """The rights of everyone, by name."""


class Access:
    """Finds out who calls. Callers are kept as long as their rights stay the same."""

    def __init__(self, known: Known | None, no_token: Sequence[str]) -> None:
        self._known = known
        self._no_token = frozenset(no_token)
        self._anyone = Caller("", _rights((ALL,), administers=True))
        self._nobody = Caller("", _rights(()))
        self._callers: dict[str, Caller] = {}

    def caller(self, method: str, metadata: Metadata) -> Caller:
        """Who makes a call; `method` is its full name, "/package.Service/Call".

        Raises:
            NoToken: it needs a token, and has none or one that nobody knows.
            Forbidden: it is an administrator's.
        """
        service, _, call = method.strip("/").partition("/")
        if self._known is None:
            return self._anyone
        sent = _token(metadata)
        name = None if sent is None else owner(sent, self._known.value)
        if name is None:
            if self._no_token & {service, f"{service}/{call}"}:
                return self._nobody
            raise NoToken(
                "nobody has this token"
                if sent
                else "this needs a token: send metadata `authorization: Bearer TOKEN`"
            )
        caller = self._of(name, self._known.value[name])
        if call in ADMINISTERS and not caller.rights.administers:
            raise Forbidden(f"{caller.name} may not call {call}: it is for those who administer")
        return caller

    def _of(self, name: str, rights: Rights) -> Caller:
        caller = self._callers.get(name)
        if caller is None or caller.rights != rights:
            caller = self._callers[name] = Caller(name, rights)
        return caller


def check_names(no_token: Iterable[str], services: Iterable[str]) -> None:
    """Refuse names of services and calls that there are not: somebody would be let in by none.

    Raises:
        StartFailed: one is neither a service nor "service/call"; tells the nearest.
    """
    pool = descriptor_pool.Default()
    found = [pool.FindServiceByName(name) for name in services]
    calls = [f"{each.full_name}/{call.name}" for each in found for call in each.methods]
    known = [*(each.full_name for each in found), *calls]
    for name in no_token:
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"; the nearest is {near[0]}" if near else f"; there are {', '.join(known)}"
            raise StartFailed(f"access.no_token: there is no service or call {name!r}{hint}")


def charging(everyone: Pace) -> Callable[[Event], None]:
    """Pays the pixels of what was answered: from the caller's share, and from everyone's."""

    def tell(event: Event) -> None:
        if isinstance(event, Answered):
            height, width = event.plan.image_size
            pixels = event.images * height * width
            everyone.charge(pixels)
            caller = CALLER.get()
            if caller is not None:
                caller.pace.charge(pixels)

    return tell


def _token(metadata: Metadata) -> str | None:
    """The one token that was sent; None where there is none, or none that could be right."""
    sent = [value for key, value in metadata if key == "authorization"]
    if len(sent) != 1 or not isinstance(sent[0], str) or len(sent[0]) > LONGEST_TOKEN:
        return None
    scheme, token = sent[0][: len(SCHEME)], sent[0][len(SCHEME) :].strip()
    return token if scheme.lower() == SCHEME and token else None


def _rights(models: tuple[str, ...], *, administers: bool = False) -> Rights:
    return Rights(sha256="0" * 64, models=models, administers=administers)
