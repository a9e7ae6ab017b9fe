"""A model that torch cannot export ends in one sentence: what is wrong with it, and what to do.

Every model here makes one usual mistake, and torch itself says what it says of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.slow]

from torch import Tensor, nn  # noqa: E402

from anyres_exporter.errors import NotExportable  # noqa: E402
from anyres_exporter.export import export  # noqa: E402
from anyres_exporter.request import Sizes  # noqa: E402
from anyres_proto.card import Description  # noqa: E402


class BranchOnPixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class LoopOverPixels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for _ in range(int(x.max()) + 1):
            x = x * 2
        return x


class OperatorThatOnnxHasNot(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        values: Tensor = torch.linalg.svd(x.mean(1)).S
        return values


class Twice(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2


def transformed(by: Callable[[nn.Module], Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own farewell to TorchScript
        return by(Twice())


@pytest.mark.parametrize(
    ("model", "wrong", "do"),
    [
        (BranchOnPixels(), "depends on the values of the image", "torch.where"),
        (LoopOverPixels(), "depends on the values of the image", "torch.where"),
        (OperatorThatOnnxHasNot(), "an operator that ONNX has not", "replace that operator"),
        (transformed(torch.jit.script), "compiled by TorchScript", "build the eager model"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_is_wrong_what_to_do_and_where_the_rest_is(
    model: nn.Module,
    wrong: str,
    do: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    description = Description(name="net", task="unknown")
    with pytest.raises(NotExportable) as failed:
        export(model, description, tmp_path, sizes=Sizes(traced=(32, 32)))
    said = str(failed.value)
    assert wrong in said
    assert do in said
    assert "\n" not in said
    log = tmp_path / "net.export.log"
    assert str(log) in said
    assert "Traceback" in log.read_text()
    assert not list(tmp_path.glob("*.onnx"))
    assert capfd.readouterr() == ("", ""), "torch's own pages"


def test_a_compiled_model_is_exported_as_the_model_that_was_compiled(tmp_path: Path) -> None:
    description = Description(name="net", task="unknown")
    model = transformed(torch.compile)
    path = export(model, description, tmp_path, sizes=Sizes(traced=(32, 32)))
    assert path.is_file()
