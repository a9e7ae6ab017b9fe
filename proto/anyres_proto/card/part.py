"""What every part of a card is: unchangeable, and strict about its fields."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Read from JSON, or from another's values of the same names."""

    model_config = ConfigDict(frozen=True, extra="forbid", from_attributes=True)
