"""Write everything under `anyres_proto` that is derived: the stubs and the card's JSON schema.

`python proto/generate.py` writes the files; with `--check` it generates into a temporary folder
instead and fails where the committed files differ.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

from anyres_proto.card import Card

ROOT = Path(__file__).resolve().parent
SCHEMA = "anyres_proto/card.schema.json"
DERIVED = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi", SCHEMA)


def main() -> None:
    """Write the derived files, or check them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    if not parser.parse_args().check:
        generate(ROOT)
        return
    with tempfile.TemporaryDirectory() as fresh:
        generate(Path(fresh))
        found = list(differences(Path(fresh)))
    if found:
        sys.exit("\n".join([*found, "run: make stubs"]))


def generate(out: Path) -> None:
    """Write every derived file below `out`, in the layout of this folder."""
    _write_stubs(out)
    schema = json.dumps(Card.model_json_schema(), indent=2)
    (out / SCHEMA).write_text(f"{schema}\n", encoding="utf-8")


def differences(fresh: Path) -> Iterator[str]:
    """Name each derived file that is missing, stale or left over."""
    wanted, committed = _derived(fresh), _derived(ROOT)
    for name in sorted(wanted.keys() | committed.keys()):
        if name not in committed:
            yield f"{name} is missing"
        elif name not in wanted:
            yield f"{name} is left over: nothing makes it"
        elif wanted[name] != committed[name]:
            yield f"{name} is stale"


def _write_stubs(out: Path) -> None:
    protos = [str(path.relative_to(ROOT)) for path in sorted(ROOT.rglob("*.proto"))]
    outputs = ("python", "grpc_python", "mypy", "mypy_grpc")
    flags = [f"--{output}_out={out}" for output in outputs]
    # Named in full: protoc itself looks on PATH only, where an unactivated venv is not.
    plugins = (f"protoc-gen-{name}" for name in ("mypy", "mypy_grpc"))
    flags += [f"--plugin={name}={Path(sys.executable).parent / name}" for name in plugins]
    # mypy-protobuf reports each file it writes; only what goes wrong is worth reading.
    flags += ["--mypy_opt=quiet", "--mypy_grpc_opt=quiet"]
    if protoc.main(["protoc", f"-I{ROOT}", *flags, *protos]) != 0:
        sys.exit("protoc failed; its message is above")


def _derived(root: Path) -> dict[str, bytes]:
    files = (path for pattern in DERIVED for path in root.rglob(pattern))
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


if __name__ == "__main__":
    main()
