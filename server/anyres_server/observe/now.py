"""What holds at the moment of a scrape: memory lent and held, models ready, this build."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino")


@dataclass(frozen=True)
class Lent:
    """A budget: how much of it is lent out, and how much there is."""

    bytes: int
    total: int


@dataclass(frozen=True, eq=False)
class Now(Collector):
    """Asks at each scrape; a model that is gone is gone from the answer too."""

    lent: Mapping[str, Callable[[], Lent]]  # by what it is for
    backlog: Callable[[], int]  # pixels
    models: Callable[[], Mapping[str, bool]]  # whether each can be asked

    def collect(self) -> Iterator[Metric]:
        """The gauges."""
        reserved = GaugeMetricFamily(
            "anyres_memory_reserved_bytes", "lent to requests", labels=["budget"]
        )
        total = GaugeMetricFamily(
            "anyres_memory_budget_bytes", "that can be lent", labels=["budget"]
        )
        for name, ask in self.lent.items():
            now = ask()
            reserved.add_metric([name], now.bytes)
            total.add_metric([name], now.total)
        yield reserved
        yield total
        yield GaugeMetricFamily(
            "anyres_backlog_pixels", "of images let in, not answered yet", self.backlog()
        )
        ready = GaugeMetricFamily("anyres_model_ready", "1: it can be asked", labels=["model"])
        for name, is_ready in self.models().items():
            ready.add_metric([name], float(is_ready))
        yield ready
        yield _build()


def watch_now(registry: CollectorRegistry, now: Now) -> None:
    """Let a registry tell that, and this process's memory, time and files."""
    registry.register(now)
    ProcessCollector(registry=registry)


def _build() -> Metric:
    names = ["version", "python", *("onnxruntime", "grpcio")]
    info = GaugeMetricFamily("anyres_build_info", "what runs here; always 1", labels=names)
    python = ".".join(map(str, sys.version_info[:3]))
    runtime = next((found for name in RUNTIMES if (found := _version(name))), "")
    info.add_metric([_version("anyres"), python, runtime, _version("grpcio")], 1)
    return info


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
