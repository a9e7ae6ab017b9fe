"""What docs/server/protocol.md shows runs as it stands there, with a stock client."""

from __future__ import annotations

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from PIL import Image

PAGE = Path(__file__).parents[2] / "docs" / "server" / "protocol.md"
SHOWN = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
# As many classes and cells as the model that the page speaks of.
STAND_IN = """
<ir_version: 8, opset_import: ["": 17]>
mobilenet_v2_fcn (float[n, 3, h, w] image) => (float[n, 1000, y, x] logits) {
    logits = Conv <kernel_shape = [1, 1], strides = [32, 32]> (image, kernel)
}
"""


def prepare(folder: Path, models: Path) -> None:
    model = onnx.parser.parse_model(STAND_IN)
    kernel = np.random.default_rng(1).standard_normal((1000, 3, 1, 1), np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "kernel"))
    onnx.save(model, models / "mobilenet_v2_fcn.onnx")
    data = folder / "out" / "assets" / "skimage" / "data"
    data.mkdir(parents=True)
    for name, shape in (("chelsea", (300, 451, 3)), ("coffee", (400, 600, 3))):
        pixels: NDArray[np.uint8] = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
        Image.fromarray(pixels).save(data / f"{name}.png")


async def printed(folder: Path, program: str) -> str:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=pipe, cwd=folder
    )
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()


async def test_every_program_of_the_page_runs_and_prints_what_it_says(
    serve: Any, models: Path, tmp_path: Path
) -> None:
    prepare(tmp_path, models)
    programs, outputs = zip(*SHOWN.findall(PAGE.read_text("utf-8")), strict=True)
    assert len(programs) == 3
    between = "print('-----')\n"
    async with serve() as served:
        address = f"localhost:{served.server.port}"
        program = between.join(programs).replace("localhost:8001", address)
        found = (await printed(tmp_path, program)).split("-----\n")
    assert (found[0], found[2]) == (outputs[0], outputs[2])
    assert found[1].count(":") == outputs[1].count(":") - 4  # the stand-in's classes have no names
