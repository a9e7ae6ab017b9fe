"""Files of shared memory, and requests whose tensors are in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from anyres_proto.inference import grpc_service_pb2 as pb

FOLDER = Path("/dev/shm")
SHAPE = (1, 3, 8, 12)
SIZE = 4 * 3 * 8 * 12  # bytes of such a tensor


def key() -> str:
    """One that nothing has."""
    return f"/anyres-test-{uuid4().hex}"


@dataclass(frozen=True)
class Memory:
    """A file of shared memory, of `SIZE` bytes."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.name

    def beside(self, what: str) -> Path:
        return self.path.with_name(f"{self.name}-{what}")

    def fill(self) -> None:
        self.path.write_bytes(np.random.default_rng(5).random(SHAPE, np.float32).tobytes())

    def shrink(self, size: int) -> None:
        os.truncate(self.path, size)

    def contents(self) -> bytes:
        return self.path.read_bytes()

    def protect(self) -> None:
        self.path.chmod(0o400)

    def remove(self) -> None:
        self.path.unlink(missing_ok=True)

    def opened(self) -> int:
        """How often this process has it open."""
        links = (each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
        return sum(self.name in str(link) for link in links)


def parameters(region: str, byte_size: int, offset: int = 0) -> dict[str, pb.InferParameter]:
    return {
        "shared_memory_region": pb.InferParameter(string_param=region),
        "shared_memory_byte_size": pb.InferParameter(int64_param=byte_size),
        "shared_memory_offset": pb.InferParameter(int64_param=offset),
    }


def request(region: str, byte_size: int = SIZE, offset: int = 0) -> pb.ModelInferRequest:
    tensor = pb.ModelInferRequest.InferInputTensor(
        name="x", datatype="FP32", shape=SHAPE, parameters=parameters(region, byte_size, offset)
    )
    return pb.ModelInferRequest(model_name="stride4", inputs=[tensor])


def register(memory: Memory, **fields: Any) -> pb.SystemSharedMemoryRegisterRequest:
    said: dict[str, Any] = {"name": "images", "key": f"/{memory.name}", "byte_size": SIZE}
    said |= fields
    return pb.SystemSharedMemoryRegisterRequest(**said)
