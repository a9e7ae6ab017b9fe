"""What a job is, and how it went."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from anyres_client.jobs.scores import Scores
from anyres_client.jobs.sinks import SHARD_SIZE

Format: TypeAlias = Literal["folder", "tar", "parquet"]
Engine: TypeAlias = Literal["local", "ray"]


@dataclass(frozen=True)
class Job:
    """What is to be done: every image of `source`, results below `out`."""

    source: str
    out: Path
    model: str
    overlay: bool = False
    format: Format = "folder"
    shard_size: int = SHARD_SIZE
    labels: Path | None = None
    in_flight: int = 4
    bytes_in_flight: int = 2**28
    attempts: int = 5
    patience_s: float = 300.0
    restart: bool = False
    engine: Engine = "local"
    ray_address: str | None = None  # of a cluster; None for one of the job's own

    @property
    def source_path(self) -> str:
        """The source, from wherever one looks."""
        return str(Path(self.source).absolute())

    @property
    def labels_path(self) -> str | None:
        """The labels, from wherever one looks."""
        return None if self.labels is None else str(self.labels.absolute())


@dataclass(frozen=True)
class Outcome:
    """One image: its megapixels where it was predicted, or why it was not."""

    file: str
    megapixels: float = 0.0
    failure: str = ""
    error: str = ""  # its class, as `anyres_client.errors` has it


@dataclass(frozen=True)
class Summary:
    """The whole job."""

    done: int
    skipped: int  # done before
    failed: int
    scores: Scores | None = None
