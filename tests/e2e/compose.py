"""A container engine, and this checkout's services on it under a name of their own.

Where no engine answers, ANYRES_DOCKERLAB may name a script that starts one: `SCRIPT up`, with the
base image's name in BASE, `SCRIPT run COMMAND...` in the engine's network, `SCRIPT down`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(__file__).parents[2]
PROBE = Path(__file__).with_name("container_probe.py")
READ = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=9).read().decode())"
BUILT = ("models", "server", "web", "batch", "replica")


def base_image() -> str:
    """What our images are built on."""
    version = re.search(
        r"^ARG PYTHON=(\S+)$", (ROOT / "deploy/Dockerfile").read_text(), re.MULTILINE
    )
    assert version, "the Dockerfile names its Python"
    return f"python:{version[1]}"


@dataclass(frozen=True)
class Project:
    """The compose file's services under a name of their own."""

    engine: tuple[str, ...]
    files: tuple[Path, ...]
    name: str
    environment: Mapping[str, str]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """A command in the engine's network."""
        return subprocess.run(
            [*self.engine, *command],
            cwd=ROOT,
            env=os.environ | dict(self.environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=1800,
        )

    def compose(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`docker compose` for this project."""
        return self.run(*self.command, *arguments)

    @property
    def command(self) -> tuple[str, ...]:
        """What `docker compose` is here, in the engine's network or not."""
        files = [word for file in self.files for word in ("--file", str(file))]
        return ("docker", "compose", "--project-name", self.name, *files)

    def must(self, *arguments: str, profile: str = "") -> str:
        """What `docker compose` prints, where it has to succeed."""
        chosen = ("--profile", profile) if profile else ()
        done = self.compose(*chosen, *arguments)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def exit_code(self, service: str) -> int:
        """The exit code of a service's container, once it has ended."""
        container = self.must("ps", "--all", "--quiet", service).strip()
        return int(self.run("docker", "wait", container).stdout)

    def get(self, service: str, port: int, path: str) -> str:
        """What a service's published port answers to an HTTP request."""
        address = self.must("port", service, str(port)).strip()
        done = self.run(sys.executable, "-c", READ, f"http://{address}{path}")
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    def probe(self, service: str) -> dict[str, Any]:
        """What a new container of a service says of itself."""
        python = ("--entrypoint", "python", service, "-c", PROBE.read_text())
        said: dict[str, Any] = json.loads(self.must("run", "--rm", "--no-deps", "-T", *python))
        return said


def started(lab: Path, *, ended: Callable[[str], NoReturn]) -> Iterator[tuple[str, ...]]:
    inside = (str(lab), "run")
    if answers(inside):
        yield inside
        return
    try:
        base = os.environ | {"BASE": base_image()}
        up = subprocess.run(
            [lab, "up"], env=base, capture_output=True, text=True, check=False, timeout=900
        )
        if up.returncode:
            ended(f"{lab} starts no container engine: {up.stderr.strip()[-400:]}")
        yield inside
    finally:
        subprocess.run([lab, "down"], capture_output=True, check=False, timeout=120)


def answers(engine: tuple[str, ...]) -> bool:
    return all(
        subprocess.run([*engine, "docker", *words], capture_output=True, check=False).returncode
        == 0
        for words in (("info",), ("compose", "version"))
    )


def wheels_of_this_machine(folder: Path) -> list[Path]:
    """Where this machine's pip is told of a folder of wheels, the build is told of it too."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listed = subprocess.run(pip, capture_output=True, text=True, check=False).stdout
    settings = dict(line.split("=", 1) for line in listed.splitlines() if "=" in line)
    told = (value.strip("'") for name, value in settings.items() if name.endswith(".find-links"))
    wheels = next((place for place in told if Path(place).is_dir()), None)
    if wheels is None:
        return []
    build = {"build": {"additional_contexts": {"wheels": wheels}}}
    file = folder / "wheels.json"
    file.write_text(json.dumps({"services": dict.fromkeys(BUILT, build)}))
    return [file]
