"""The protocol's parameters: named options of a request or a tensor, each of one of five types.

What is known must be of its type. What is not known is refused: a threshold under a mistyped name
would change nothing, and nobody would notice. What stock clients send by themselves, and means
nothing here, is let pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from math import isfinite
from typing import TypeAlias

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.oip.shown import quoted

Parameters: TypeAlias = Mapping[str, pb.InferParameter]


@dataclass(frozen=True)
class Known:
    """The names of the parameters that something may have."""

    heard: tuple[str, ...]
    let_pass: frozenset[str]


_SHARED = ("shared_memory_region", "shared_memory_byte_size", "shared_memory_offset")
_STOCK = "triton_"  # how parameters begin that Triton keeps for itself
OF_REQUEST = Known(
    ("output_datatype", "threshold", "threshold_class", "tiles", "timeout", "top_k"),
    frozenset(
        """priority sequence_id sequence_start sequence_end binary_data_output content_type
        headers""".split()
    ),
)
OF_INPUT = Known(_SHARED, frozenset({"binary_data_size", "content_type"}))
OF_OUTPUT = Known(
    ("classification", "output_datatype", *_SHARED),
    frozenset({"binary_data", "binary_data_size", "content_type"}),
)


def check_known(parameters: Parameters, known: Known, owner: str) -> None:
    """Refuse a parameter that says nothing to anybody.

    Raises:
        InvalidRequest: there is one; tells the nearest, or all that there are.
    """
    for name in parameters:
        if name not in known.heard and name not in known.let_pass and not name.startswith(_STOCK):
            near = get_close_matches(name[:64], known.heard, n=1)
            hint = f"the nearest is {near[0]}" if near else f"there are {', '.join(known.heard)}"
            raise InvalidRequest(f"{owner} has no parameter {quoted(name)}; {hint}")


def text(parameters: Parameters, name: str) -> str | None:
    """A string; None where it is not given."""
    given = _given(parameters, name, "string_param")
    return None if given is None else given.string_param


def flag(parameters: Parameters, name: str) -> bool:
    """A boolean; false where it is not given."""
    given = _given(parameters, name, "bool_param")
    return given is not None and given.bool_param


def number(parameters: Parameters, name: str, least: int = 0) -> int | None:
    """A whole number of at least `least`, signed or not on the wire; None where it is not given."""
    given = _given(parameters, name, "int64_param", "uint64_param")
    if given is None:
        return None
    value = given.int64_param or given.uint64_param
    if value < least:
        raise InvalidRequest(f"parameter {name!r} is at least {least}; got {value}")
    return value


def fraction(parameters: Parameters, name: str) -> float | None:
    """A finite number that may lie between whole ones; None where it is not given."""
    given = _given(parameters, name, "double_param", "int64_param")
    if given is None:
        return None
    whole = given.WhichOneof("parameter_choice") == "int64_param"
    value = float(given.int64_param) if whole else given.double_param
    if not isfinite(value):
        raise InvalidRequest(f"parameter {name!r} is a finite number; got {value}")
    return value


def _given(parameters: Parameters, name: str, *kinds: str) -> pb.InferParameter | None:
    if name not in parameters:  # a look at a map's missing key would put it there
        return None
    given = parameters[name]
    kind = given.WhichOneof("parameter_choice")
    if kind not in kinds:
        raise InvalidRequest(f"parameter {name!r} is a {kinds[0]}; got {kind or 'nothing'}")
    return given


def made(value: bool | int | str) -> pb.InferParameter:
    """A parameter of an answer."""
    match value:
        case bool():
            return pb.InferParameter(bool_param=value)
        case int():
            return pb.InferParameter(int64_param=value)
        case str():
            return pb.InferParameter(string_param=value)
