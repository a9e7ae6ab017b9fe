"""The manifests are what Kubernetes and KServe take, and fit to each other and to the server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.deploy.kustomize import Document, assembled, read, yaml

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")
jsonschema: Any = pytest.importorskip("jsonschema")

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy/kubernetes"
KSERVE = ROOT / "deploy/kserve"
RELEASES = ("1.33", "1.37")
DOCUMENTS = assembled(KUBERNETES)
KSERVES = assembled(KSERVE)
SCHEMA = json.loads(Path(__file__).with_name("kserve.schema.json").read_text())


def only(kind: str, documents: list[Document] = DOCUMENTS) -> Any:
    (found,) = (one for one in documents if one["kind"] == kind)
    return found["spec"]


POD = only("Deployment")["template"]
RUNTIME = only("ServingRuntime", KSERVES)
(SERVER,) = POD["spec"]["containers"]
(KSERVE_SERVER,) = RUNTIME["containers"]


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda one: one["kind"])
def test_kubernetes_takes_every_document(document: Document, release: str) -> None:
    kubernetes_validate.validate(document, release, strict=True)


def test_all_files_are_used() -> None:
    said = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    apart = {"kustomization.yaml", "prometheus-adapter.yaml", "pod-monitor.yaml"}
    assert {file.name for file in KUBERNETES.iterdir()} == {*said["resources"], *apart}


@pytest.mark.parametrize("folder", [KUBERNETES, KSERVE], ids=lambda folder: folder.name)
def test_kustomize_assembles_the_same(folder: Path) -> None:
    program = shutil.which("kubectl")
    if program is None:
        pytest.skip("there is no kubectl on this machine")
    command = [program, "kustomize", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    def by_kind(documents: list[Document]) -> list[Document]:
        return sorted(documents, key=lambda one: one["kind"])

    assert by_kind(list(yaml.safe_load_all(done.stdout))) == by_kind(assembled(folder))


def test_everything_selects_these_pods_and_no_others() -> None:
    label = {"app.kubernetes.io/name": "anyres"}
    selectors = (
        only("Deployment")["selector"]["matchLabels"],
        only("Service")["selector"],
        only("PodDisruptionBudget")["selector"]["matchLabels"],
        only("NetworkPolicy")["podSelector"]["matchLabels"],
        POD["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    )
    assert all(selector == label for selector in selectors)
    assert label.items() <= POD["metadata"]["labels"].items()
    assert only("HorizontalPodAutoscaler")["scaleTargetRef"]["name"] == "anyres"


def test_the_name_stands_for_every_servers_own_address_and_is_looked_up_again() -> None:
    assert only("Service")["clusterIP"] == "None"
    said = {one["name"]: one["value"] for one in SERVER["env"]}
    assert said["ANYRES_LIMITS_CONNECTION_AGE_S"] == "1m"


@pytest.mark.parametrize("server", [SERVER, KSERVE_SERVER], ids=["kubernetes", "kserve"])
def test_every_probe_asks_over_grpc_where_the_server_listens(server: Any) -> None:
    port = int(server["args"][server["args"].index("--port") + 1])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server[probe]["grpc"] == {"port": port}
    assert port in {one["containerPort"] for one in server["ports"]}


@pytest.mark.parametrize("server", [SERVER, KSERVE_SERVER], ids=["kubernetes", "kserve"])
def test_the_servers_memory_is_the_containers_limit_and_nothing_else(server: Any) -> None:
    resources = server["resources"]
    assert resources["limits"] == resources["requests"]  # never evicted for what others take
    assert resources["limits"].keys() == {"cpu", "memory"}
    said = {one["name"] for one in server["env"]}
    assert not [name for name in said if name.startswith(("ANYRES_MEMORY", "ANYRES_COMPUTE"))]


@pytest.mark.parametrize("server", [SERVER, KSERVE_SERVER], ids=["kubernetes", "kserve"])
def test_a_container_can_do_no_more_than_its_work(server: Any) -> None:
    context = {**POD["spec"]["securityContext"], **server["securityContext"]}
    assert context["runAsNonRoot"]
    assert context["readOnlyRootFilesystem"]
    assert not context["allowPrivilegeEscalation"]
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}


def test_a_pod_is_given_the_time_that_the_server_takes_to_stop() -> None:
    from anyres_server.settings.settings import Settings

    grace_s = Settings.model_fields["grace_s"].default
    told_s = SERVER["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert POD["spec"]["terminationGracePeriodSeconds"] > grace_s + told_s


def test_the_autoscalers_metric_is_what_the_rule_makes_of_a_servers() -> None:
    adapter = yaml.safe_load((KUBERNETES / "prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    (metric,) = only("HorizontalPodAutoscaler")["metrics"]
    assert metric["pods"]["metric"]["name"] == rule["name"]["as"]
    assert rule["seriesQuery"].startswith("anyres_backlog_pixels{")
    assert rule["metricsQuery"].endswith("/ 1e6")  # megapixels of pixels


def test_prometheus_is_told_where_the_servers_tell_their_metrics() -> None:
    (monitor,) = read(KUBERNETES / "pod-monitor.yaml")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    (port,) = (one for one in SERVER["ports"] if one["name"] == endpoint["port"])
    assert POD["metadata"]["annotations"] == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(port["containerPort"]),
    }
    chosen = monitor["spec"]["selector"]["matchLabels"]
    assert chosen.items() <= POD["metadata"]["labels"].items()


def test_ports_that_a_policy_opens_are_the_containers() -> None:
    names = {port["name"] for port in SERVER["ports"]}
    opened = {port["port"] for rule in only("NetworkPolicy")["ingress"] for port in rule["ports"]}
    assert opened == names == {port["name"] for port in only("Service")["ports"]}


@pytest.mark.parametrize("document", KSERVES, ids=lambda one: one["kind"])
def test_kserve_takes_every_document(document: Document) -> None:
    jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        ("ServingRuntime", ("protocolVersions",), ["grpc-v3"]),
        ("ServingRuntime", ("multiModels",), False),
        ("InferenceService", ("predictor", "minReplicas"), "two"),
        ("InferenceService", ("predictor", "model", "format"), {}),
    ],
)
def test_kserve_would_not_take_a_mistake(kind: str, path: tuple[str, ...], value: Any) -> None:
    (document,) = (one for one in assembled(KSERVE) if one["kind"] == kind)
    place = document["spec"]
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, SCHEMA)


@pytest.mark.parametrize("release", RELEASES)
def test_kubernetes_takes_the_pod_that_kserve_makes(release: str) -> None:
    pod = {name: RUNTIME[name] for name in ("containers", "volumes")}
    named = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "anyres"}}
    kubernetes_validate.validate({**named, "spec": pod}, release, strict=True)


def test_the_service_names_the_runtime_and_a_protocol_and_format_that_it_has() -> None:
    model = only("InferenceService", KSERVES)["predictor"]["model"]
    assert model["runtime"] == next(read(KSERVE / "runtime.yaml"))["metadata"]["name"]
    assert model["protocolVersion"] in RUNTIME["protocolVersions"]
    formats = [{k: one[k] for k in ("name", "version")} for one in RUNTIME["supportedModelFormats"]]
    assert model["modelFormat"] in formats
    claim = next(one for one in DOCUMENTS if one["kind"] == "PersistentVolumeClaim")
    assert model["storageUri"].startswith(f"pvc://{claim['metadata']['name']}/")
