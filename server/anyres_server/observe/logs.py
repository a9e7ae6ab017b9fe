"""The log, on stderr: a line for people, or one JSON object a line for what collects them.

Each line that belongs to a request has its id. What callers send cannot begin a line of its own.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime

from opentelemetry import trace

from anyres_server.observe.asked import asked

ESCAPED = {ord(end): repr(end)[1:-1] for end in "\n\r\x0b\x0c\x1b\x85\u2028\u2029"}


class Text(logging.Formatter):
    """`INFO anyres_server.main: ... [request-id]`"""

    def __init__(self) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """One line; a traceback comes below it."""
        request = asked()
        line = super().formatMessage(record).translate(ESCAPED)
        return line if request is None else f"{line} [{request.id}]"


class Json(logging.Formatter):
    """`{"time": ..., "level": ..., "logger": ..., "message": ..., "request_id": ...}`"""

    def format(self, record: logging.LogRecord) -> str:
        """One object; a traceback is one of its strings."""
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_request(),
        }
        if record.exc_info:
            said["traceback"] = self.formatException(record.exc_info)
        return json.dumps(said, ensure_ascii=False).translate(ESCAPED)


FORMATS = {"text": Text, "json": Json}


def log_to_stderr(level: str, form: str) -> None:
    """From here on the process logs."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FORMATS[form]())
    logging.basicConfig(level=level.upper(), handlers=[handler])
    logging.captureWarnings(capture=True)  # Pillow warns of odd files; that is no caller's business


def _request() -> dict[str, str]:
    request = asked()
    if request is None:
        return {}
    said = {
        "request_id": request.id,
        "call": request.call,
        "model": request.model,
        "caller": request.caller,
    }
    span = trace.get_current_span().get_span_context()
    if span.is_valid:
        said["trace_id"] = trace.format_trace_id(span.trace_id)
    return {key: value for key, value in said.items() if value}
