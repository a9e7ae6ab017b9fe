"""What one model can be told, in a TOML file beside it; what is not said is the server's.

models/unet.onnx          models/unet/1/model.onnx
models/unet.toml          models/unet/model.toml
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from anyres_server.errors import ModelBroken
from anyres_server.settings.mistake import Mistake, blamed
from anyres_server.settings.sections import Section
from anyres_server.settings.toml import read_toml
from anyres_server.settings.units import Seconds, Size
from anyres_server.settings.versions import VersionPolicy


class ModelSettings(Section):
    """One model; times in seconds."""

    max_batch_size: int | None = Field(default=None, ge=1, description="images in one batch")
    max_batch_pixels: int | None = Field(default=None, ge=1, description="pixels in one batch")
    max_queue_delay_s: Seconds | None = Field(
        default=None, ge=0, le=1, description="to wait for company"
    )
    versions: VersionPolicy | None = Field(
        default=None, description='"all", "latest", "latest N" or a list of version numbers'
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="of a run that has them all"
    )
    provider: str | None = Field(default=None, description="cpu, openvino or cuda")
    precision: str | None = Field(default=None, description="f32, or one of the provider's")
    options: dict[str, str] | None = Field(
        default=None, description="ONNX Runtime's own, for the provider"
    )
    warm_up: tuple[Size, ...] | None = Field(
        default=None, description='what it is warmed up with, WIDTHxHEIGHT: ["512x256"]'
    )


def read_model_settings(path: Path) -> ModelSettings:
    """What a file says; the usual where there is none. Blocks.

    Raises:
        ModelBroken: it is no TOML, or says what cannot be; names the line.
    """
    try:
        written = read_toml(path)
    except FileNotFoundError:
        return ModelSettings()
    except OSError as error:
        raise ModelBroken(f"{path.name} cannot be read: {error.strerror}") from error
    except Mistake as error:
        raise ModelBroken(str(error)) from error
    try:
        return ModelSettings.model_validate(written.values)
    except ValidationError as error:
        key, what = blamed(ModelSettings, error)
        raise ModelBroken(f"{written.where(key)}: {what}") from error
