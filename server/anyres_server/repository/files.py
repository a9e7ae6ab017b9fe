"""What lies in a models' folder, without opening any of it.

models/unet.onnx          version 1 of `unet`; its weights may lie beside it, `unet.onnx.data`
models/unet.toml          its settings
models/net/3/model.onnx   version 3 of `net`; whatever lies in the version's folder belongs to it
models/net/model.toml     the settings of all its versions

Any of these may be a link. Names that begin with a dot are files on their way to their own name.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISDIR
from typing import TypeAlias

from anyres_server.regular import check_regular

log = logging.getLogger(__name__)

MODEL_FILE = "model.onnx"
SETTINGS_FILE = "model.toml"

# Of one file: its path, device, inode, bytes, and when it was written and changed, in ns.
FileStamp: TypeAlias = tuple[str, int, int, int, int, int]
Stamp: TypeAlias = tuple[FileStamp, ...]


@dataclass(frozen=True)
class Found:
    """One version of a model as it lies there: two that are equal are the same files unchanged."""

    name: str
    version: str
    path: Path
    settings: Path  # which need not be there
    files: tuple[Path, ...]
    stamp: Stamp  # of each

    @property
    def number(self) -> int:
        """What versions are ordered by."""
        return int(self.version)

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(size for _, _, _, size, _, _ in self.stamp)

    @property
    def written_s(self) -> float:
        """When the newest of its files was written, by the wall clock."""
        return max((written for *_, written, _ in self.stamp), default=0) / 1e9


@dataclass(frozen=True)
class Contents:
    """A folder's models by name, each version once for every file that claims to be it."""

    models: Mapping[str, tuple[Found, ...]]  # oldest version first
    unreadable: Mapping[str, str]  # models of which it cannot be known what there is, and why
    device: int  # that the folder is on

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models."""
        return tuple(sorted({*self.models, *self.unreadable}))


def contents(folder: Path) -> Contents:
    """Look into a folder.

    Raises:
        OSError: it cannot be looked into.
    """
    models: dict[str, list[Found]] = {}
    unreadable: dict[str, str] = {}
    children = {child.name: child for child in _children(folder)}
    for file, child in children.items():
        path = folder / file
        try:
            if file.endswith(".onnx") and not _is_folder(child):
                check_regular(path)
                name = path.stem
                beside = [each for each in children if each.startswith(file)]  # weights, too
                settings = path.with_suffix(".toml")
                beside += [settings.name] if settings.name in children else []
                models.setdefault(name, []).append(_found(name, "1", path, settings, beside))
            elif _is_folder(child) and (versions := list(_versions(path))):
                models.setdefault(file, []).extend(versions)
        except OSError as error:
            name = file.removesuffix(".onnx")
            unreadable[name] = f"{file} cannot be read: {error.strerror}"
    ordered = {name: tuple(sorted(models[name], key=lambda f: f.number)) for name in sorted(models)}
    return Contents(ordered, unreadable, folder.stat().st_dev)


def found_again(found: Found, folder: Path) -> Found | None:
    """The same version as it lies there now; None where it is gone.

    Raises:
        OSError: it cannot be looked at.
    """
    same = contents(folder).models.get(found.name, ())
    return next((each for each in same if each.path == found.path), None)


def _versions(folder: Path) -> Iterator[Found]:
    """The versions in a model's folder; none where it is no model's."""
    settings = folder / SETTINGS_FILE
    for child in _children(folder):
        version, place = child.name, folder / child.name
        if not _is_folder(child) or not (place / MODEL_FILE).exists():
            continue
        if version.isascii() and version.isdigit():
            check_regular(place / MODEL_FILE)
            files = [each.name for each in _children(place)]
            beside = [*(f"{version}/{each}" for each in files)]
            beside += [SETTINGS_FILE] if settings.exists() else []
            yield _found(folder.name, version, place / MODEL_FILE, settings, beside, folder)
        else:
            log.debug("%s is not served: versions are whole numbers", place)


def _found(
    name: str,
    version: str,
    path: Path,
    settings: Path,
    files: Iterable[str],
    folder: Path | None = None,
) -> Found:
    home = folder or path.parent
    paths = tuple(home / each for each in sorted(files))
    paths = tuple(each for each in paths if not each.is_dir())
    return Found(name, version, path, settings, paths, tuple(map(_stamp, paths)))


def _stamp(path: Path) -> FileStamp:
    seen = path.stat()
    return (str(path), seen.st_dev, seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)


def _children(folder: Path) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        shown = [entry for entry in entries if not entry.name.startswith(".")]
    return sorted(shown, key=lambda entry: entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Following links; a link to nowhere is no folder."""
    try:
        return S_ISDIR(entry.stat().st_mode)
    except FileNotFoundError:
        return False
