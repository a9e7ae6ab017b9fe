"""What is committed is what `proto/generate.py` writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROTO = Path(__file__).resolve().parents[2] / "proto"


def check(folder: Path) -> subprocess.CompletedProcess[str]:
    # A script's own folder comes first on its path: it describes the card beside it.
    return subprocess.run(
        [sys.executable, "generate.py", "--check"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_committed_files_are_fresh() -> None:
    outcome = check(PROTO)
    assert (outcome.returncode, outcome.stderr) == (0, "")


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PROTO, tmp_path / "proto"))


def test_a_stale_a_missing_and_a_left_over_file_are_each_named(copy: Path) -> None:
    package = copy / "anyres_proto"
    proto = package / "anyres/v1/dense_prediction.proto"
    proto.write_text(proto.read_text().replace("uint32 top_k = 5", "uint32 top_k = 500"))
    (package / "card.schema.json").unlink()
    (package / "inference/old_pb2.py").touch()
    outcome = check(copy)
    assert outcome.returncode == 1
    assert outcome.stderr.splitlines() == [
        "anyres_proto/anyres/v1/dense_prediction_pb2.py is stale",
        "anyres_proto/card.schema.json is missing",
        "anyres_proto/inference/old_pb2.py is left over: nothing makes it",
        "run: make stubs",
    ]


def test_the_schema_follows_the_card(copy: Path) -> None:
    card = copy / "anyres_proto/card/card.py"
    card.write_text(card.read_text().replace("parameters: int", "weights: int"))
    assert "card.schema.json is stale" in check(copy).stderr
