"""What docs/tutorials/kubernetes.md shows of Kubernetes is what it takes, and fits to deploy/."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.docs.blocks import blocks
from tests.docs.given import ROOT

pytest.importorskip("yaml")
kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")

from tests.deploy.kustomize import Document, assembled, yaml  # noqa: E402, it needs yaml

TYPED = blocks(ROOT / "docs/tutorials/kubernetes.md")
SHOWN: dict[str, Document] = {b.title: yaml.safe_load(b.text) for b in TYPED if b.title}
SERVERS = {one["kind"]: one for one in assembled(ROOT / "deploy/kubernetes")}


@pytest.mark.parametrize("release", ["1.33", "1.37"])
@pytest.mark.parametrize("name", SHOWN)
def test_kubernetes_takes_what_is_shown(name: str, release: str) -> None:
    kubernetes_validate.validate(SHOWN[name], release, strict=True)


def test_models_are_filled_into_the_folder_that_is_served() -> None:
    (volume,) = SHOWN["fill.yaml"]["spec"]["volumes"]
    claim = SERVERS["PersistentVolumeClaim"]["metadata"]["name"]
    assert volume["persistentVolumeClaim"]["claimName"] == claim


def test_the_batch_may_ask_and_asks_the_servers() -> None:
    template = SHOWN["batch.yaml"]["spec"]["template"]
    (container,) = template["spec"]["containers"]
    allowed = SERVERS["NetworkPolicy"]["spec"]["ingress"][0]["from"][0]["podSelector"]
    assert allowed["matchLabels"].items() <= template["metadata"]["labels"].items()
    (address,) = (one["value"] for one in container["env"] if one["name"] == "ANYRES_SERVER")
    assert address == f"dns:///{SERVERS['Service']['metadata']['name']}.default.svc:8001"


def test_every_folder_that_is_applied_is_there() -> None:
    applied = {one for b in TYPED for one in re.findall(r"--kustomize (\S+)", b.text)}
    assert applied == {"deploy/kubernetes", "deploy/kserve"}
    assert all((ROOT / one / "kustomization.yaml").is_file() for one in applied)
