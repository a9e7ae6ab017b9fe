"""The `anyres` command: what it prints, what it writes, and one line for every mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import EntryPoint
from io import BytesIO
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

import anyres_client.main as command_line
from anyres_client import Client
from anyres_client.main import main

COMMANDS = ["export", "analyze", "card", "serve", "tune", "bench", "models", "predict", "batch"]


@pytest.fixture
def anyres(capsys: pytest.CaptureFixture[str], fake: Any, monkeypatch: Any) -> Any:
    """`anyres("predict", photo)`: exit code, stdout, stderr, with the fake as the server."""
    monkeypatch.setenv("ANYRES_SERVER", fake.address)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("ANYRES_TRACEBACK", raising=False)

    def run(*words: object) -> tuple[int, str, str]:
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def one_line(told: str) -> str:
    assert told.endswith("\n")
    assert told.count("\n") == 1, told
    return told.strip()


def test_help_lists_every_command_in_the_order_of_a_first_day(anyres: Any) -> None:
    code, out, _ = anyres("--help")
    listed = [line.split()[1] for line in out.splitlines() if line.startswith("│ ")]
    assert code == 0
    assert [word for word in listed if word in COMMANDS] == COMMANDS
    assert "cannot be loaded" not in out


def test_no_command_at_all_gets_the_help(anyres: Any) -> None:
    assert anyres() == anyres("--help")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_ends_with_an_example(anyres: Any, command: str) -> None:
    code, out, _ = anyres(command, "--help")
    assert code == 0
    last = out[out.rindex("╯") :]
    assert f"Example: anyres {command}" in " ".join(last.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fly"], "anyres: no command 'fly'; there are export, prove, convolutionalize"),
        (["--fly"], "anyres: No such option: --fly"),
        (["predict"], "anyres predict: Missing argument 'PHOTO...'"),
        (["card"], "anyres card: Missing command"),
        (["predict", "x.png", "--fly"], "anyres predict: No such option: --fly"),
        (
            ["predict", "x.png", "--timeout", "soon"],
            "anyres predict: Invalid value for '--timeout'",
        ),
        (["predict", "x.png", "--timeout", "0"], "anyres predict: Invalid value for '--timeout'"),
        (["predict", "gone.png", "--model", "zones"], "anyres predict: gone.png: cannot read"),
        (["predict", "gone.png", "--overlay"], "anyres predict: --overlay needs --save"),
        (
            ["predict", "x.png", "--model", "zones", "--output", "mask"],
            "anyres predict: there is no output 'mask'",
        ),
        (["models", "nobody"], "anyres models: no model 'nobody'; there are things, zones"),
        (
            ["batch", "nowhere", "--out", "o", "--model", "zones"],
            "anyres batch: there is no folder",
        ),
        (["batch", ".", "--out", ".", "--model", "zones"], "anyres batch: the results need"),
        (["batch", ".", "--out", "o", "--model", "nobody"], "anyres batch: there is no model"),
        (["batch", ".", "--out", "o"], "anyres batch: Missing option '--model'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_and_exit_code_2(
    anyres: Any, tmp_path: Path, monkeypatch: Any, words: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = anyres(*words)
    assert (code, out) == (2, "")
    assert one_line(err).startswith(said)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("words", [["models"], ["predict", "photo.png", "--model", "m"]])
def test_a_server_that_is_not_there_gets_one_line(
    anyres: Any, photo: Path, monkeypatch: Any, free_address: str, words: list[str]
) -> None:
    monkeypatch.chdir(photo.parent)
    code, _, err = anyres(*words, "--server", free_address)
    assert code == 2
    assert one_line(err) == f"anyres {words[0]}: no server answers ({free_address})"


def test_a_server_that_fails_is_not_the_callers_mistake_but_still_one_line(
    anyres: Any, fake: Any, photo: Path
) -> None:
    fake.refuse = lambda _, context: context.abort(grpc.StatusCode.INTERNAL, "internal error")
    code, _, err = anyres("predict", photo, "--model", "zones")
    assert code == 2
    assert one_line(err) == f"anyres predict: {photo}: internal error ({fake.address})"


def test_predict_prints_size_grid_route_time_and_classes(
    anyres: Any, photo: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(photo.parent)
    code, out, err = anyres("predict", photo.name, "--model", "zones")
    assert (code, err) == (0, "")
    told = " ".join(out.split())
    for fact in ("12x6", "tiled, 6 tiles", "3750", "dark sea 33 %", "wood [dense] 33 %"):
        assert fact in told


def test_predict_prints_no_more_than_100_columns(anyres: Any, tmp_path: Path, pixels: Any) -> None:
    photos = [tmp_path / f"{'long ' * 12}{i} [bold].png" for i in range(2)]
    for path in photos:
        Image.fromarray(pixels).save(path)
    _, out, _ = anyres("predict", *photos, "--model", "zones")
    assert max(map(len, out.splitlines())) <= 100
    assert out.count("[bold]") == 2


def test_photos_are_told_by_name_or_where_that_is_not_enough_by_path(
    anyres: Any, photo: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(photo.parent)
    (photo.parent / "b").mkdir()
    (photo.parent / "b" / "photo.png").write_bytes(photo.read_bytes())
    assert "b/photo.png" not in anyres("predict", "b/photo.png", "--model", "zones")[1]
    assert "b/photo.png" in anyres("predict", "photo.png", "b/photo.png", "--model", "zones")[1]


def test_predict_as_json_is_a_line_a_photo(anyres: Any, photo: Path) -> None:
    code, out, _ = anyres("predict", photo, photo, "--model", "zones", "--json")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["photo"] for line in lines] == [str(photo)] * 2
    assert lines[0]["classes"][0]["share"] == 0.333333


def test_predict_as_json_lists_the_objects_that_were_asked_for(anyres: Any, photo: Path) -> None:
    code, out, _ = anyres("predict", photo, "--model", "zones", "--output", "instances", "--json")
    objects = json.loads(out)["objects"]
    assert code == 0
    assert [each["id"] for each in objects] == list(range(1, len(objects) + 1))
    height, width = np.asarray(Image.open(photo)).shape[:2]
    assert sum(each["area"] for each in objects) == height * width
    assert set(objects[0]) == {"id", "class_index", "class_name", "area", "box", "score"}


def test_a_full_disk_has_its_name_whatever_is_saved(
    anyres: Any, photo: Path, tmp_path: Path
) -> None:
    """The limit on a file's size stands for the disk: the kernel says no in the same place."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    found = []
    try:
        for suffix, most in (("npy", 150), ("npz", 10), ("png", 10), ("json", 10)):
            save = tmp_path / f"saved.{suffix}"
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
            found.append((save, *anyres("predict", photo, "--model", "zones", "--save", save)))
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    for save, code, _, err in found:
        assert code == 2
        assert one_line(err) == f"anyres predict: {photo}: cannot write {save}: File too large"
        assert not save.exists()


def test_one_bad_photo_stops_no_other(anyres: Any, photo: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"")
    code, out, err = anyres("predict", bad, photo, "--model", "zones", "--json")
    assert code == 2
    assert one_line(err).startswith(f"anyres predict: {bad}: the image is no PNG")
    assert json.loads(out)["photo"] == str(photo)


def test_predict_saves_one_photo_as_the_file_that_was_named(
    anyres: Any, photo: Path, tmp_path: Path
) -> None:
    for suffix in ("png", "npz", "npy", "json"):
        assert (
            anyres("predict", photo, "--model", "zones", "--save", tmp_path / f"r.{suffix}")[0] == 0
        )
    assert np.load(tmp_path / "r.npy").shape == (6, 12)
    with Image.open(tmp_path / "r.png") as image:
        assert image.getpixel((11, 0)) == 2


@pytest.mark.parametrize("model", ["zones", "things"])
def test_predict_draws_an_overlay_for_any_model(
    anyres: Any, photo: Path, tmp_path: Path, model: str
) -> None:
    code, _, err = anyres(
        "predict", photo, "--model", model, "--overlay", "--save", tmp_path / "o.png"
    )
    assert (code, err) == (0, "")
    with Image.open(tmp_path / "o.png") as drawn:
        assert drawn.width == 12
        assert drawn.height > 6


def test_a_folder_is_every_photo_in_it(anyres: Any, photo: Path, tmp_path: Path) -> None:
    deep = tmp_path / "album" / "deep"
    deep.mkdir(parents=True)
    for name in ("album/b.png", "album/deep/a.png", "album/notes.txt"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    code, out, _ = anyres("predict", tmp_path / "album", "--model", "zones", "--json")
    assert code == 0
    named = [json.loads(line)["photo"] for line in out.splitlines()]
    assert named == [str(tmp_path / name) for name in ("album/b.png", "album/deep/a.png")]
    (tmp_path / "empty").mkdir()
    code, _, err = anyres("predict", tmp_path / "empty", "--model", "zones")
    assert (code, "there is no image in" in one_line(err)) == (2, True)


@pytest.mark.parametrize("kind", ["png", "npy", "json"])
def test_a_photo_comes_by_standard_input_and_goes_to_standard_output(
    photo: Path, fake: Any, kind: str
) -> None:
    command = [sys.executable, "-m", "anyres_client.main", "predict", "-", "--save", "-"]
    done = subprocess.run(
        [*command, "--format", kind, "--model", "zones", "--server", fake.address],
        input=photo.read_bytes(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    expected = Client(fake.address).predict(photo, model="zones")
    match kind:
        case "png":
            np.testing.assert_array_equal(Image.open(BytesIO(done.stdout)), expected.classes)
        case "npy":
            np.testing.assert_array_equal(np.load(BytesIO(done.stdout)), expected.classes)
        case _:
            assert json.loads(done.stdout)["grid_size"] == list(expected.grid_size)


def test_what_was_saved_is_opened(
    anyres: Any, photo: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("typer.launch", opened.append)
    words = ("predict", photo, "--model", "zones", "--open", "--save")
    assert anyres(*words, tmp_path / "r.png")[0] == 0
    assert anyres(*words, tmp_path / "to", "--format", "json")[0] == 0
    assert opened == [str(tmp_path / "r.png"), str(tmp_path / "to" / "photo.png.classes.json")]
    assert all(Path(path).is_file() for path in opened)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["photo.png", "--open"], "--open needs --save"),
        (["photo.png", "--format", "png"], "--format needs --save"),
        (["photo.png", "--save", "r.png", "--format", "png"], "--format needs --save"),
        (["photo.png", "other.png", "--save", "-"], "standard output takes one"),
        (["-", "-"], "standard input is read once"),
        (["photo.png", "--save", "-", "--format", "doc"], "cannot save as .doc"),
        (["photo.png", "photo.png", "--save", "r", "--format", "doc"], "cannot save as .doc"),
        (["photo.png", "--save", "r.jpg"], "cannot save as .jpg"),
        (["photo.png", "--save", "r.npz", "--overlay"], "cannot save an overlay as .npz"),
    ],
)
def test_ways_in_and_out_that_cannot_be_are_told_before_anything_is_asked(
    anyres: Any, fake: Any, photo: Path, monkeypatch: Any, words: list[str], said: str
) -> None:
    monkeypatch.chdir(photo.parent)
    code, _, err = anyres("predict", *words, "--model", "zones")
    assert (code, said in one_line(err)) == (2, True)
    assert not fake.requests


def test_a_pipe_in_a_folder_is_not_waited_for(anyres: Any, photo: Path) -> None:
    os.mkfifo(photo.with_name("pipe.png"))
    code, out, err = anyres("predict", photo.parent, "--model", "zones")
    assert code == 2
    assert "pipe.png: it is no regular file" in one_line(err)
    assert photo.name in out


def test_nothing_that_opens_a_picture_is_one_line(
    anyres: Any, photo: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("typer.launch", lambda path: 1)
    words = ("predict", photo, "--model", "zones", "--open", "--save", tmp_path / "r.png")
    code, _, err = anyres(*words)
    assert (code, (tmp_path / "r.png").is_file()) == (2, True)
    assert (
        one_line(err) == f"anyres predict: no program here opens {tmp_path}/r.png, which is saved"
    )


def test_photos_of_one_stem_are_saved_side_by_side(
    anyres: Any, photo: Path, tmp_path: Path
) -> None:
    photo.with_suffix(".bmp").write_bytes(photo.read_bytes())
    photos = (photo, photo.with_suffix(".bmp"))
    assert anyres("predict", *photos, "--model", "zones", "--save", tmp_path / "to")[0] == 0
    written = sorted(path.name for path in (tmp_path / "to").iterdir())
    assert written == ["photo.bmp.classes.png", "photo.png.classes.png"]


def test_photos_of_one_name_are_not_saved_over_each_other(
    anyres: Any, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "deep").mkdir()
    twin = tmp_path / "deep" / photo.name
    twin.write_bytes(photo.read_bytes())
    code, _, err = anyres("predict", photo, twin, "--model", "zones", "--save", tmp_path / "to")
    assert code == 2
    assert "two photos are called photo.png" in one_line(err)


def test_several_photos_are_not_saved_in_one_file(anyres: Any, photo: Path, tmp_path: Path) -> None:
    code, _, err = anyres("predict", photo, photo, "--model", "zones", "--save", tmp_path / "r.png")
    assert code == 2
    assert "need a folder" in one_line(err)


def test_a_place_that_cannot_be_written_gets_one_line(anyres: Any, photo: Path) -> None:
    code, _, err = anyres("predict", photo, "--model", "zones", "--save", photo / "below" / "r.png")
    assert code == 2
    assert "cannot write" in one_line(err)


def test_models_says_which_are_ready_and_why_others_are_not(anyres: Any) -> None:
    code, out, _ = anyres("models")
    assert code == 0
    rows = [" ".join(line.split()) for line in out.splitlines()]
    assert rows[1] == "broken 1 not ready the file is no ONNX [model]"
    assert rows[2:] == ["things 1 classification ready any", "zones 1 segmentation ready any"]


def test_a_models_card_is_shown_in_words_and_as_json(anyres: Any) -> None:
    _, out, _ = anyres("models", "things")
    told = " ".join(out.split())
    assert "height free: at least 1" in told
    assert "one every 4 x 4 pixels" in told
    card = json.loads(anyres("models", "things", "--json")[1])
    assert card["outputs"][0]["stride"] == ["4", "4"]


def test_models_as_json_is_for_machines(anyres: Any) -> None:
    assert [model["ready"] for model in json.loads(anyres("models", "--json")[1])] == [
        False,
        True,
        True,
    ]


def points(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """One command, `try`, that is found at `value`."""
    found = [EntryPoint("try", value, command_line.GROUP)]
    monkeypatch.setattr("anyres_client.main.entry_points", lambda group: found)


def needs_runtime() -> None:
    """Run a network."""
    raise ModuleNotFoundError("No module named 'onnxruntime'", name="onnxruntime.capi")


def breaks() -> None:
    """Break."""
    raise ValueError("first\nsecond")


def is_interrupted() -> None:
    """Take long."""
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("value", "code", "said"),
    [
        (
            "needs_runtime",
            2,
            "this needs onnxruntime, which is not installed: pip install 'anyres[server]'",
        ),
        (
            "breaks",
            1,
            "this is a bug: ValueError: first second (run again with ANYRES_TRACEBACK=1",
        ),
        ("is_interrupted", 130, "interrupted"),
        ("is_missing", 1, "this is a bug: AttributeError"),
    ],
)
def test_what_goes_wrong_in_a_command_is_one_line(
    anyres: Any, monkeypatch: pytest.MonkeyPatch, value: str, code: int, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "tried", sys.modules[__name__])
    points(monkeypatch, f"tried:{value}")
    got, out, err = anyres("try")
    assert (got, out) == (code, "")
    assert one_line(err).startswith(f"anyres try: {said}")


def needs_graphs() -> None:
    """Read a graph."""
    raise ModuleNotFoundError("No module named 'onnx'", name="onnx")


@pytest.mark.parametrize("part", ["analyzer", "exporter", "server"])
def test_what_a_part_misses_is_brought_by_its_own_extra(
    anyres: Any, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    monkeypatch.setitem(sys.modules, f"anyres_{part}.tried", sys.modules[__name__])
    points(monkeypatch, f"anyres_{part}.tried:needs_graphs")
    code, _, err = anyres("try")
    assert code == 2
    assert one_line(err).endswith(f"pip install 'anyres[{part}]'")


def test_a_command_that_cannot_be_loaded_says_why_whatever_it_is_given(
    anyres: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "torn.py").write_text("import gradio.nowhere")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "gradio", None)
    points(monkeypatch, "torn:command")
    code, _, err = anyres("try", "model.onnx", "--verify")
    assert code == 2
    assert one_line(err).endswith(
        "this needs gradio, which is not installed: pip install 'anyres[web]'"
    )


def test_a_command_that_cannot_be_loaded_does_not_hide_the_help(
    anyres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    points(monkeypatch, "anyres_client.nowhere:at_all")
    code, out, _ = anyres("--help")
    assert code == 0
    assert "cannot be loaded: No module named 'anyres_client.nowhere'" in out


def test_a_bug_shows_its_place_when_asked_to(anyres: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tried", sys.modules[__name__])
    monkeypatch.setenv("ANYRES_TRACEBACK", "1")
    points(monkeypatch, "tried:breaks")
    assert "in breaks" in anyres("try")[2]


def executable(*words: str, **options: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "100"},
        **options,
    )


def test_the_version_is_printed_by_the_real_executable() -> None:
    anyres = Path(sys.executable).with_name("anyres")
    got = subprocess.run([anyres, "--version"], capture_output=True, text=True, check=True)
    assert got.stdout == "0.1.0\n"


def test_listing_the_commands_loads_none_of_the_heavy_modules() -> None:
    code = (
        "import sys; from anyres_client.main import main; main(['--help']);"
        "heavy = {'torch', 'onnxruntime', 'grpc'} & set(sys.modules);"
        "print(heavy)"
    )
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert got.stdout.splitlines()[-1] == "set()"


def test_a_server_that_wants_to_be_asked_otherwise_gets_one_line_and_no_log_of_grpc(
    fake: Any,
) -> None:
    process = executable("models", "--server", f"https://{fake.address}")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert one_line(err).startswith("anyres models: the server speaks without TLS")


def test_ctrl_c_ends_a_command_with_one_line(fake: Any, photo: Path) -> None:
    asked, left = threading.Event(), threading.Event()

    def hold(_: Any, context: grpc.ServicerContext) -> None:
        context.add_callback(left.set)
        asked.set()
        left.wait(60)

    fake.refuse = hold
    process = executable("predict", str(photo), "--model", "zones", "--server", fake.address)
    assert asked.wait(60)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert one_line(err) == "anyres predict: interrupted"


def test_an_estimate_is_a_row_a_size(anyres: Any) -> None:
    code, out, err = anyres("estimate", "40x30", "4000x3000", "--model", "zones")
    lines = [line.split() for line in out.splitlines()]
    assert lines[1][:3] == ["40x30", "refused", "40x30"]
    assert err.splitlines() == ["anyres estimate: 40x30: big", "anyres estimate: 4000x3000: big"]
    assert code == 2  # the fake refuses every size


def test_an_estimate_as_json_is_a_line_a_size(anyres: Any) -> None:
    _, out, _ = anyres("estimate", "40x30", "50x60", "--model", "zones", "--json")
    first, second = map(json.loads, out.splitlines())
    assert (first["width"], first["height"], first["macs"]) == (40, 30, 30040)
    assert (second["width"], second["height"], second["reason"]) == (50, 60, "big")


def test_a_size_that_the_model_does_not_take_hides_no_other(anyres: Any, fake: Any) -> None:
    words = ("estimate", "40x30", "13x30", "42x30", "--model", "zones")
    code, out, err = anyres(*words)
    assert code == 2
    rows = [line.split()[:3] for line in out.splitlines()[1:]]
    assert rows == [
        ["40x30", "refused", "40x30"],
        ["13x30", "refused"],
        ["42x30", "refused", "42x30"],
    ]
    assert f"anyres estimate: 13x30: it takes no width of 13 ({fake.address})" in err.splitlines()
    code, out, err = anyres(*words, "--json")
    assert (code, err) == (2, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["width"] for line in lines] == [40, 13, 42]
    assert [line["route"] for line in lines] == ["refused"] * 3
    assert ["macs" in line for line in lines] == [True, False, True]
    assert "takes no" in lines[1]["reason"]


@pytest.mark.parametrize("size", ["40", "x30", "40x", "0x30", "40x-1", "axb"])
def test_a_size_that_is_none_is_refused(anyres: Any, size: str) -> None:
    code, _, err = anyres("estimate", size, "--model", "zones")
    assert code == 2
    assert f"a size is WIDTHxHEIGHT in pixels, as 640x480; got '{size}'" in err


def test_a_name_that_is_no_unicode_is_printed_in_some_way(
    fake: Any, photo: Path, tmp_path: Path
) -> None:
    photo.rename(tmp_path / "\udcff.png")
    process = executable(
        "predict", f"{tmp_path}/\udcff.png", "--model", "zones", "--server", fake.address
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    assert r"\udcff.png" in out


def on_a_terminal(*words: object) -> tuple[int, str]:
    """The exit code and everything on stderr, where that is a terminal."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "anyres_client.main", *map(str, words)],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )
    os.close(theirs)
    told = b""
    with suppress(OSError), open(ours, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        while some := file.read(1000):  # OSError: the other end is closed
            told += some
    return process.wait(60), told.decode()


def test_a_folder_of_photos_has_a_bar_on_a_terminal_and_one_photo_has_none(
    fake: Any, photo: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "album"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes(photo.read_bytes())
    (folder / "bad.png").write_bytes(b"")
    words = ("predict", "--model", "zones", "--server", fake.address)
    code, told = on_a_terminal(*words, folder)
    assert code == 2
    assert "4/4" in told
    assert "MP/s" in told
    assert f"anyres predict: {folder}/bad.png: the image is no PNG" in told
    assert on_a_terminal(*words, photo) == (0, "")
