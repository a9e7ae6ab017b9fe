"""`LogSettings`: how much the server logs, read and changed while it runs.

The protocol has a switch for each level; levels here build on each other, so the switches must be a
staircase: what is logged at one level is logged at all graver ones.

    log_verbose_level  log_info  log_warning  log_error    the level
            1            on         on           on        debug
            0            on         on           on        info
            0            off        on           on        warning
            0            off        off          on        error
            0            off        off          off       critical
"""

from __future__ import annotations

import logging
from collections.abc import Mapping

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_server.errors import InvalidRequest
from anyres_server.oip.shown import quoted

VERBOSE = "log_verbose_level"
SWITCHES = {
    "log_info": logging.INFO,
    "log_warning": logging.WARNING,
    "log_error": logging.ERROR,
}
_STAIRS = {VERBOSE: logging.DEBUG, **SWITCHES}  # the least grave first
Value = pb.LogSettingsRequest.SettingValue


def log_settings(request: pb.LogSettingsRequest, logger: logging.Logger) -> pb.LogSettingsResponse:
    """Change what is said, and tell how it is then.

    Raises:
        InvalidRequest: a setting is not known, not of its type, or contradicts another.
    """
    wanted = {name: _switched(name, value) for name, value in request.settings.items()}
    if wanted:
        logger.setLevel(_level(_now(logger) | wanted))
    now = _now(logger)
    answer = pb.LogSettingsResponse()
    answer.settings[VERBOSE].uint32_param = int(now[VERBOSE])
    for name in SWITCHES:
        answer.settings[name].bool_param = now[name]
    return answer


def _now(logger: logging.Logger) -> dict[str, bool]:
    return {name: logger.isEnabledFor(level) for name, level in _STAIRS.items()}


def _switched(name: str, value: Value) -> bool:
    if name == VERBOSE and value.WhichOneof("parameter_choice") == "uint32_param":
        return value.uint32_param > 0
    if name in SWITCHES and value.WhichOneof("parameter_choice") == "bool_param":
        return value.bool_param
    kinds = {VERBOSE: "a number"} | dict.fromkeys(SWITCHES, "true or false")
    if name in kinds:
        raise InvalidRequest(f"log setting {name!r} is {kinds[name]}")
    raise InvalidRequest(
        f"log setting {quoted(name)} is not one that can be changed; there are {', '.join(kinds)}"
    )


def _level(switches: Mapping[str, bool]) -> int:
    """The level that the switches mean."""
    on = [switches[name] for name in _STAIRS]
    if on != sorted(on):
        shown = ", ".join(f"{name} {'on' if switches[name] else 'off'}" for name in _STAIRS)
        raise InvalidRequest(f"a level is logged with all graver ones; that would be {shown}")
    lowest = (level for name, level in _STAIRS.items() if switches[name])
    return next(lowest, logging.CRITICAL)
