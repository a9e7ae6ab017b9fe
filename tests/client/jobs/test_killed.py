"""kill -9 at random moments, again and again: in the end it is as if nothing had happened.

pytest -m exhaustive tests/client/jobs/test_killed.py
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.client.jobs.outputs import KINDS, lines, outputs

IMAGES, SHARD, IN_FLIGHT, SEEDS = 60, 7, 3, 3
RUNS = 40  # that are killed at most, of one job


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """So many, of different sizes, in two folders."""
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        path = tmp_path / "photos" / ("deep" if number % 2 else "") / f"{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        size = (int(rng.integers(2, 40)), int(rng.integers(2, 40)), 3)
        Image.fromarray(rng.integers(0, 256, size, np.uint8)).save(path)
    return tmp_path / "photos"


def names(photos: Path) -> list[str]:
    return sorted(path.relative_to(photos).as_posix() for path in photos.rglob("*.png"))


def begun(photos: Path, out: Path, kind: str, address: str) -> subprocess.Popen[bytes]:
    """A batch, as people begin it."""
    return subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", "batch", photos, "--out", out, "--as", kind,
         "--model", "zones", "--server", address, "--shard-size", str(SHARD),
         "--in-flight", str(IN_FLIGHT)],
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip


def compared(out: Path, kind: str) -> dict[str, Any]:
    """What must be the same whenever it was made: all but where the time went."""
    found: dict[str, Any] = dict(outputs(out, kind))
    for name, contents in found.items():
        if name.endswith(".json"):
            found[name] = {**json.loads(contents), "timing": None}
    return found


@pytest.mark.exhaustive
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_killed_at_random_moments_ends_as_one_that_was_not(
    fake: Any, photos: Path, tmp_path: Path, kind: str, seed: int
) -> None:
    """Killed a moment after some request came, or while it reads its journal; until it is done."""
    chance = random.Random(f"{kind} {seed}")
    enough, wanted = threading.Event(), IMAGES + 1
    came = threading.Condition()

    def count(*_: Any) -> None:
        with came:
            if len(fake.requests) >= wanted:
                enough.set()

    fake.refuse = count
    whole, out = tmp_path / "whole", tmp_path / "out"
    begun(photos, whole, kind, fake.address).communicate(timeout=60)
    assert sorted(line["file"] for line in lines(whole)) == names(photos)
    asked, kills = 0, 0
    for _ in range(RUNS):
        with came:
            fake.requests.clear()
            enough.clear()
            wanted = chance.randint(1, IMAGES // 4)
        process = begun(photos, out, kind, fake.address)
        while process.poll() is None and not enough.wait(0.02):
            pass
        time.sleep(chance.uniform(0, 0.03))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        asked += len(fake.requests)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL
        kills += 1
    assert kills >= 3
    process = begun(photos, out, kind, fake.address)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 0
    assert f"0 predicted, {IMAGES} done before, 0 failed".encode() in told
    assert compared(out, kind) == compared(whole, kind)
    assert sorted(line["file"] for line in lines(out)) == names(photos)
    assert asked <= IMAGES + kills * IN_FLIGHT, "no more is repeated than was under way"
    assert not list(out.glob("*.part"))
    assert not list(out.rglob(".anyres-*"))
    print(f"{kind}: killed {kills} times, {asked} requests for {IMAGES} images")
