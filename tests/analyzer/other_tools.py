"""The tools that `anyres analyze --as` speaks of, asked themselves; torch must be there."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable

import onnx
import pytest
import torch
from torch import Tensor, nn

from anyres_analyzer import Analysis, analyze
from anyres_analyzer.cost.conventions import CONVENTIONS
from anyres_analyzer.cost.reconcile import Reconciliation
from anyres_analyzer.report.reconciled import reconciled

Counted = tuple[int, int]  # operations, parameters


def fvcore(module: nn.Module, image: Tensor) -> Counted:
    tool = pytest.importorskip("fvcore.nn")
    flops = tool.FlopCountAnalysis(module, image).unsupported_ops_warnings(False)
    return int(flops.uncalled_modules_warnings(False).total()), tool.parameter_count(module)[""]


def ptflops(module: nn.Module, image: Tensor) -> Counted:
    tool = pytest.importorskip("ptflops")
    counted: Counted = tool.get_model_complexity_info(
        module, tuple(image.shape[1:]), as_strings=False, print_per_layer_stat=False
    )
    return counted


def torchinfo(module: nn.Module, image: Tensor) -> Counted:
    summary = pytest.importorskip("torchinfo").summary(module, input_data=image, verbose=0)
    return summary.total_mult_adds, summary.total_params


def thop(module: nn.Module, image: Tensor) -> Counted:
    operations, parameters = pytest.importorskip("thop").profile(module, (image,), verbose=False)
    return int(operations), int(parameters)


TOOLS: dict[str, Callable[[nn.Module, Tensor], Counted]] = {
    "fvcore": fvcore,
    "ptflops": ptflops,
    "torchinfo": torchinfo,
    "thop": thop,
}


def counted_by(tool: str, module: nn.Module, image: Tensor) -> Counted:
    return TOOLS[tool](copy.deepcopy(module), image)


def exported(module: nn.Module, image: Tensor, *, folding: bool = False) -> Analysis:
    """By the exporter that can leave batch norms as they are."""
    file = io.BytesIO()
    training = torch.onnx.TrainingMode
    mode = training.EVAL if folding else training.PRESERVE
    torch.onnx.export(
        module,
        (image,),
        file,  # type: ignore[arg-type]  # it takes a file too
        dynamo=False,
        opset_version=17,
        training=mode,
        do_constant_folding=folding,
    )
    return analyze(onnx.load_from_string(file.getvalue()))


def as_tool(tool: str, analysis: Analysis, image: Tensor) -> Reconciliation:
    height, width = image.shape[2:]
    (at,) = reconciled("net", analysis, CONVENTIONS[tool], [(width, height)]).at
    assert at.counted is not None
    assert at.counted.uncounted == ()
    assert at.counted.theirs == at.counted.ours + sum(i.operations for i in at.counted.items)
    return at.counted


def where(counted: Reconciliation, *chosen: str) -> int:
    """Their operations with the items' alternatives that are so for this module."""
    swapped = [
        other.operations - item.operations
        for item in counted.items
        for other in item.otherwise
        if other.when in chosen
    ]
    assert len(swapped) == len(chosen)
    return counted.theirs + sum(swapped)


def unlike(module: nn.Module) -> nn.Module:
    """No two weights alike, or the exporter makes one of them."""
    torch.manual_seed(0)
    for values in (*module.parameters(), *module.buffers()):
        if values.dim() == 1:
            nn.init.uniform_(values, 0.5, 1.5)
    return module.eval()
