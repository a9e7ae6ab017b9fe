"""A torch module and the file that torch made of it, as oracles: eager torch and ONNX Runtime.

Fresh networks hide mistakes: a residual branch may start at zero, a deep one may drown its signal
in its biases. So all scales are drawn anew, and batch norm takes the statistics of noise.
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import Fail, InvalidArgument, RuntimeException

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.export import Dim  # noqa: E402
from torch.nn.attention import SDPBackend, sdpa_kernel  # noqa: E402
from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

Image = NDArray[np.float32]


class Exported:
    """One network: `eager` and `run` take (n, 3, h, w)."""

    def __init__(self, module: nn.Module, side: int, *, patch: int, dynamo: bool) -> None:
        self.module = module
        self._patch = patch
        with _quiet():
            _enliven(module, side)
            export = _by_dynamo if dynamo else _by_script
            self.file = export(module, side)
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        self._session = ort.InferenceSession(self.file.SerializeToString(), options)

    def eager(self, images: Image) -> Image | None:
        """torch's answer; None where it refuses the size."""
        height, width = (n // self._patch * self._patch for n in images.shape[2:])
        try:
            with torch.inference_mode():
                answer = self.module(torch.from_numpy(images[:, :, :height, :width].copy()))
        except (RuntimeError, ValueError, AssertionError):
            return None
        output: Image = answer.numpy()
        return output

    def run(self, images: Image) -> Image | None:
        """The file's answer; None where ONNX Runtime fails.

        Never ask where torch refused: an empty map kills the process inside a pool (SIGFPE).
        """
        try:
            output: Image = self._session.run(None, {"image": images})[0]
        except (Fail, InvalidArgument, RuntimeException):
            return None
        return output

    def is_right(self, height: int, width: int) -> bool:
        """Whether the file gives torch's numbers for two images of this size.

        The error is measured against how much the answers for two unlike images differ.
        """
        images = noise(height, width)
        expected = self.eager(images)
        found = None if expected is None else self.run(images)
        if expected is None or found is None or found.shape != expected.shape:
            return False
        rounding = 3e-6 * np.abs(expected).max()
        spread = np.abs(expected[0] - expected[1]).max()
        return bool(np.abs(found - expected).max() < 1e-3 * spread + rounding)

    def tells_images_apart(self, side: int) -> bool:
        """Whether the answers for two unlike images differ by more than a hundredth."""
        answers = self.eager(noise(side, side))
        assert answers is not None
        return bool(np.abs(answers[0] - answers[1]).max() > 1e-2 * np.abs(answers).max())

    def macs(self, height: int, width: int) -> int:
        """Multiply-adds of one image, as torch counts them where attention is spelled out."""
        height, width = (n // self._patch * self._patch for n in (height, width))
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            counter = FlopCounterMode(display=False)
            with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
                self.module(torch.zeros(1, 3, height, width))
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)
        flops: int = counter.get_total_flops()
        return flops // 2

    def parameters(self) -> int:
        """torch's count, less what a batch norm's folding into its convolution leaves out.

        Scale and bias per channel become a bias, so one number of two goes; where the convolution
        had a bias already, both go.
        """
        kept = {node.input[1] for node in self.file.graph.node if node.op_type == _BATCH_NORM}
        count, biased = sum(p.numel() for p in self.module.parameters()), False
        for name, layer in self.module.named_modules():
            if isinstance(layer, nn.modules.conv._ConvNd):
                biased = layer.bias is not None
            elif (
                isinstance(layer, nn.modules.batchnorm._BatchNorm) and f"{name}.weight" not in kept
            ):
                count -= layer.num_features * (1 + biased)
        return count


_BATCH_NORM = "BatchNormalization"


def noise(height: int, width: int) -> Image:
    """Two unlike images: bright noise, and dim noise on a slope."""
    random = np.random.default_rng(height * 10_000 + width)
    images = random.standard_normal((2, 3, height, width), dtype=np.float32)
    images[1] = 0.3 * images[1] + np.linspace(-1, 1, width, dtype=np.float32)
    return images


def _enliven(module: nn.Module, side: int) -> None:
    torch.manual_seed(0)
    with torch.no_grad():
        module.eval()
        for name, parameter in module.named_parameters():
            if name.endswith("bias"):
                parameter.normal_(0, 0.1)
            elif parameter.numel() == max(parameter.shape, default=1):
                parameter.uniform_(0.5, 1.5)
            elif "table" in name or not parameter.any():
                parameter.normal_()
        norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        module(torch.randn(4, 3, side, side))
        module.eval()


def _by_script(module: nn.Module, side: int) -> onnx.ModelProto:
    file = io.BytesIO()
    with contextlib.redirect_stdout(io.StringIO()):
        torch.onnx.export(
            module,
            (torch.randn(2, 3, side, side),),
            file,
            dynamo=False,
            input_names=["image"],
            output_names=["logits"],
            dynamic_axes={"image": {0: "n", 2: "h", 3: "w"}, "logits": {0: "n"}},
        )
    return onnx.load_from_string(file.getvalue())


def _by_dynamo(module: nn.Module, side: int) -> onnx.ModelProto:
    program = torch.onnx.export(
        module,
        (torch.randn(2, 3, side, side),),
        dynamo=True,
        input_names=["image"],
        output_names=["logits"],
        dynamic_shapes=({0: Dim("batch"), 2: Dim.AUTO, 3: Dim.AUTO},),
        verbose=False,
    )
    assert program is not None
    file: onnx.ModelProto = program.model_proto
    return file


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
