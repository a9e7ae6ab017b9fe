"""A model from Python code: `package.module:name`, or `path/to/file.py:name`.

The name is a class, a function that returns a module, or a module itself. As `python -m` does, the
current folder is searched first, so that a model that lies there needs no installing.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from anyres_exporter.errors import BadRecipe


def from_code(target: str, arguments: Mapping[str, Any]) -> nn.Module:
    """The module that a target names, or that it returns when called with these arguments.

    Raises:
        BadRecipe: it cannot be imported or called, or is no module.
    """
    source, _, name = target.rpartition(":")
    if not source or not name:
        raise BadRecipe(f"'{target}' is no factory; write package.module:name or file.py:name")
    found: Any = _imported(source, target)
    for part in name.split("."):
        if not hasattr(found, part):
            raise BadRecipe(f"module '{source}' has no '{name}'")
        found = getattr(found, part)
    if isinstance(found, nn.Module):
        if arguments:
            raise BadRecipe(f"'{target}' is a module already; it takes no arguments")
        return found
    if not callable(found):
        raise BadRecipe(f"'{target}' cannot be called; a factory is a class or a function")
    return called(target, found, arguments)


def called(target: str, factory: Any, arguments: Mapping[str, Any]) -> nn.Module:
    """The module that somebody's factory makes.

    Raises:
        BadRecipe: it raises, or returns something else.
    """
    try:
        model = factory(**arguments)
    except Exception as error:
        raise BadRecipe(f"calling factory '{target}' failed: {said(error)}") from error
    if not isinstance(model, nn.Module):
        raise BadRecipe(f"{target} gave a {type(model).__name__}, not a torch.nn.Module")
    return model


def said(error: Exception) -> str:
    """Somebody else's code may raise anything; this is its boundary."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _imported(source: str, target: str) -> ModuleType:
    try:
        if source.endswith(".py"):
            return _file(Path(source))
        with _searched(Path.cwd()):
            return importlib.import_module(source)
    except Exception as error:
        raise BadRecipe(f"cannot import '{source}' of factory '{target}': {said(error)}") from error


def _file(path: Path) -> ModuleType:
    """A file as a module, which finds its neighbours."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    with _searched(path.parent.absolute()):
        spec.loader.exec_module(module)
    return module


@contextmanager
def _searched(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
