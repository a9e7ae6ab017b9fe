"""Checkpoints: safetensors, or plain tensors that `torch.load(weights_only=True)` reads."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from anyres_exporter.errors import BadRecipe


def sha256(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(model: nn.Module, path: Path) -> None:
    """Put a checkpoint's tensors into a model, as float32.

    Raises:
        BadRecipe: it is no checkpoint of plain tensors, or they do not fit the model.
    """
    state = _state(path)
    try:
        model.load_state_dict({name: value.float() for name, value in state.items()})
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        raise BadRecipe(
            f"{path} does not fit {type(model).__name__}: {' '.join(lines[1:2] or lines)}"
        ) from error


def _state(path: Path) -> Mapping[str, Tensor]:
    if path.suffix == ".safetensors":
        return load_file(path)
    try:
        state: Mapping[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadRecipe(
            f"{path} is no checkpoint of plain tensors, and nothing else is unpickled"
        ) from error
    return state
