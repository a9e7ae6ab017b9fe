"""What one model can be told, in a TOML file beside it; what is not said is the server's.

models/unet.onnx          models/unet/1/model.onnx
models/unet.toml          models/unet/model.toml
"""

from __future__ import annotations

from pydantic import Field

from anyres_server.settings.sections import Section


class ModelSettings(Section):
    """One model; times in seconds."""

    max_batch_size: int | None = Field(default=None, ge=1)
    max_batch_pixels: int | None = Field(default=None, ge=1)
    max_queue_delay_s: float | None = Field(default=None, ge=0)
