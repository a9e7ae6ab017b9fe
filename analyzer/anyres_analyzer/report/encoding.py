"""A report as JSON, and the schema that says what stands in it."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from anyres_analyzer.report.facts import Report

_REPORT = TypeAdapter(Report)


def encoded(report: Report) -> str:
    """The report as JSON, indented; fractions are strings such as "1/2"."""
    return _REPORT.dump_json(report, indent=2).decode()


def decoded(text: str | bytes) -> Report:
    """The report that was encoded.

    Raises:
        pydantic.ValidationError: the text is no report.
    """
    return _REPORT.validate_json(text)


def schema() -> str:
    """The JSON schema of a report, as committed in `report.schema.json`."""
    return json.dumps(_REPORT.json_schema(mode="serialization"), indent=2) + "\n"


if __name__ == "__main__":
    print(schema(), end="")
