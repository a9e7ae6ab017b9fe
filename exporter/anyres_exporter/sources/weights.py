"""Checkpoints: safetensors, or plain tensors that `torch.load(weights_only=True)` reads.

A training loop saves more than the weights, and its wrappers prefix their names. What is undone,
because nothing about it can be ambiguous:

    {"epoch": 3, "model": {...}}       the one entry that holds tensors by name
    "module.conv.weight"               a prefix that all names have and none of the model's has

Where several entries hold tensors (the weights and their moving average), one has to be named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from anyres_exporter.errors import BadRecipe

State = Mapping[str, Tensor]
_COUNTER = (
    ".num_batches_tracked"  # of batch norm: older checkpoints have none, inference needs none
)


def sha256(path: Path) -> str:
    """The checksum of a file, as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_weights(model: nn.Module, path: Path, key: str | None = None) -> None:
    """Put a checkpoint's tensors into a model, in the model's own types.

    Args:
        model: what they belong to; every one of its tensors must be there, and no other.
        path: the checkpoint.
        key: the entry that holds the weights, where there are several.

    Raises:
        BadRecipe: it is no checkpoint of plain tensors, or they do not fit the model.
    """
    own = model.state_dict()
    state = _without_prefix(_state(path, key), own)
    wrong = ", ".join(_differences(own, state))
    if wrong:
        raise BadRecipe(f"{path} does not fit {type(model).__name__}: {wrong}")
    model.load_state_dict(dict(state), strict=False)  # checked above, but for counters


def _state(path: Path, key: str | None) -> State:
    found = _read(path)
    if key is not None:
        if not _holds_tensors(found.get(key)):
            raise BadRecipe(
                f"{path} has no weights at '{key}'; it has {', '.join(map(str, found)) or 'none'}"
            )
        return dict(found[key])
    if _holds_tensors(found):
        return found
    entries = [name for name, value in found.items() if _holds_tensors(value)]
    if len(entries) != 1:
        there = ", ".join(entries)
        raise BadRecipe(
            f"{path} holds several sets of weights: {there}; name one (--weights-key {entries[0]})"
            if entries
            else f"{path} holds no tensors by name"
        )
    return dict(found[entries[0]])


def _holds_tensors(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(isinstance(entry, Tensor) for entry in value.values())
    )


def _read(path: Path) -> Mapping[str, Any]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadRecipe(f"{path} is no safetensors file: {error}") from error
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise BadRecipe(
            f"{path} is no checkpoint of plain tensors, and nothing else is unpickled"
        ) from error
    if not isinstance(found, Mapping):
        raise BadRecipe(f"{path} holds a {type(found).__name__}, not tensors by name")
    return found


def _without_prefix(state: State, own: State) -> State:
    """The names without what a wrapper put before all of them."""
    first = next(iter(state), "")
    while "." in first and not state.keys() & own.keys():
        prefix = first.partition(".")[0] + "."
        if not all(name.startswith(prefix) for name in state):
            break
        state = {name.removeprefix(prefix): value for name, value in state.items()}
        first = next(iter(state))
    return state


def _differences(own: State, state: State) -> Iterator[str]:
    """In words, the first of each kind with how many there are."""
    missing = [name for name in own if name not in state and not name.endswith(_COUNTER)]
    unexpected = [name for name in state if name not in own]
    for kind, names in (("it lacks", missing), ("it has besides", unexpected)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            yield f"{kind} '{names[0]}'{more}"
    for name in own:
        if name in state and own[name].shape != state[name].shape:
            there, expected = (tuple(each[name].shape) for each in (state, own))
            yield f"'{name}' is {there} instead of {expected}"
            return
