"""Every command and snippet of the README and docs, run as it stands, in a folder like a checkout.

Only the server's port is another: the fixed one may be taken.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from demo.serving import served

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
README = [block for page in PAGES for block in BLOCK.findall(page.read_text("utf-8"))]
COMMANDS = [
    shlex.split(line, comments=True)
    for language, text in README
    if language == "sh"
    for line in text.splitlines()
]
SNIPPETS = [text for language, text in README if language == "python"]
BEFORE_SERVING = (
    *("export", "convolutionalize", "prove"),
    *("analyze", "compare", "selftest", "card"),
)
PHOTOS = ("chelsea.png", "coffee.png", "astronaut.png", "rocket.jpg")
SERVED = ("models", "predict", "batch")


@pytest.fixture(scope="module")
def checkout(assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models and photographs where the README says that they are."""
    folder = tmp_path_factory.mktemp("checkout")
    (folder / "out").mkdir()
    (folder / "out/assets").symlink_to(assets)
    (folder / "models").symlink_to(ROOT / "models")
    shutil.copytree(ROOT / "out/models", folder / "out/models")
    (folder / "out/photos").mkdir()
    for name in PHOTOS:
        (folder / "out/photos" / name).symlink_to(assets / "skimage/data" / name)
    foreign = onnx.load(ROOT / "out/models/mobilenet_v2.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, folder / "out/foreign.onnx")
    return folder


def run(command: list[str], folder: Path, **environment: str) -> str:
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    expected = 1 if "batch" in command else 0  # the README says that one file cannot be read
    assert done.returncode == expected, f"{shlex.join(command)}: {done.stderr}"
    return done.stdout


def test_every_command_is_one_that_is_run_here_or_a_target_of_make() -> None:
    known = {"serve", *BEFORE_SERVING, *SERVED}
    makefile = (ROOT / "Makefile").read_text()
    assert COMMANDS
    for program, called, *_ in COMMANDS:
        if program == "make":
            assert re.search(rf"^{called}:", makefile, re.MULTILINE), called
        else:
            assert (program, called in known) == ("anyres", True), called


def test_what_needs_no_server_works(checkout: Path) -> None:
    ours = [c for c in COMMANDS if c[0] == "anyres" and c[1] in BEFORE_SERVING]
    said = "\n".join(run(command, checkout) for command in ours)
    assert "proven at" in said
    assert (checkout / "out/mine/my_unet.onnx").is_file()
    assert "<svg" in (checkout / "out/report.html").read_text("utf-8")
    assert "figures are as expected" in said


def test_what_was_exported_from_a_checkpoint_is_served(checkout: Path, tmp_path: Path) -> None:
    *_, serve = [c for c in COMMANDS if c[1] == "serve"]
    assert serve[2:] == ["out/mine"]
    cat = ["anyres", "predict", "out/photos/chelsea.png", "--model", "mobilenet_v2_dense"]
    with served(checkout / "out/mine", tmp_path / "log") as address:
        assert "Egyptian cat" in run(cat, checkout, ANYRES_SERVER=address)


def test_what_asks_the_server_works(checkout: Path, tmp_path: Path) -> None:
    serve, *_ = [c for c in COMMANDS if c[1] == "serve"]
    assert serve[2:] == ["out/models", "--port", "8001"]
    with served(checkout / "out/models", tmp_path / "log") as address:
        for command in (c for c in COMMANDS if c[1] in SERVED):
            run(command, checkout, ANYRES_SERVER=address)
        for snippet in SNIPPETS:
            assert "localhost:8001" in snippet
            code = snippet.replace("localhost:8001", address)
            assert "Egyptian cat" in run([sys.executable, "-c", code], checkout)
    assert (checkout / "out/chelsea.png").is_file()
    assert (checkout / "out/overlay.png").is_file()
    assert (checkout / "out/batch/results.jsonl").read_text().count("\n") == 27
