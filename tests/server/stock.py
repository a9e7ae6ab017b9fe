"""Asks a server as a stock client does, in a process of the client's own."""

from __future__ import annotations

import asyncio
import json
import sys
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any

STOCK_CLIENT = Path(__file__).with_name("stock_client.py")


async def stock(port: int, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a stock client gets for these calls, made in order."""
    pipe = asyncio.subprocess.PIPE
    client = await asyncio.create_subprocess_exec(
        sys.executable, STOCK_CLIENT, f"127.0.0.1:{port}", stdin=pipe, stdout=pipe
    )
    answer, _ = await client.communicate(json.dumps(calls).encode())
    assert client.returncode == 0
    outcomes: list[dict[str, Any]] = json.loads(answer)
    return outcomes


def sent(*files: bytes) -> list[str]:
    """Files as the stock client takes them."""
    return [b64encode(file).decode() for file in files]


def received(element: str) -> bytes:
    """An element of BYTES as the stock client hands it over."""
    return b64decode(element)
