"""Numbers as people read them."""

from __future__ import annotations


def scaled(count: int) -> str:
    """Three or four digits and a unit: 9.32 G."""
    for unit, size in (("T", 10**12), ("G", 10**9), ("M", 10**6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count:,}"


def mebibytes(count: int) -> str:
    """Bytes in MiB, or in KiB where those are few: 25.1 MiB, 12.0 KiB."""
    return f"{count / 2**20:,.1f} MiB" if count >= 2**20 else f"{count / 2**10:,.1f} KiB"
