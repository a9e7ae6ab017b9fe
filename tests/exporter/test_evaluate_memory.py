"""What memory there is, from files like the kernel's, and what a picture is thought to take."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from anyres_analyzer import analyze
from anyres_exporter.card.compose import Told, derived
from anyres_exporter.evaluate.memory import available_bytes, network_bytes
from anyres_exporter.evaluate.route import Router, Tiling
from anyres_proto.card import Card, Cost, Formula, Term

MIB = 1 << 20


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


@pytest.fixture
def meminfo(tmp_path: Path) -> Path:
    path = tmp_path / "meminfo"
    path.write_text("MemTotal: 4096 kB\nMemAvailable:    3072 kB\n")
    return path


def test_without_a_control_group_the_kernel_s_estimate_counts(
    tmp_path: Path, meminfo: Path
) -> None:
    assert available_bytes(tmp_path / "none", meminfo) == 3 * MIB


def test_a_container_has_its_limit_less_what_it_uses_and_droppable_cache_is_free(
    tmp_path: Path, meminfo: Path
) -> None:
    group = written(
        tmp_path / "v2",
        memory_DOT_max=f"{2 * MIB}\n",
        memory_DOT_current=f"{MIB}\n",
        memory_DOT_stat=f"anon 5\ninactive_file {MIB // 4}\nactive_file 9\n",
    )
    assert available_bytes(group, meminfo) == MIB + MIB // 4


def test_the_older_version_of_control_groups_is_read_too(tmp_path: Path, meminfo: Path) -> None:
    group = written(
        tmp_path / "v1",
        memory__memory_DOT_limit_in_bytes=f"{2 * MIB}\n",
        memory__memory_DOT_usage_in_bytes=f"{MIB}\n",
        memory__memory_DOT_stat=f"inactive_file 7\ntotal_inactive_file {MIB // 8}\n",
    )
    assert available_bytes(group, meminfo) == MIB + MIB // 8


def test_a_group_without_a_limit_limits_nothing(tmp_path: Path, meminfo: Path) -> None:
    group = written(tmp_path / "v2", memory_DOT_max="max\n", memory_DOT_current=f"{MIB}\n")
    assert available_bytes(group, meminfo) == 3 * MIB


def test_on_this_machine_there_is_some() -> None:
    assert available_bytes() > 0


@pytest.fixture
def card(foreign: Any) -> Card:
    return derived(Told(name="unet", task="segmentation"), analyze(foreign("unet")))


def test_a_graph_that_was_analysed_takes_what_the_runtime_reserves(
    card: Card, foreign: Any
) -> None:
    analysis = analyze(foreign("unet"))
    for size in ((64, 64), (128, 96)):
        image = 2 * 4 * 3 * size[0] * size[1]
        reserved = analysis.runtime_memory(*size).arena_on_bytes
        assert network_bytes(size, card, analysis) == image + reserved


def test_a_graph_that_was_not_takes_four_times_the_card_s_formula(card: Card) -> None:
    formula = Formula(
        period=(1, 1),
        remainder=(0, 0),
        minimum=(1, 1),
        macs=(),
        activation_bytes=(
            (Term(coefficient=Fraction(5), height=1, width=1),),
            (Term(coefficient=Fraction(900), height=0, width=0),),
        ),
    )
    priced = card.model_copy(update={"cost": Cost(formula=formula)})
    assert network_bytes((10, 20), priced, None) == 4 * 1000 + 2 * 4 * 3 * 200
    assert network_bytes((1, 1), priced, None) == 4 * 900 + 24
    assert network_bytes((1, 1), card.model_copy(update={"cost": None}), None) is None


@pytest.mark.parametrize("budget", [3, 5, 8])
def test_tiles_within_a_budget_are_thought_to_fit_it_and_larger_ones_not(
    budget: int, card: Card, foreign: Any
) -> None:
    analysis = analyze(foreign("unet"))
    size = 500, 700
    held = size[0] * size[1] * 11
    tiles = Router(card, analysis, Tiling(), held + budget * MIB).tiles(size)
    assert len(tiles) > 1
    needs = [network_bytes(tile.size, card, analysis) or 0 for tile in tiles]
    assert max(needs) <= budget * MIB < 4 * max(needs)


@pytest.mark.parametrize("tile", [(30, 40), (64, 64), (100, 500)])
def test_tiles_of_a_size_are_no_larger(tile: tuple[int, int], card: Card) -> None:
    tiles = Router(card, None, Tiling("size", tile), 0).tiles((300, 420))
    assert len(tiles) > 1
    assert all(
        height <= tile[0] and width <= tile[1] for height, width in (one.size for one in tiles)
    )
