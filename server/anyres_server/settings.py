"""What a server can be told, by its caller or by `ANYRES_...` in the environment; read once."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from anyres_server import machine

MIB = 2**20


class Settings(BaseSettings):
    """One server; sizes are in bytes, times in seconds."""

    model_config = SettingsConfigDict(env_prefix="ANYRES_", frozen=True, extra="forbid")

    models: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8001, ge=0, le=65535, description="0: any free one")

    threads: int = Field(default_factory=machine.processors, ge=1)
    workers: int = Field(default=1, ge=1, description="networks that run at once")

    memory_budget: int = Field(
        default_factory=lambda: machine.memory_bytes() * 7 // 10,
        ge=MIB,
        description="for pictures, results and activations together",
    )
    whole_image_budget: int = Field(
        default=512 * MIB, ge=1, description="predicted activations above which tiles are used"
    )
    tile_budget: int = Field(default=256 * MIB, ge=1, description="activations of one tile")
    max_image_pixels: int = Field(default=2**28, ge=1)
    max_message_bytes: int = Field(default=256 * MIB, ge=1024)

    max_requests: int = Field(default=128, ge=1, description="at once; more are refused")
    stream_in_flight: int = Field(default=8, ge=1, description="of one stream; more wait")
    max_batch_size: int = Field(default=8, ge=1)
    max_batch_pixels: int = Field(default=2**20, ge=1)
    max_queue_delay_s: float = Field(default=0.002, ge=0)

    grace_s: float = Field(default=30.0, ge=0, description="to finish what runs, when told to stop")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
