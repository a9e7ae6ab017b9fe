"""When each buffer is taken and given back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from anyres_analyzer.cost.runtime.buffers import RuntimeCall
from anyres_analyzer.cost.runtime.lowering import Lowered


@dataclass(frozen=True)
class Event:
    """A buffer is taken (bytes above 0) or given back (0).

    `is_output` goes to the caller; `is_workspace` is asked for by a kernel, not planned.
    """

    buffer: str
    bytes: int
    node: str
    is_output: bool = False
    is_workspace: bool = False


def events(program: Lowered) -> Iterator[Event]:
    """In the order they happen; what is written over or shared goes on under its first name."""
    last = {name: at for at, call in enumerate(program.calls) for name in (*call.reads, call.makes)}
    last |= dict.fromkeys(program.outputs, len(program.calls))
    roots: dict[str, str] = {}  # name -> the one that its buffer was taken under
    until: dict[str, int] = {}  # buffer -> the last call that needs it
    for at, call in enumerate(program.calls):
        owned = {name: roots[name] for name in call.reads if name in roots}
        dying = {name for name, root in owned.items() if until[root] <= at}
        root = roots[call.makes] = owned.get(_goes_on(call, dying, program), call.makes)
        until[root] = max(until.get(root, at), last[call.makes])
        if root == call.makes:
            yield Event(root, call.bytes, call.node, is_output=root in program.outputs)
        if call.workspace_bytes:
            yield Event("", call.workspace_bytes, call.node, is_workspace=True)
            yield Event("", 0, call.node, is_workspace=True)
        for buffer in dict.fromkeys((*owned.values(), root)):
            if until[buffer] <= at:
                yield Event(buffer, 0, call.node)


def _goes_on(call: RuntimeCall, dying: set[str], program: Lowered) -> str:
    """Which of the buffers that it reads its output lies in; none is ""."""
    if call.shares:
        return call.reads[0]
    if not program.static or call.makes in program.outputs:
        return ""
    return next((name for name in call.may_overwrite if name in dying), "")
