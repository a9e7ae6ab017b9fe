"""What a server can be told; `reading` says where that comes from. Read once."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from anyres_server.settings.addresses import Host
from anyres_server.settings.sections import (
    Access,
    Batching,
    Compute,
    Limits,
    Memory,
    Observe,
    RepositorySettings,
    Section,
    Uploads,
)
from anyres_server.settings.units import Seconds


class Settings(Section):
    """One server."""

    models: Path = Field(
        description="the folder of <name>.onnx and <name>/<version>/model.onnx files"
    )
    host: Host = Field(default="127.0.0.1", description="the address to listen on")
    port: int = Field(default=8001, ge=0, le=65535, description="to listen on; 0: any free one")
    grace_s: Seconds = Field(
        default=30.0, ge=0, description="to finish what runs, when told to stop"
    )

    repository: RepositorySettings = Field(default_factory=RepositorySettings)
    compute: Compute = Field(default_factory=Compute)
    memory: Memory = Field(default_factory=Memory)
    batching: Batching = Field(default_factory=Batching)
    limits: Limits = Field(default_factory=Limits)
    uploads: Uploads = Field(default_factory=Uploads)
    access: Access = Field(default_factory=Access)
    observe: Observe = Field(default_factory=Observe)
