"""The dashboard asks only for what a server tells."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.deploy.conftest import metrics

yaml: Any = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[2]
OBSERVE = ROOT / "deploy/observe"
DASHBOARD = json.loads((OBSERVE / "grafana/dashboards/anyres.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = {
    f"{panel['title']}: {target['refId']}": target["expr"]
    for panel in PANELS
    for target in panel["targets"]
}
VARIABLES = [variable["definition"] for variable in DASHBOARD["templating"]["list"]]

WORDS = {"sum", "rate", "min", "count", "vector", "histogram_quantile", "by", "or", "label_values"}
BY_PROMETHEUS = {"up": {"job", "instance"}}  # what it tells of every target
ITS_LABELS = {"job", "instance"}
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",)}


@dataclass(frozen=True)
class Asked:
    """A metric that a query names, and the labels that it expects of it."""

    metric: str
    labels: frozenset[str]


def asked(query: str) -> list[Asked]:
    """All metrics of a query; labels of `by` are expected of each."""
    text = re.sub(r"\[[^\]]*\]", "", query)  # a range
    grouped = {name for inside in re.findall(r"by \(([^)]*)\)", text) for name in names(inside)}
    text = re.sub(r"by \([^)]*\)", "", text)
    if text.startswith("label_values"):
        metric, label = names(text)[1:]
        return [Asked(metric, frozenset({label}))]
    found = re.findall(r"\b([a-zA-Z_]\w*)(?:\{([^}]*)\})?", text)
    return [
        Asked(name, frozenset(re.findall(r"(\w+)\s*=", matchers)) | grouped)
        for name, matchers in found
        if name not in WORDS
    ]


def names(text: str) -> list[str]:
    return re.findall(r"[a-zA-Z_]\w*", text)


def told(text: str) -> Mapping[str, set[str] | None]:
    """The labels of every series by its name; None where there is none of that name yet."""
    labels: dict[str, set[str] | None] = {}
    for family in text_string_to_metric_families(text):
        for suffix in SUFFIXES.get(family.type, ("",)):
            labels[family.name + suffix] = None
        for sample in family.samples:
            labels[sample.name] = (labels.get(sample.name) or set()) | set(sample.labels)
    return labels


async def test_every_query_names_metrics_and_labels_that_a_server_tells(metrics_port: int) -> None:
    series = {**told(await asyncio.to_thread(metrics, metrics_port)), **BY_PROMETHEUS}
    wanted = [one for query in [*QUERIES.values(), *VARIABLES] for one in asked(query)]
    assert len(wanted) > 25
    for one in wanted:
        assert one.metric in series, f"no server tells {one.metric}"
        known = series[one.metric]
        assert known is not None, f"{one.metric} has no series after traffic"
        assert one.labels <= known | ITS_LABELS, f"{one.metric} has no such labels: {one.labels}"


@pytest.mark.parametrize(
    ("query", "metric", "labels"),
    [
        ('sum(rate(a_total{x="1", y=~"$y"}[5m])) * 60 or vector(0)', "a_total", {"x", "y"}),
        ("histogram_quantile(0.5, sum by (le, z) (rate(b_bucket[$__r])))", "b_bucket", {"le", "z"}),
        ("label_values(c, d)", "c", {"d"}),
    ],
)
def test_a_query_is_read_as_prometheus_reads_it(query: str, metric: str, labels: set[str]) -> None:
    assert asked(query) == [Asked(metric, frozenset(labels))]


def test_panels_fill_the_page_without_lying_on_one_another() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert 0 <= place["x"] <= place["x"] + place["w"] <= 24
    for one, other in combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)


def test_every_panel_says_what_it_shows_and_asks_the_provisioned_source() -> None:
    (source,) = yaml.safe_load((OBSERVE / "grafana/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    for panel in PANELS:
        assert panel["title"]
        assert panel["description"].endswith(".")
        asks = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
        assert all(one == {"type": source["type"], "uid": source["uid"]} for one in asks)


def test_prometheus_looks_where_compose_runs_servers() -> None:
    (job,) = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["scrape_configs"]
    (found,) = job["dns_sd_configs"]
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    servers = {name for name, said in services.items() if _serves(said)}
    assert set(found["names"]) == servers == {"server", "replica"}
    dockerfile = (ROOT / "deploy/Dockerfile").read_text()
    assert f"ANYRES_OBSERVE_METRICS_PORT={found['port']}" in dockerfile


def _serves(service: Mapping[str, Any]) -> bool:
    return bool(service.get("build", {}).get("target") == "server")


def test_units_of_our_own_leave_the_space_before_them_to_grafana() -> None:
    units = {panel["fieldConfig"]["defaults"]["unit"] for panel in PANELS}
    ours = {unit for unit in units if unit.startswith("suffix:")}
    assert ours == {"suffix:MP/s", "suffix:MP", "suffix:/s", "suffix:/min"}
