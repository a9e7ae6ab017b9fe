"""What a server can be told, by its caller or by `ANYRES_...` in the environment; read once.

A table's setting is `ANYRES_<TABLE>_<NAME>` in the environment: `ANYRES_MEMORY_BUDGET`.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from anyres_server.settings.sections import (
    Access,
    Batching,
    Compute,
    Limits,
    Memory,
    Observe,
    RepositorySettings,
)


class Settings(BaseSettings):
    """One server."""

    model_config = SettingsConfigDict(
        env_prefix="ANYRES_",
        env_nested_delimiter="_",
        env_nested_max_split=1,
        frozen=True,
        extra="forbid",
    )

    models: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8001, ge=0, le=65535, description="0: any free one")
    grace_s: float = Field(default=30.0, ge=0, description="to finish what runs, when told to stop")

    repository: RepositorySettings = Field(default_factory=RepositorySettings)
    compute: Compute = Field(default_factory=Compute)
    memory: Memory = Field(default_factory=Memory)
    batching: Batching = Field(default_factory=Batching)
    limits: Limits = Field(default_factory=Limits)
    access: Access = Field(default_factory=Access)
    observe: Observe = Field(default_factory=Observe)
