"""The file of tokens: who may call, what of, and how much; TOML that `anyres token` writes.

    [alice]
    sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
    models = ["climate_unet"]      # or ["*"], every one
    requests = 4                   # at once
    requests_per_s = 20
    megapixels_per_s = 100
    administers = false            # may load and unload models, change settings, share memory

Tokens themselves stand nowhere. They are long and random, so one plain hash hides them as well as
a slow one would, and costs a call nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from anyres_server.regular import read_regular
from anyres_server.settings.sections import Section

ALL = "*"


class Rights(Section):
    """What whoever has one token may do; a limit that is not said is the server's own."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    models: tuple[str, ...]
    requests: int | None = Field(default=None, ge=1)
    requests_per_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    megapixels_per_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    administers: bool = False

    def sees(self, model: str) -> bool:
        """Whether a model is theirs."""
        return ALL in self.models or model in self.models


_RIGHTS: TypeAdapter[dict[str, Rights]] = TypeAdapter(dict[str, Rights])


def new_token() -> str:
    """One that nobody can guess: 256 random bits, in letters that need no quotes."""
    return secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """What of a token stands in the file."""
    return hashlib.sha256(token.encode()).hexdigest()


def as_toml(name: str, rights: Rights) -> str:
    """What stands in the file of somebody; JSON's strings, lists and numbers are TOML's too."""
    said = rights.model_dump(mode="json", exclude_defaults=True)
    lines = (f"{key} = {json.dumps(value)}" for key, value in said.items())
    return "\n".join((f"[{json.dumps(name)}]", *lines, "", ""))


def read_tokens(file: Path) -> Mapping[str, Rights]:
    """The rights of everyone, by name.

    Raises:
        ValueError: it is not such a file; names it, and says where.
        OSError: there is no such file.
    """
    try:
        return _RIGHTS.validate_python(tomllib.loads(read_regular(file).decode()))
    except RecursionError as error:
        raise ValueError(f"{file} is nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{file} is no UTF-8 from byte {error.start}") from error
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{file} is no TOML: {error}") from error
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ValueError(f"{file}: {where}: {first['msg']}") from error


def owner(token: str, everyone: Mapping[str, Rights]) -> str | None:
    """Whose token it is; looks at all of them, so that time tells nothing."""
    digest = hashed(token)
    found = None
    for name, rights in everyone.items():
        if hmac.compare_digest(digest, rights.sha256):
            found = name
    return found
