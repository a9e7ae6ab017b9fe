"""A recommendation as a model's settings, in the file beside it; what else stands there stays."""

from __future__ import annotations

from pathlib import Path

import tomlkit
from tomlkit.exceptions import TOMLKitError

from anyres_server.errors import InvalidRequest
from anyres_server.tune.recommend import Recommendation


def settings(recommendation: Recommendation) -> dict[str, str | int]:
    """By their names in the file."""
    candidate = recommendation.best.measured.candidate
    return {
        "provider": candidate.execution.provider,
        "precision": candidate.execution.precision,
        "threads": candidate.threads,
        "max_batch_size": recommendation.max_batch_size,
        "max_batch_pixels": recommendation.max_batch_pixels,
    }


def write(path: Path, values: dict[str, str | int]) -> None:
    """Write them into a file, whose comments and other settings stay; it is replaced at once.

    Raises:
        InvalidRequest: it is no TOML, or cannot be written.
    """
    try:
        document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
        document.update(values)
        fresh = path.with_name(f".{path.name}.tmp")
        fresh.write_text(tomlkit.dumps(document), "utf-8")
        fresh.replace(path)
    except TOMLKitError as error:
        raise InvalidRequest(f"{path} is no TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"{path} cannot be written: {error}") from error
