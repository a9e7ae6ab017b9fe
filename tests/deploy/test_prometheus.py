"""Prometheus, where there is one, answers every query of the dashboard from a server's metrics."""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import SERVICE_UNAVAILABLE
from math import isfinite
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode

import pytest
from tests.deploy.conftest import Watched, read, traffic
from tests.deploy.test_dashboard import OBSERVE, QUERIES

yaml: Any = pytest.importorskip("yaml")


@contextmanager
def prometheus(metrics_port: int, folder: Path) -> Iterator[str]:
    """Prometheus as it is configured for Compose, but for where the server is; its address."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("there is no prometheus on this machine")
    config = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    (job,) = config["scrape_configs"]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{metrics_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    options = {"config.file": folder / "prometheus.yml", "storage.tsdb.path": folder / "data"}
    words = [f"--{name}={value}" for name, value in options.items()]
    command = [program, *words, f"--web.listen-address={address}", "--log.level=error"]
    with subprocess.Popen(command) as process:
        try:
            yield address
        finally:
            process.terminate()
            process.wait(20)


@pytest.mark.slow
async def test_prometheus_has_a_number_for_every_query_of_a_server_at_work(
    watched: Watched, tmp_path: Path
) -> None:
    with prometheus(watched.metrics_port, tmp_path) as address:
        async with asyncio.timeout(60):
            while await asyncio.to_thread(unanswered, address):
                await traffic(watched)  # a rate takes two scrapes, and work between them


def unanswered(address: str) -> list[str]:
    """The queries that a panel would draw nothing of: no series, or none with a number."""
    return [
        name
        for name, query in QUERIES.items()
        if not any(isfinite(float(series["value"][1])) for series in found(address, query))
    ]


def found(address: str, query: str) -> list[Any]:
    """What Prometheus says; a query that it cannot read ends the test."""
    chosen = {"$model": ".*", "$instance": ".*", "$__rate_interval": "1m"}
    for name, value in chosen.items():
        query = query.replace(name, value)
    url = f"http://{address}/api/v1/query?{urlencode({'query': query})}"
    try:
        answer = json.loads(read(url))
    except HTTPError as error:
        if error.code != SERVICE_UNAVAILABLE:
            raise
        return []
    except URLError:
        return []  # it is not there yet
    result: list[Any] = answer["data"]["result"]
    return result
