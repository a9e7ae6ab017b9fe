"""The `anyres` command: finds every part's subcommand, and answers mistakes in one line.

A subcommand is a function named in the entry-point group `anyres.commands`, or a `typer.Typer` that
holds several (`anyres card stamp`, `anyres card show`). A function's docstring is its help; a last
paragraph that begins with `Example:` goes to the end of the page. Only the subcommand that was
called for is loaded; the list of them all (`anyres --help`) loads each, so their modules keep heavy
imports inside the function.

What a command raises becomes an exit code and at most one line on stderr:

    typer.Exit             its code, no line: the command has already said what it had to
    typer.BadParameter     2, its message: something about the call was wrong (any TyperException)
    ClientError            2, its message: the server refused, or is not there
    ModuleNotFoundError    2, the `pip install` line of the extra that brings the module
    KeyboardInterrupt      130
    anything else          1: a bug; ANYRES_TRACEBACK=1 shows where
"""

from __future__ import annotations

import inspect
import os
import re
import sys
import traceback
from collections.abc import Callable, Container, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from io import TextIOWrapper
from typing import Annotated, Any, NoReturn, TypeAlias

import typer
from typer.core import TyperGroup

from anyres_client.errors import ClientError
from anyres_client.missing import extra_of, missing_module

GROUP = "anyres.commands"

# The order of a first day: make a model, look at it, serve it, ask it.
ORDER = (
    *("export", "prove", "convolutionalize", "analyze", "compare", "card", "evaluate", "selftest"),
    *("serve", "token", "tune", "bench"),
    *("models", "estimate", "predict", "batch", "watch", "video", "web", "doctor"),
)

COMPLETING = "_ANYRES_COMPLETE"  # how a shell asks us, by the script that these install or show
INSTALLING = {"--install-completion", "--show-completion"}

Command: TypeAlias = Callable[..., object]
Look: TypeAlias = Callable[[EntryPoint], Command | typer.Typer]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `anyres` with these arguments (the process's own where None); the exit code."""
    _print_any_name()
    arguments = list(sys.argv[1:] if argv is None else argv)
    points = {point.name: point for point in entry_points(group=GROUP)}
    called = "" if INSTALLING & set(arguments[:1]) else _first_word(arguments)
    if COMPLETING in os.environ:
        arguments, called = [], _half_typed(points)
    if called and called not in points:
        _say(f"anyres: no command {called!r}; there are {', '.join(_in_order(points))}")
        return 2
    speaker = f"anyres {called}" if called else "anyres"
    try:
        wanted = [points[name] for name in ([called] if called else _in_order(points))]
        app = _app(wanted, _look(called))
        code = app(arguments or ["--help"], prog_name="anyres", standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:  # noqa: BLE001 - the boundary: whatever happened becomes one line
        return _answer(speaker, error, _part(points[called]) if called else "")
    if code == 130:  # typer turns Ctrl-C into this code without a word
        _say(f"{speaker}: interrupted")
    return code if isinstance(code, int) else 0


def _print_any_name() -> None:
    """Escape what standard output cannot say: names on a disk need be no Unicode."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as standard error does by itself


def _first_word(arguments: Iterable[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def _half_typed(points: Container[str]) -> str:
    """The command within the words that a shell wants completed; "" where it is itself sought."""
    words = os.environ.get("COMP_WORDS") or os.environ.get("_TYPER_COMPLETE_ARGS", "")
    return next((word for word in re.split(r"\s", words)[1:-1] if word in points), "")


def _app(points: Sequence[EntryPoint], look: Look) -> typer.Typer:
    app = typer.Typer(
        name="anyres",
        cls=_FirstDay,
        help="Prove which image sizes a vision model can take, export exactly that, serve it, "
        "and ask it about images of any size.",
        epilog="Example: anyres predict photo.jpg --server localhost:8001 --overlay --save out/",
        rich_markup_mode="rich",
    )
    app.callback()(_options)
    for point in points:
        loaded = look(point)
        if isinstance(loaded, typer.Typer):
            app.add_typer(_group(loaded), name=point.name)
        else:
            _add(app, point.name, loaded)
    return app


class _FirstDay(TyperGroup):
    """Lists commands in our order; typer's own puts groups last."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names, in `ORDER`."""
        return _in_order(self.commands)


def _add(app: typer.Typer, name: str, command: Command) -> None:
    text, _, example = inspect.cleandoc(command.__doc__ or "").partition("\nExample:")
    epilog = f"Example: {' '.join(example.split())}" if example else None
    app.command(name, help=_plain(text), epilog=epilog and _plain(epilog))(command)


def _group(group: typer.Typer) -> typer.Typer:
    """The same group, with its functions' docstrings read as ours are."""
    own = group.info
    app = typer.Typer(help=own.help, epilog=own.epilog, rich_markup_mode="rich")
    for info in group.registered_commands:
        assert info.callback is not None, "a command is a function"
        _add(app, info.name or info.callback.__name__, info.callback)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("anyres"))
        raise typer.Exit


def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and leave.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    """Hold what `anyres` itself takes."""


def _look(called: str) -> Look:
    """How points become commands: one that is called has to load, and in a list none has to."""
    completing = os.environ.get(COMPLETING)
    if called and completing is None:
        return EntryPoint.load
    return _name if completing == "complete_bash" and not called else _load


def _load(point: EntryPoint) -> Command | typer.Typer:
    """What the point names; a stand-in where it cannot be loaded, so that `--help` survives."""
    try:
        command: Command | typer.Typer = point.load()
    except (ImportError, AttributeError) as error:
        return _stand_in(error, _part(point))
    return command


def _part(point: EntryPoint) -> str:
    """`server` of `anyres_server.commands.serve`."""
    return point.module.partition(".")[0].removeprefix("anyres_")


def _name(point: EntryPoint) -> Command:
    """Nothing but a name, where no more will be told: bash shows no help."""
    return lambda: None


def _stand_in(reason: Exception, part: str) -> Command:
    def unavailable(context: typer.Context) -> NoReturn:
        raise reason

    said = _sentence(reason, part) if extra_of(reason, part) else reason
    unavailable.__doc__ = f"(cannot be loaded: {said})"
    return unavailable


def _in_order(names: Iterable[str]) -> list[str]:
    def place(name: str) -> tuple[int, str]:
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)

    return sorted(names, key=place)


def _plain(text: str) -> str:
    return text.replace("[", r"\[")


def _answer(speaker: str, error: Exception, part: str) -> int:
    if os.environ.get("ANYRES_TRACEBACK"):
        traceback.print_exception(error)
    _say(f"{speaker}: {_sentence(error, part)}")
    wrong_call = isinstance(error, typer.TyperException | ClientError)
    return 2 if wrong_call or extra_of(error, part) else 1


def _sentence(error: Exception, part: str) -> str:
    """What to tell the caller; one line, however the error wrote it."""
    if extra := extra_of(error, part):
        install = f"pip install 'anyres[{extra}]'"
        return f"this needs {missing_module(error)}, which is not installed: {install}"
    if isinstance(error, typer.BadParameter) and not (error.param or error.param_hint):
        return _one_line(error.message)
    if isinstance(error, typer.TyperException):
        return _one_line(error.format_message())
    if isinstance(error, ClientError):
        return _one_line(str(error))
    what = _one_line(f"{type(error).__name__}: {error}")
    return f"this is a bug: {what} (run again with ANYRES_TRACEBACK=1 to see where)"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
