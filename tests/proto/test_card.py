"""The model card: JSON and back, and what a size contract says against counting by hand."""

from __future__ import annotations

import json
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import ValidationError

from anyres_proto.card import (
    AxisContract,
    AxisField,
    AxisPadding,
    AxisTiling,
    Card,
    ClassName,
    ImageInput,
    Output,
    Padding,
    Proof,
    ReceptiveField,
    SizeContract,
    Tiling,
)

FREE = AxisContract(verdict="free", minimum=1, reason="every size goes through")
UNET = Card(
    name="unet",
    task="segmentation",
    input=ImageInput(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0)),
    classes=(ClassName(name="ocean", colour=(0, 0, 128)), ClassName(name="desert")),
    outputs=(
        Output(
            channels=2,
            dense=True,
            stride=(Fraction(1, 2), Fraction(1, 3)),
            offset=(Fraction(-1, 4), Fraction(-1, 3)),
        ),
    ),
    sizes=SizeContract(
        height=AxisContract(verdict="stepped", minimum=16, step=16, node="cat", reason="merge"),
        width=AxisContract(verdict="fixed", minimum=224, maximum=224, node="fc", reason="matrix"),
    ),
    padding=Padding(
        height=AxisPadding(step=16, minimum=32),
        width=AxisPadding(step=8, minimum=40, before=4, more=9),
        mode="edge",
    ),
    receptive_field=ReceptiveField(
        height=AxisField(size=7, stride=Fraction(1, 2), low=Fraction(-3), high=Fraction(10, 3)),
        width=AxisField(size=1, stride=Fraction(1), low=Fraction(0), high=Fraction(0)),
    ),
    tiling=Tiling(height=AxisTiling(alignment=16, halo_before=48, halo_after=46)),
    parameters=467_000,
    proofs=(Proof(batch=2, height=17, width=31, max_abs_error=1e-6, max_rel_error=1e-7),),
    provenance={"weights": "sha256:0"},
)


@st.composite
def axes(draw: st.DrawFn) -> AxisContract:
    minimum = draw(st.integers(1, 60))
    maximum = draw(st.none() | st.integers(minimum, minimum + 90))
    step = draw(st.integers(1, 40))
    return AxisContract(verdict="unknown", minimum=minimum, step=step, maximum=maximum, reason="")


def listed(axis: AxisContract, until: int) -> list[int]:
    """The admissible sizes up to a bound, counted one step at a time."""
    last = until if axis.maximum is None else min(axis.maximum, until)
    return list(range(axis.minimum, last + 1, axis.step))


def test_a_card_comes_back_from_json_as_it_went() -> None:
    assert Card.model_validate_json(UNET.model_dump_json()) == UNET


def test_fractions_travel_exactly_and_readably() -> None:
    card = json.loads(UNET.model_dump_json())
    assert card["outputs"][0]["stride"] == ["1/2", "1/3"]
    assert card["receptive_field"]["height"]["high"] == "10/3"


@given(axes())
def test_a_contract_admits_the_sizes_that_counting_finds(axis: AxisContract) -> None:
    assert [size for size in range(-5, 300) if axis.admits(size)] == listed(axis, 299)


@given(axes())
def test_the_words_start_with_sizes_that_are_admitted(axis: AxisContract) -> None:
    assume(axis.step > 1)
    sizes = listed(axis, axis.minimum + 2 * axis.step)
    assert axis.expected().startswith(", ".join(str(size) for size in sizes))


@given(axes())
def test_the_words_name_no_size_that_is_refused(axis: AxisContract) -> None:
    assume(axis.step > 1)
    words = axis.expected().split(" (")[0].replace(",", "").split()
    assert all(axis.admits(int(word)) for word in words if word != "...")


@pytest.mark.parametrize(
    ("minimum", "step", "maximum", "words"),
    [
        (224, 1, 224, "224"),
        (1, 1, None, "at least 1"),
        (7, 1, 99, "at least 7 and at most 99"),
        (16, 16, None, "16, 32, 48, ... (steps of 16)"),
        (16, 16, 40, "16, 32"),
        (16, 16, 50, "16, 32, 48"),
        (16, 16, 100, "16, 32, 48, ... 96 (steps of 16)"),
    ],
)
def test_a_contract_says_what_it_expects(
    minimum: int, step: int, maximum: int | None, words: str
) -> None:
    axis = AxisContract(
        verdict="unknown", minimum=minimum, step=step, maximum=maximum, reason="tried"
    )
    assert axis.expected() == words


@given(st.integers(1, 40), st.integers(1, 60), st.integers(0, 90), st.integers(1, 200))
def test_padding_adds_the_least_that_makes_a_size_admissible(
    step: int, minimum: int, more: int, size: int
) -> None:
    padding = AxisPadding(step=step, minimum=minimum, more=more)
    axis = AxisContract(verdict="stepped", minimum=minimum, step=step, reason="")
    padded = next(target for target in range(size + more, 400) if axis.admits(target))
    assert padding.missing(size) == padded - size


def test_a_card_that_has_one_step_for_both_axes_is_read() -> None:
    padding = Padding.model_validate({"step": 16, "minimum": 32, "mode": "edge"})
    assert padding.height == padding.width == AxisPadding(step=16, minimum=32)


def test_values_with_the_same_names_become_a_part_of_a_card() -> None:
    @dataclass(frozen=True)
    class Axis:
        verdict: str
        minimum: int
        step: int
        maximum: int | None
        node: str | None
        reason: str

    @dataclass(frozen=True)
    class Sizes:
        height: Axis
        width: Axis

    fixed = Axis("fixed", 224, 1, 224, "fc", "a matrix product")
    stepped = Axis("stepped", 16, 16, None, None, "a merge")
    sizes = SizeContract.model_validate(Sizes(fixed, stepped))
    assert sizes.height.expected() == "224"
    assert sizes.width.expected() == "16, 32, 48, ... (steps of 16)"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"name": "../etc/passwd"}, "name"),
        ({"input": {"channels": 1}}, "mean and std need 1 values, one a channel; got 3 and 3"),
        ({"input": {"channels": 3, "mean": [0, 0]}}, "mean and std need 3 values"),
        ({"colour_of_the_sky": "blue"}, "Extra inputs are not permitted"),
        ({"schema_version": 2}, "Input should be 1"),
        ({"sizes": {"height": FREE.model_dump()}}, "width"),
        (
            {"sizes": {"height": FREE.model_dump() | {"maximum": 0}, "width": FREE.model_dump()}},
            "maximum 0 is below minimum 1",
        ),
    ],
)
def test_a_card_that_makes_no_sense_is_refused(change: dict[str, object], complaint: str) -> None:
    card = json.loads(UNET.model_dump_json()) | change
    with pytest.raises(ValidationError, match=complaint):
        Card.model_validate_json(json.dumps(card))


def test_a_card_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        UNET.name = "other"


def test_the_centre_of_the_field_lies_between_its_ends() -> None:
    assert UNET.receptive_field is not None
    assert UNET.receptive_field.height.centre == Fraction(1, 6)


def test_tiles_are_exact_only_where_both_axes_have_a_rule() -> None:
    axis = AxisTiling(alignment=1, halo_before=0, halo_after=0)
    assert Tiling(height=axis, width=axis).exact
    assert not UNET.tiling.exact


def test_outputs_of_one_source_are_views_and_the_nearest_to_the_network_are_its_scores() -> None:
    made: dict[str, Any] = {"classes": 30, "dense": True, "source": "s"}
    classes = Output(name="classes", meaning="class_map", channels=1, dtype="uint8", **made)
    odds = Output(name="odds", meaning="probabilities", channels=30, **made)
    scores = Output(name="scores", meaning="logits", channels=30, **made)
    other = Output(name="other", meaning="logits", channels=30, dense=True, source="o")
    for outputs, views, own in (
        ((classes, other), (classes,), None),
        ((classes, odds, other), (classes, odds), odds),
        ((classes, odds, other, scores), (classes, odds, scores), scores),
        ((other, scores), (other,), other),
    ):
        card = UNET.model_copy(update={"outputs": outputs})
        assert card.views == views
        assert card.scores == own


@pytest.mark.parametrize(
    ("output", "count"),
    [
        ({"meaning": "logits", "channels": 7}, 7),
        ({"meaning": "class_map", "channels": 1, "classes": 21}, 21),
        ({"meaning": "class_map", "channels": 1, "dtype": "uint8"}, 256),
        ({"meaning": "top_k_classes", "channels": 5, "classes": 1000, "dtype": "uint16"}, 1000),
        ({"meaning": "mask", "channels": 1}, 2),
        ({"meaning": "mask", "channels": 4}, 4),
    ],
)
def test_classes_are_counted_by_what_the_numbers_are(output: dict[str, Any], count: int) -> None:
    assert Output(dense=True, **output).class_count == count


@pytest.mark.parametrize(
    ("layout", "shape", "size"),
    [("NCHW", (2, 5, 3, 4), (3, 4)), ("NHWC", (2, 3, 4, 5), (3, 4)), ("NHW", (2, 3, 4), (3, 4))],
)
def test_sizes_are_found_in_any_layout(
    layout: Any, shape: tuple[int, ...], size: tuple[int, int]
) -> None:
    assert Output(channels=5, dense=True, layout=layout).grid(shape) == size
    assert Output(channels=5, dense=False).grid((2, 5)) == (1, 1)
    if layout != "NHW":
        image = ImageInput(channels=5, mean=(0,) * 5, std=(1,) * 5, layout=layout)
        assert image.size(shape) == size
        assert image.shape(2, *size) == shape
