"""The tables of a server's settings, one class each; sizes are in bytes, times in seconds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from anyres_server import machine

MIB = 2**20


class Section(BaseModel):
    """One table; a name that it does not know is a mistake."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Compute(Section):
    """What runs the networks."""

    threads: int = Field(
        default_factory=machine.processors, ge=1, description="threads that compute, in all"
    )
    workers: int = Field(default=1, ge=1, description="networks that run at once")


class Memory(Section):
    """How much memory there is for pictures, results and activations."""

    budget: int = Field(
        default_factory=lambda: machine.memory_bytes() * 7 // 10,
        ge=MIB,
        description="for all requests together",
    )
    whole_image: int = Field(
        default=512 * MIB, ge=1, description="predicted activations above which tiles are used"
    )
    tile: int = Field(default=256 * MIB, ge=1, description="activations of one tile")


class Batching(Section):
    """How pieces of one shape go through a network together."""

    max_size: int = Field(default=8, ge=1, description="images in one batch")
    max_pixels: int = Field(default=2**20, ge=1, description="pixels in one batch")
    max_delay_s: float = Field(default=0.002, ge=0, description="to wait for company")


class Limits(Section):
    """What is refused."""

    requests: int = Field(default=128, ge=1, description="at once; more are refused")
    image_pixels: int = Field(default=2**28, ge=1, description="of one image")
    message_bytes: int = Field(default=256 * MIB, ge=1024, description="of one message")
    stream_in_flight: int = Field(default=8, ge=1, description="of one stream; more wait")


class Observe(Section):
    """What the server tells about itself."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
