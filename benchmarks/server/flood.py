"""Many callers send large messages at once: what the server's process holds meanwhile, and after.

    python -m benchmarks.server.flood [--callers 24] [--mib 120] [--resident 600]

A model of one node stands there, and no message is a picture: what is measured is what messages
cost until they are refused. What to look at: the peak with
`memory.resident` set, beside the one without; and that afterwards it answers again.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import grpc.aio
import onnx
import onnx.parser
from benchmarks.server.process import peak, resident
from rich.console import Console
from rich.table import Table

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_server.bench.served import serving

MIB = 2**20
PREDICT = "/anyres.v1.DensePredictionService/Predict"
OPTIONS = (("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1))
RECOVERS_WITHIN_S = 30.0


@dataclass(frozen=True)
class Flood:
    """What happened."""

    codes: Counter[str]
    peak: int
    after: int
    again: str


async def flood(address: str, pid: int, callers: int, size: int) -> Flood:
    """Send `callers` messages of `size` bytes, each by a connection of its own."""
    message = pb.PredictRequest(model_name="same", image=pb.Image(encoded=bytes(size)))
    packed = message.SerializeToString()
    channels = [grpc.aio.insecure_channel(address, options=OPTIONS) for _ in range(callers)]
    codes = Counter(await asyncio.gather(*(_send(channel, packed) for channel in channels)))
    again = await _recovered(channels[0])
    for channel in channels:
        await channel.close()
    return Flood(codes, peak(pid), resident(pid), again)


async def _send(channel: grpc.aio.Channel, packed: bytes) -> str:
    call: Any = channel.unary_unary(PREDICT)
    try:
        await call(packed, timeout=120)
    except grpc.aio.AioRpcError as error:
        return error.code().name
    return "OK"


async def _recovered(channel: grpc.aio.Channel) -> str:
    small = pb.PredictRequest(model_name="same").SerializeToString()
    for _ in range(round(RECOVERS_WITHIN_S / 0.1)):
        if (code := await _send(channel, small)) != "RESOURCE_EXHAUSTED":
            return code
        await asyncio.sleep(0.1)
    return f"nothing within {RECOVERS_WITHIN_S:g} s"


def _models(folder: Path) -> Path:
    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 17]>'
        "same (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Identity (x) }"
    )
    onnx.save(model, folder / "same.onnx")
    return folder


def main() -> None:
    """Flood a server without a limit, and one with."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--mib", type=int, default=120, help="of one message")
    parser.add_argument("--resident", type=int, default=600, help="MiB that the process may hold")
    given = parser.parse_args()
    table = Table("memory.resident", "calls ended", "peak MiB", "after MiB", "then answered")
    for limit in (None, given.resident):
        settings = {} if limit is None else {"ANYRES_MEMORY_RESIDENT": str(limit * MIB)}
        with TemporaryDirectory() as folder, serving(_models(Path(folder)), settings) as served:
            pid = served.process.pid
            seen = asyncio.run(flood(served.address, pid, given.callers, given.mib * MIB))
        ends = ", ".join(f"{count} {code}" for code, count in seen.codes.most_common())
        words = "90 % of memory" if limit is None else f"{limit} MiB"
        table.add_row(words, ends, str(seen.peak // MIB), str(seen.after // MIB), seen.again)
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
