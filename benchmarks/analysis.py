"""How long an analysis takes and what it holds in memory, by the number of nodes.

    python benchmarks/analysis.py

Chains of convolutions, activations and joins with four poolings; each measured in a process of its
own. What to look at: a thousand nodes stay under 2 s and 300 MB beyond the model, and ten thousand
take at most twelve times as long.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
import time

import onnx
from onnx import TensorProto, helper
from rich.console import Console
from rich.table import Table

from anyres_analyzer import analyze

NODES = (100, 1_000, 10_000)
RUNS = 3
POOLS = 4


def chain(nodes: int) -> onnx.ModelProto:
    """Convolution, activation, join with what was before; a pool now and then."""
    pooled = {nodes * i // (POOLS + 1) for i in range(1, POOLS + 1)}
    calls, last, skip = [], "x", "x"
    for i in range(nodes):
        made = f"t{i}"
        if i in pooled:
            call = helper.make_node("MaxPool", [last], [made], kernel_shape=[2, 2], strides=[2, 2])
            skip = made
        elif i % 3 == 0:
            call = helper.make_node("Conv", [last, "w"], [made], pads=[1, 1, 1, 1])
        elif i % 3 == 1:
            call = helper.make_node("Relu", [last], [made])
        else:
            call = helper.make_node("Add", [last, skip], [made])
            skip = made
        calls.append(call)
        last = made
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 4, 3, 3], [0.0] * 144)
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, "h", "w"])
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, None)
    graph = helper.make_graph(calls, "chain", [image], [output], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def measure(nodes: int) -> dict[str, float]:
    """Seconds and MB of one analysis, in this process."""
    model = chain(nodes)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    analyze(model).formula(512, 512)
    seconds = time.perf_counter() - start
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"seconds": seconds, "megabytes": grown / 1024}


def median(nodes: int) -> dict[str, float]:
    """Of several processes."""
    command = [sys.executable, __file__, str(nodes)]
    runs = [json.loads(subprocess.check_output(command)) for _ in range(RUNS)]
    return {key: statistics.median(run[key] for run in runs) for key in runs[0]}


def main() -> None:
    """Print the table."""
    table = Table("nodes", "seconds", "MB beyond the model", "times the row above", box=None)
    before: dict[str, float] | None = None
    for nodes in NODES:
        found = median(nodes)
        ratio = f"{found['seconds'] / before['seconds']:.1f}" if before else ""
        table.add_row(f"{nodes:,}", f"{found['seconds']:.2f}", f"{found['megabytes']:.0f}", ratio)
        before = found
    Console().print(table)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(int(sys.argv[1]))))
    else:
        main()
