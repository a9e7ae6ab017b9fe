"""Why torch could not export a model, in one sentence, and what to do about it.

torch's exporter reports pages. What people run into are a few kinds of mistake; each has words of
its own, by which it is told from the others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Hint:
    """A kind of failure: words of torch that only it has, what is wrong, and what to do."""

    words: str
    wrong: str
    do: str


# Told apart in this order: a data-dependent branch mentions guards, too.
HINTS = (
    Hint(
        r"data-dependent|DataDependent|Could not (guard|extract specialized)|"
        r"control flow|nonzero|\.item\(\)",
        "what it computes depends on the values of the image (an `if`, a loop or an index taken "
        "from a tensor's numbers)",
        "use torch.where or torch.cond in place of the branch, or export the part before it",
    ),
    Hint(
        r"No ONNX function found|DispatchError|Error when translating node|"
        r"No decompositions registered|Unsupported (operator|FX node)|not supported by the ONNX",
        "it uses an operator that ONNX has not",
        "replace that operator by others, or export the part before it",
    ),
    Hint(
        r"Constraints violated|marked .* as dynamic but|specialized|not all values of .* satisfy",
        "its code treats H or W as a number that was known when it was traced",
        "take sizes from tensor.shape, without int() and without comparing them; or pin the size "
        "(--fixed)",
    ),
    Hint(
        r"complex(64|128)|ComplexFloat|ComplexDouble",
        "it computes with complex numbers, which few ONNX operators take",
        "compute with real and imaginary parts, or export the part without the transform",
    ),
    Hint(
        r"torchvision::|torchvision\.ops|Torch_vision|nms",
        "it uses an operator of torchvision's own (boxes are chosen by their scores)",
        "export the part before it: its feature maps or raw scores are what any size goes through",
    ),
    Hint(
        r"graph break|torch\._dynamo\.exc|Unsupported: |numpy",
        "its code leaves torch on the way (numpy, printing, or Python objects)",
        "keep `forward` to torch operations on tensors",
    ),
    Hint(
        r"ScriptModule|ScriptFunction|RecursiveScriptModule",
        "it was compiled by TorchScript, which is no longer a source of exports",
        "build the eager model and load the same weights into it",
    ),
    Hint(
        r"out of memory|bad alloc|can't allocate",
        "there is not enough memory for one image of this size",
        "trace at a smaller size (--size)",
    ),
)


def hint(report: str) -> Hint | None:
    """The kind of failure that torch's report is of, if it is one of those."""
    return next((each for each in HINTS if re.search(each.words, report)), None)
