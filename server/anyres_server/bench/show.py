"""A benchmark's figures for a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from anyres_server.bench.figures import Figures, Ratio


def show(found: Figures, console: Console) -> None:
    """Print them: throughput and ratios first, then latencies, then where the time went."""
    console.print(
        f"{found.model}: {found.given} in, {found.wanted} out, {found.protocol}, "
        f"{found.clients} clients, {found.images} images a side\n"
    )
    console.print(_throughput(found))
    console.print()
    console.print(_ratio("the loop", found.to_beside, found.best))
    console.print(_ratio("the network alone", found.to_alone, found.best_alone))
    console.print()
    console.print(_latency(found))
    console.print()
    console.print(_one_client(found))
    if found.split:
        split = found.split
        console.print(
            f"in the server, on average: decode {split.decode_ms:.1f} ms, queue "
            f"{split.queue_ms:.1f}, compute {split.compute_ms:.1f}, reduce {split.reduce_ms:.1f}"
        )


def _throughput(found: Figures) -> Table:
    table = Table("", box=None, pad_edge=False)
    for column in ("images/s", "MP/s", "CPU ms/image", "its clients'"):
        table.add_column(column, justify="right")
    rows = (
        ("server", found.server),
        ("loop beside the same clients", found.beside),
        ("network alone", found.alone),
    )
    for name, side in rows:
        spent = "" if side.cpu_ms is None else f"{side.cpu_ms:.1f}"
        clients = f"{side.clients_cpu_ms:.1f}" if side.clients_cpu_ms else ""
        table.add_row(name, f"{side.images_s:.1f}", f"{side.megapixels_s:.2f}", spent, clients)
    return table


def _ratio(name: str, ratio: Ratio, way: str) -> str:
    laps = " ".join(f"{each:.2f}" for each in sorted(ratio.laps))
    return f"the server does {ratio.median:.3f} of {name} ({way}); its laps, sorted: {laps}"


def _latency(found: Figures) -> Table:
    table = Table("MP", "images", box=None, pad_edge=False)
    for column in ("server p50", "p90", "p99 ms", "loop p50", "p90", "p99 ms"):
        table.add_column(column, justify="right")
    for row in found.latency:
        low, high = row.megapixels
        times = (f"{each:.1f}" for each in (*row.server_ms, *row.beside_ms))
        table.add_row(f"{low:.2f}-{high:.2f}", str(row.images), *times)
    return table


def _one_client(found: Figures) -> str:
    added = found.added
    low, high = added.to_loop_quartiles_ms
    return (
        f"one client, {added.images} pairs: the server adds {added.to_loop_ms:.1f} ms to the loop "
        f"(half of them {low:.1f} to {high:.1f}; {found.best_for_one}), {added.to_network_ms:.1f} "
        f"to the network alone ({added.network_ms:.1f} ms)"
    )
