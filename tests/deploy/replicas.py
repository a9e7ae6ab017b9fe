"""Real servers in processes of their own, replicas of one another, and what each has answered."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from anyres_proto.inference import grpc_service_pb2 as pb
from anyres_proto.inference import grpc_service_pb2_grpc as pb_grpc

ENDS_WITHIN_S = 20
LISTENING = re.compile(r"listening on (\S+)")


@dataclass(frozen=True, eq=False)
class Replica:
    """One server."""

    process: subprocess.Popen[str]
    address: str

    def answered(self, model: str) -> int:
        """How many images of a model it has answered so far."""
        with grpc.insecure_channel(self.address) as channel:
            stub: Any = pb_grpc.GRPCInferenceServiceStub(channel)
            request = pb.ModelStatisticsRequest(name=model)
            (told,) = stub.ModelStatistics(request, timeout=20).model_stats
        count: int = told.inference_count
        return count

    def hold(self) -> None:
        """What comes to it is neither answered nor refused."""
        self.process.send_signal(signal.SIGSTOP)

    def kill(self) -> None:
        """As the kernel does where memory is short: without a word."""
        self.process.kill()
        self.process.wait(ENDS_WITHIN_S)


@contextmanager
def replicas(models: Path, log: Path, hosts: Sequence[str]) -> Iterator[list[Replica]]:
    """A replica at each host's address; all start at once."""
    with ExitStack() as stack:
        started = [stack.enter_context(_started(models, log, host)) for host in hosts]
        yield [Replica(process, _address(process, log)) for process in started]


@contextmanager
def _started(models: Path, log: Path, host: str) -> Iterator[subprocess.Popen[str]]:
    anyres = str(Path(sys.executable).with_name("anyres"))
    command = [anyres, "serve", str(models), "--host", host, "--port", "0"]
    one_thread = ("--set", "compute.threads=1")
    with (
        log.open("a") as words,
        subprocess.Popen([*command, *one_thread], stdout=-1, stderr=words, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            process.wait(ENDS_WITHIN_S)


def _address(process: subprocess.Popen[str], log: Path) -> str:
    assert process.stdout is not None, "a pipe was asked for"
    for line in process.stdout:
        if found := LISTENING.search(line):
            return found[1]
    raise RuntimeError(f"a server ended before it listened: {log.read_text()[-2000:]}")
