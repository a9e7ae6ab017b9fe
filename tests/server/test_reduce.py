"""Reductions against plain arithmetic in double precision."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from anyres_proto.card import AxisContract, Card, ClassName, ImageInput, Output, SizeContract
from anyres_server.model import OutputKind
from anyres_server.reduction.reduce import Reduction, palette

ANY = AxisContract(verdict="free", minimum=1, reason="every size")
K = 2


def card(channels: int, meaning: Any = "logits") -> Card:
    return Card(
        name="net",
        task="segmentation",
        input=ImageInput(),
        outputs=(Output(channels=channels, dense=True, meaning=meaning),),
        sizes=SizeContract(height=ANY, width=ANY),
    )


def reduced(
    logits: NDArray[Any], *kinds: OutputKind, meaning: str = "logits"
) -> list[NDArray[Any]]:
    reduction = Reduction(card(len(logits), meaning), kinds, K)
    maps = reduction.reduce(logits.astype(np.float32))
    return [maps[kind] for kind in kinds]


def softmax(logits: NDArray[Any]) -> NDArray[Any]:
    exact = logits.astype(np.float64)
    scores = np.exp(exact - exact.max(0))
    result: NDArray[Any] = scores / scores.sum(0)
    return result


LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(2, 6), st.integers(1, 4), st.integers(1, 4)),
    elements=st.floats(-1e4, 1e4, width=32),
)


@given(LOGITS)
def test_probabilities_and_confidence_are_the_softmax_however_large_the_logits(
    logits: NDArray[Any],
) -> None:
    probabilities, confidence = reduced(logits, OutputKind.PROBABILITIES, OutputKind.CONFIDENCE)
    np.testing.assert_allclose(probabilities, softmax(logits), atol=1e-6)
    np.testing.assert_allclose(confidence, softmax(logits).max(0), atol=1e-6)


@given(LOGITS)
def test_the_top_classes_are_the_best_in_order_the_lower_index_first_among_equals(
    logits: NDArray[Any],
) -> None:
    classes, scores, class_map = reduced(
        logits, OutputKind.TOP_K_CLASSES, OutputKind.TOP_K_SCORES, OutputKind.CLASS_MAP
    )
    for place in np.ndindex(logits.shape[1:]):
        cell = logits[(slice(None), *place)]
        best = sorted(range(len(cell)), key=lambda c: (-cell[c], c))[:K]
        assert classes[(slice(None), *place)].tolist() == best
        assert class_map[place] == best[0]
        np.testing.assert_allclose(scores[(slice(None), *place)], softmax(cell)[best], atol=1e-6)


def test_among_many_equals_the_lowest_classes_come_first() -> None:
    (classes,) = reduced(np.zeros((1000, 3, 3)), OutputKind.TOP_K_CLASSES)
    assert (classes[0] == 0).all()
    assert (classes[1] == 1).all()


def test_what_are_probabilities_already_stay_as_they_are() -> None:
    given_ones = np.array([0.2, 0.7, 0.1], np.float32).reshape(3, 1, 1)
    (confidence,) = reduced(given_ones, OutputKind.CONFIDENCE, meaning="probabilities")
    assert confidence.item() == np.float32(0.7)


def test_a_network_that_says_nan_is_passed_on_without_a_warning() -> None:
    logits = np.full((2, 1, 1), np.inf, np.float32)
    (confidence,) = reduced(logits, OutputKind.CONFIDENCE)
    assert np.isnan(confidence).all()


@pytest.mark.parametrize(("channels", "dtype"), [(256, np.uint8), (257, np.uint16)])
def test_a_class_map_is_as_narrow_as_the_number_of_classes_allows(
    channels: int, dtype: Any
) -> None:
    logits = np.zeros((channels, 1, 2), np.float32)
    logits[-1] = 1
    (class_map,) = reduced(logits, OutputKind.CLASS_MAP)
    assert class_map.dtype == dtype
    assert (class_map == channels - 1).all()


def test_every_kind_has_the_size_that_was_predicted_for_it() -> None:
    logits = np.zeros((5, 3, 4), np.float32)
    for kind in OutputKind:
        reduction = Reduction(card(5), (kind,), K)
        maps = reduction.reduce(logits)
        empty = reduction.empty((3, 4))
        assert sum(values.nbytes for values in maps.values()) == reduction.result_bytes((3, 4))
        assert {k: (v.shape, v.dtype) for k, v in maps.items()} == {
            k: (v.shape, v.dtype) for k, v in empty.items()
        }


def test_classes_without_a_colour_get_one_of_their_own() -> None:
    colours = palette([ClassName(name="sea", colour=(0, 0, 200)), ClassName(name="land")], 40)
    assert colours[0].tolist() == [0, 0, 200]
    assert len({tuple(colour) for colour in colours.tolist()}) == 40
