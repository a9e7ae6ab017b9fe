"""What `kubectl kustomize` makes of a folder, as far as ours use it: resources, labels, images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

yaml: Any = pytest.importorskip("yaml")

KNOWN = {"apiVersion", "kind", "resources", "labels", "images"}
Document = dict[str, Any]


def assembled(folder: Path) -> list[Document]:
    """The folder's documents as they go to the cluster."""
    said = yaml.safe_load((folder / "kustomization.yaml").read_text())
    assert said.keys() <= KNOWN, f"this reads {sorted(KNOWN)} only"
    documents = [one for name in said["resources"] for one in read(folder / name)]
    for labels in said.get("labels", []):
        assert labels.keys() == {"pairs", "includeTemplates"}
        documents = [labelled(one, labels["pairs"]) for one in documents]
    images = {
        image["name"]: f"{image['newName']}:{image['newTag']}" for image in said.get("images", [])
    }
    return [replaced(one, images) for one in documents]


def read(file: Path) -> Iterator[Document]:
    yield from yaml.safe_load_all(file.read_text())


def labelled(document: Document, pairs: Mapping[str, str]) -> Document:
    """With these labels, on the pods that it makes too."""
    document = deepcopy(document)
    template = document["spec"].get("template")
    for one in [document, *([template] if template else [])]:
        metadata = one.setdefault("metadata", {})
        metadata["labels"] = {**metadata.get("labels", {}), **pairs}
    return document


def replaced(document: Document, images: Mapping[str, str]) -> Document:
    """With images by their full names."""
    document = deepcopy(document)
    pod = document["spec"].get("template", {}).get("spec", {})
    for container in pod.get("containers", []):
        container["image"] = images.get(container["image"], container["image"])
    return document
