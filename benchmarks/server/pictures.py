"""Files that are no images, or no longer: Pillow's own collection, and valid ones with wounds.

Pillow's images come with its source distribution, which the package registry has.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path, PurePosixPath

from benchmarks.server.messages import FILES
from hypothesis import strategies as st

HEADER = 200  # bytes at a file's beginning, where a wound hurts most


def fetched(folder: Path) -> Path:
    """Pillow's test images, fetched unless they are there: the folder that holds them."""
    images = folder / f"pillow-{version('pillow')}"
    if not images.is_dir():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        wanted = ["--no-binary", ":all:", f"pillow=={version('pillow')}"]
        subprocess.run([*pip, *wanted, "--dest", str(folder)], check=True)
        _unpack(next(folder.glob("pillow-*.tar.gz")), images)
    return images


def _unpack(archive: Path, images: Path) -> None:
    images.mkdir(parents=True)
    with tarfile.open(archive) as members:
        for member in members:
            path = PurePosixPath(member.name)
            file = members.extractfile(member) if member.isfile() else None
            if file and path.parts[1:3] == ("Tests", "images"):
                (images / "-".join(path.parts[3:])).write_bytes(file.read())


def collection(images: Path) -> Iterator[tuple[str, bytes]]:
    """Every file there, whatever its format: name and content."""
    for path in sorted(images.iterdir()):
        yield path.name, path.read_bytes()


def wounded() -> st.SearchStrategy[bytes]:
    """Small valid files, cut short, or with a few bytes of noise somewhere."""
    return st.sampled_from(FILES).flatmap(_wounds)


def _wounds(file: bytes) -> st.SearchStrategy[bytes]:
    places = st.integers(0, min(HEADER, len(file) - 1)) | st.integers(0, len(file) - 1)
    noise = st.tuples(places, st.binary(min_size=1, max_size=16))
    return st.one_of(
        places.map(lambda end: file[:end]),
        noise.map(lambda cut: file[: cut[0]] + cut[1] + file[cut[0] + len(cut[1]) :]),
        noise.map(lambda cut: file[: cut[0]] + cut[1] + file[cut[0] :]),
    )
