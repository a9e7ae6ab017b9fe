"""The tables of a server's settings, one class each; sizes are in bytes, times in seconds."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from anyres_server import machine
from anyres_server.settings.addresses import Collector, Host
from anyres_server.settings.units import Bytes, Seconds
from anyres_server.settings.versions import VersionPolicy

MIB = 2**20
# gRPC counts in 31 bits: calls, bytes of a message, milliseconds.
MANY = 2**24
WEEK_S = 7 * 24 * 3600


class Section(BaseModel):
    """One table; a name that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Compute(Section):
    """What runs the networks."""

    threads: int = Field(
        default_factory=machine.processors,
        ge=1,
        le=1024,
        description="that compute, in all",
    )
    spin: bool = Field(
        default=False,
        description="whether they wait for work at full speed: sooner there, and never idle",
    )
    provider: str = Field(default="cpu", description="cpu, openvino or cuda; must be installed")
    precision: str = Field(
        default="f32", description="f32; bf16 with openvino, tf32 with cuda: faster, and rounded"
    )
    options: dict[str, str] = Field(
        default_factory=dict, description="ONNX Runtime's own, for the provider"
    )
    agreement: float = Field(
        default=0.99,
        ge=0,
        le=1,
        description="of classes with those of the CPU in f32, below which a model is not served",
    )


class Memory(Section):
    """How much memory there is for pictures, results and activations.

    What is left of the budget is nobody's: freed memory is kept for the next run, and between
    blocks of many sizes lie holes. A process holds up to 1.8 times the activations of its runs
    (`benchmarks/tiles.py`).
    """

    budget: Bytes = Field(
        default_factory=lambda: machine.memory_bytes() * 7 // 10,
        ge=MIB,
        description="for all requests together",
    )
    pictures: Bytes = Field(
        default_factory=lambda given: max(1, given.get("budget", 0) // 2),
        ge=1,
        description="pixels and results, while their requests live",
    )
    activations: Bytes = Field(
        default_factory=lambda given: max(1, given.get("budget", 0) // 4),
        ge=1,
        description="of all pieces that are in a network",
    )
    whole_image: Bytes = Field(
        default_factory=lambda given: given.get("activations", 1),
        ge=1,
        description="predicted activations above which tiles are used, whatever their halos cost",
    )
    tile: Bytes = Field(
        default=256 * MIB,
        ge=1,
        description="activations of one tile; more where halos would cost much, up to whole_image",
    )
    resident: Bytes = Field(
        default_factory=lambda: machine.memory_bytes() * 9 // 10,
        ge=MIB,
        description="of the whole process, above which no message is read",
    )
    keep_freed: Bytes = Field(
        default_factory=lambda given: given.get("budget", 0) // 8,
        ge=0,
        description="freed memory that is kept for the next request; fresh memory takes time",
    )

    @field_validator("pictures")
    @classmethod
    def _within_all(cls, pictures: int, given: ValidationInfo) -> int:
        budget = given.data.get("budget", pictures)
        if pictures > budget:
            raise ValueError(f"expected at most {budget} bytes, all of memory.budget")
        return pictures

    @field_validator("activations")
    @classmethod
    def _within_the_budget(cls, activations: int, given: ValidationInfo) -> int:
        known = given.data
        left = known.get("budget", activations) - known.get("pictures", 0)
        if activations > left:
            said = f"at most {left} bytes, what memory.pictures leaves of memory.budget"
            raise ValueError(f"expected {said}")
        return activations


class Batching(Section):
    """How pieces of one shape go through a network together."""

    max_size: int = Field(default=8, ge=1, description="images in one batch")
    max_pixels: int = Field(default=2**20, ge=1, description="pixels in one batch")
    max_delay_s: Seconds = Field(default=0.002, ge=0, le=1, description="to wait for company")


class Limits(Section):
    """What is refused."""

    requests: int = Field(default=128, ge=1, le=MANY, description="at once; more are refused")
    streams: int = Field(default=128, ge=1, le=MANY, description="open at once; more are refused")
    image_pixels: int = Field(default=2**28, ge=1, description="of one image")
    message_bytes: Bytes = Field(
        default=256 * MIB, ge=1024, le=2046 * MIB, description="of one message"
    )
    message_s: Seconds = Field(default=60.0, gt=0, description="for a call's one message to arrive")
    stream_in_flight: int = Field(default=8, ge=1, description="of one stream; more wait")
    shared_regions: int = Field(
        default=64, ge=0, description="of shared memory, registered at once; 0: none are served"
    )
    requests_per_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="in all; none: no limit"
    )
    megapixels_per_s: float | None = Field(
        default=None, gt=0, allow_inf_nan=False, description="in all"
    )
    connections: int = Field(default=4096, ge=1, le=MANY, description="open at once")
    keepalive_s: Seconds = Field(
        default=30.0,
        ge=0.05,
        le=WEEK_S,
        description="after which a silent connection is asked, then closed",
    )
    connection_age_s: Seconds = Field(
        default=0.0,
        ge=0,
        le=WEEK_S,
        description="after which a connection takes no more calls, so that its caller looks up the "
        "server's name again and finds new replicas; 0: never",
    )


class Uploads(Section):
    """Pictures that come in parts and are never whole in memory."""

    at_once: int = Field(default=8, ge=1, description="of them; more are refused")
    pixels: int = Field(default=2**33, ge=1, description="of one, if it is read in strips")
    file_bytes: Bytes = Field(default=2**34, ge=1, description="of one's file")
    chunk_bytes: Bytes = Field(default=4 * MIB, ge=1, description="of a file in one message")
    expansion: int = Field(default=2000, ge=1, description="times its file that one may unfold to")
    stall_s: Seconds = Field(
        default=60.0, gt=0, description="for a caller to send more, or to take what is done"
    )
    disk: Bytes = Field(
        default=2**34, ge=0, description="for files that are not read from front to back, in all"
    )
    folder: Path | None = Field(
        default=None, description="for those; the system's folder for temporary files if none"
    )


class Access(Section):
    """Who may call; files are read again when they change."""

    tokens: Path | None = Field(default=None, description="who may call, by `anyres token`")
    no_token: tuple[str, ...] = Field(
        default=("grpc.health.v1.Health",), description="services and calls that need no token"
    )
    certificate: Path | None = Field(default=None, description="the server's, PEM, with its chain")
    key: Path | None = Field(default=None, description="the certificate's, PEM")
    client_authorities: Path | None = Field(
        default=None, description="who signs the certificates that clients must show, PEM"
    )
    reflection: bool = Field(default=True, description="tell which calls there are")


class Observe(Section):
    """What the server tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="the least that is logged"
    )
    log_format: Literal["text", "json"] = Field(default="text", description="of the log's lines")
    log_calls: bool = Field(default=False, description="a line for every call that ended")
    metrics_port: int | None = Field(
        default=None, ge=0, le=65535, description="for Prometheus, over HTTP; 0: any free one"
    )
    metrics_host: Host | None = Field(default=None, description="if not the server's own")
    traces_to: Collector | None = Field(
        default=None, description="an OTLP collector over gRPC: http://localhost:4317"
    )
    traced_share: float = Field(default=1.0, ge=0, le=1, description="of requests, 0 to 1")


class RepositorySettings(Section):
    """Which of a folder's models are served, and how changes there are noticed."""

    watch: bool = Field(default=True, description="whether changes are noticed by themselves")
    poll_s: Seconds = Field(
        default=5.0, ge=0.05, description="between looks, where the kernel tells of no changes"
    )
    settle_s: Seconds = Field(
        default=0.5, ge=0, description="without a change until a file is taken for complete"
    )
    versions: VersionPolicy = Field(
        default="all", description='"all", "latest", "latest N" or a list of version numbers'
    )
    warm_up_s: Seconds = Field(
        default=10.0, ge=0, description="for a model's first runs, before it is ready; 0: none"
    )
