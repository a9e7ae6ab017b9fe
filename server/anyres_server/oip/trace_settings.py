"""`TraceSetting`: which requests are traced, read and changed while the server runs.

Traces are OpenTelemetry's spans, sent to the collector that the settings name. What can be changed
of them is whether there are any, and for one in how many requests:

    trace_level   OFF or TIMESTAMPS
    trace_rate    N: one request in N, as far as its caller does not decide it
    trace_mode    "opentelemetry", which is told and stays

A setting without a value goes back to what it was at the start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest, Unserved
from anyres_server.observe.share import Share
from anyres_server.oip.shown import quoted

LEVELS = ("OFF", "TIMESTAMPS")
MOST = 10**9


def trace_settings(request: pb.TraceSettingRequest, share: Share | None) -> pb.TraceSettingResponse:
    """Change what is said, and tell how it is then; None is a server that sends no traces.

    Raises:
        Unserved: no collector is set up.
        InvalidRequest: a setting is not known, or has no value that it can have.
    """
    if share is None:
        raise Unserved("no traces are sent: this server was started without observe.traces_to")
    if request.model_name:
        raise InvalidRequest("traces are of the whole server, not of one model")
    for change in [_change(name, value.value) for name, value in request.settings.items()]:
        change(share)
    return pb.TraceSettingResponse(
        settings={
            name: pb.TraceSettingResponse.SettingValue(value=[value])
            for name, value in _now(share).items()
        }
    )


def _now(share: Share) -> dict[str, str]:
    rate = round(1 / share.value) if share.value else 0
    level = LEVELS[bool(share.on and share.value)]
    return {"trace_mode": "opentelemetry", "trace_level": level, "trace_rate": str(rate)}


def _change(name: str, values: Sequence[str]) -> Callable[[Share], None]:
    if name not in _READ:
        raise InvalidRequest(
            f"trace setting {quoted(name)} is not one that can be changed; "
            f"there are {', '.join(_READ)}"
        )
    if len(values) > 1:
        raise InvalidRequest(f"trace setting {name!r} has one value; got {len(values)}")
    return _READ[name](values[0] if values else None)


def _level(value: str | None) -> Callable[[Share], None]:
    if value not in (None, *LEVELS):
        raise InvalidRequest(f"trace_level is {' or '.join(LEVELS)}; got {quoted(value or '')}")

    def change(share: Share) -> None:
        share.on = value != "OFF"

    return change


def _rate(value: str | None) -> Callable[[Share], None]:
    number = value and value.isascii() and value.isdigit() and len(value) < len(str(MOST))
    if value is not None and (not number or not int(value)):
        raise InvalidRequest(f"trace_rate is a number from 1 on; got {quoted(value)}")

    def change(share: Share) -> None:
        share.value = share.usual if value is None else 1 / int(value)

    return change


_READ: Mapping[str, Callable[[str | None], Callable[[Share], None]]] = {
    "trace_level": _level,
    "trace_rate": _rate,
}
