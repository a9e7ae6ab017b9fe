"""Somebody's ONNX files: text, with the weights of a model, so what is wrong is in plain sight."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest

from anyres_client.main import main

NETS = Path(__file__).with_name("nets.py")

Prove = Callable[..., tuple[int, str, str]]
Written = Callable[..., Path]


@pytest.fixture
def prove(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Prove:
    """`prove(file, "Dense", *options)`: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(model: Path, factory: str, *options: object) -> tuple[int, str, str]:
        code = main(["prove", str(model), "--against", f"{NETS}:{factory}", *map(str, options)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """`written(nodes)`: a file of these nodes with the weights of `nets.Net`."""
    pytest.importorskip("torch")
    from tests.exporter.prove.nets import Net

    state = {key.replace(".", "_"): value.numpy() for key, value in Net().state_dict().items()}
    state["positions"] = np.linspace(-1, 1, 64, dtype=np.float32).reshape(1, 1, 8, 8)

    def save(nodes: str, output: str = "float[N,2,P,Q] y", image: str = "N,3,H,W") -> Path:
        path = tmp_path / "model.onnx"
        model: Any = onnx.parser.parse_model(
            f"""<ir_version: 8, opset_import: ["" : 17]>
            net (float[{image}] image) => ({output}) {{ {nodes} }}"""
        )
        used = {name for node in model.graph.node for name in node.input}
        model.graph.initializer.extend(
            onnx.numpy_helper.from_array(value, name)
            for name, value in state.items()
            if name in used
        )
        path.write_bytes(model.SerializeToString())
        return path

    return save
