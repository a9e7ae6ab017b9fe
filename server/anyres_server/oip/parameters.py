"""The protocol's parameters: named options of a request or a tensor, each of one of five types.

What is not known is let pass, as the protocol wants it; what is known must be of its type.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest

Parameters: TypeAlias = Mapping[str, pb.InferParameter]


def text(parameters: Parameters, name: str) -> str | None:
    """A string; None where it is not given."""
    given = _given(parameters, name, "string_param")
    return None if given is None else given.string_param


def flag(parameters: Parameters, name: str) -> bool:
    """A boolean; false where it is not given."""
    given = _given(parameters, name, "bool_param")
    return given is not None and given.bool_param


def number(parameters: Parameters, name: str) -> int | None:
    """A whole number of at least 0, signed or not on the wire; None where it is not given."""
    given = _given(parameters, name, "int64_param", "uint64_param")
    if given is None:
        return None
    value = given.int64_param or given.uint64_param
    if value < 0:
        raise InvalidRequest(f"parameter {name!r} is at least 0; got {value}")
    return value


def fraction(parameters: Parameters, name: str) -> float | None:
    """A number that may lie between whole ones; None where it is not given."""
    given = _given(parameters, name, "double_param", "int64_param")
    if given is None:
        return None
    whole = given.WhichOneof("parameter_choice") == "int64_param"
    return float(given.int64_param) if whole else given.double_param


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
