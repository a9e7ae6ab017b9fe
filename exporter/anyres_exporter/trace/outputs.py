"""What a model returns, as tensors with names.

    Tensor                      {"logits": it}
    dict, dataclass, namedtuple its own names
    tuple, list                 "output_0", "output_1", ...
    any of these, nested        "aux.logits", "pyramid.0"

A value of None is one that the model leaves out. torch's exporter names by position and knows no
dataclasses, so a model of several outputs is traced inside `Flat`, which returns a plain tuple.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass

from torch import Tensor, nn

from anyres_exporter.errors import NotExportable

ONLY = "logits"


class Flat(nn.Module):
    """The same model, its outputs a tuple in the order of their names."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Every output of the network."""
        return tuple(named(self.network(image)).values())


def named(output: object) -> dict[str, Tensor]:
    """The tensors of a model's output, by name, in the order in which they stand.

    Raises:
        NotExportable: there is none, or something in it is neither tensor nor container.
    """
    if isinstance(output, Tensor):
        return {ONLY: output}
    found = dict(_tensors("", output))
    if not found:
        raise NotExportable(f"the model returns a {type(output).__name__} without any tensor")
    return found


def _tensors(name: str, value: object) -> Iterator[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        yield name, value
    elif value is not None:
        for key, part in _parts(name, value):
            yield from _tensors(key, part)


def _parts(name: str, value: object) -> Iterator[tuple[str, object]]:
    inside = f"{name}." if name else ""
    if isinstance(value, Mapping):
        yield from ((f"{inside}{key}", part) for key, part in value.items())
    elif is_dataclass(value):
        yield from ((f"{inside}{each.name}", getattr(value, each.name)) for each in fields(value))
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        yield from (
            (f"{inside}{key}", part) for key, part in zip(value._fields, value, strict=True)
        )
    elif isinstance(value, tuple | list):
        inside = inside or "output_"
        yield from ((f"{inside}{index}", part) for index, part in enumerate(value))
    else:
        where = f" as '{name}'" if name else ""
        raise NotExportable(
            f"the model returns a {type(value).__name__}{where}; expected tensors, or dicts, "
            "tuples, lists or dataclasses of tensors"
        )
