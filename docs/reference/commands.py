"""Writes `commands.md`: every command of `anyres` and its options, in the commands' own words.

    python -m docs.reference.commands

A test compares the page with what this writes, so that it is never older than the commands are.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from importlib.metadata import EntryPoint, entry_points
from itertools import groupby
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperArgument
from typer.main import get_command

from anyres_client.main import GROUP, ORDER

PAGE = Path(__file__).with_suffix(".md")
HEAD = """\
# Commands

<!-- Written by `python -m docs.reference.commands`: change the commands' docstrings instead. -->

`anyres COMMAND --help` prints the same. Sizes are WIDTHxHEIGHT in pixels. A command exits with 0
where all went well, with 2 and one line on stderr where something about the call or the server was
wrong, and with 130 after Ctrl-C; 1 is what the command says of itself, or a bug, which
`ANYRES_TRACEBACK=1` shows the place of. What a command needs and is not installed is named with its
`pip install` line. `anyres --version` prints the version.
"""
KINDS = {"int range": "int", "float range": "float", "list[str]": "str", "list[path]": "path"}
UNSAID: tuple[Any, ...] = (None, False, (), [], "")  # defaults that nobody needs to be told


def page() -> str:
    """The page, as Markdown."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    ordered = [name for name in ORDER if name in points] + sorted(set(points) - set(ORDER))
    return "\n".join([HEAD, *(text for name in ordered for text in _sections(points[name]))])


def _sections(point: EntryPoint) -> Iterator[str]:
    """A section for a command; for a group one more for each of its own."""
    loaded = point.load()
    if not isinstance(loaded, typer.Typer):
        yield _section("##", point.name, loaded)
        return
    yield f"## {point.name}\n\n{loaded.info.help}\n"
    for command in loaded.registered_commands:
        assert command.callback is not None, "a command is a function"
        name = command.name or command.callback.__name__
        yield _section("###", f"{point.name} {name}", command.callback)


def _section(marks: str, name: str, function: Any) -> str:
    text, _, example = inspect.cleandoc(function.__doc__).partition("\nExample:")
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    command = get_command(app)
    context = typer.Context(command, info_name=f"anyres {name}")
    usage = " ".join(f"anyres {name} [OPTIONS] {_arguments(command.params)}".split())
    return "\n".join(
        [
            f"{marks} {name}\n\n{text.strip()}\n",
            f"```text\n{usage}\n```\n",
            f'```text title="Example"\n{_words(example)}\n```\n',
            *_table(command.params, context),
        ]
    )


def _arguments(params: Sequence[Any]) -> str:
    return " ".join(p.display_name_raw for p in params if isinstance(p, TyperArgument))


def _table(params: Sequence[Any], context: typer.Context) -> Iterator[str]:
    """The panels of the help, in its order, as one table."""
    shown = [p for p in params if not p.hidden and p.name != "help"]
    panels = groupby(sorted(shown, key=_place(shown)), key=_panel)
    for number, (panel, rows) in enumerate(panels):
        yield f"| **{panel}** | |" if number else f"| {panel} | |\n|---|---|"
        yield from (f"| {_names(p, context)} | {_meaning(p)} |" for p in rows)
    yield ""


def _place(params: Sequence[Any]) -> Any:
    panels = list(dict.fromkeys(["Arguments", "Options", *map(_panel, params)]))
    return lambda param: panels.index(_panel(param))


def _panel(param: Any) -> str:
    usual = "Arguments" if isinstance(param, TyperArgument) else "Options"
    return param.rich_help_panel or usual


def _names(param: Any, context: typer.Context) -> str:
    if isinstance(param, TyperArgument):
        return f"`{param.display_name_raw}`"
    names = ", ".join(f"`{name}`" for name in (*param.opts, *param.secondary_opts))
    takes = param.display_type_rich(ctx=context).strip("<>")
    return names if param.is_flag else f"{names} {_cell(KINDS.get(takes, takes))}"


def _meaning(param: Any) -> str:
    said = [_cell(param.help or "")]
    said += [f"*At least {param.min}.*"] if param.min is not None else []
    said += ["*Required.*"] if param.required else []
    default = _default(param)
    said += [f"*Default: {_cell(default)}.*"] if default else []
    said += [f"*Or `{param.envvar}` in the environment.*"] if param.envvar else []
    return " ".join(said)


def _default(param: Any) -> str | None:
    if isinstance(param.show_default, str):
        return str(param.show_default)
    if not param.show_default or param.default in UNSAID or callable(param.default):
        return None
    if param.default is True:
        return str(param.opts[0])
    return str(param.default)


def _cell(text: str) -> str:
    """As one cell of a table."""
    return _words(text).replace("<", "&lt;").replace("|", "&#124;")


def _words(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
