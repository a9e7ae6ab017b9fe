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
from anyres_server.errors import InvalidRequest, NotANumber
from anyres_server.model import OutputKind
from anyres_server.reduction.png import palette
from anyres_server.reduction.reduce import Reduction
from anyres_server.reduction.scores import How

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
    reduction = Reduction(card(len(logits), meaning), kinds, How(top_k=K))
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


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=2))
def test_a_class_that_is_impossible_leaves_the_confidence_of_the_other_two_bit_for_bit(
    pair: list[float],
) -> None:
    two, three = (np.array(scores).reshape(-1, 1, 1) for scores in (pair, [*pair, -np.inf]))
    assert reduced(two, OutputKind.CONFIDENCE) == reduced(three, OutputKind.CONFIDENCE)


@pytest.mark.parametrize("odd", [[np.inf, 0], [0, np.nan], [np.inf, np.inf], [-np.inf, -np.inf]])
def test_two_classes_of_which_one_cannot_be_compared_have_no_confidence(odd: list[float]) -> None:
    with pytest.raises(NotANumber):
        reduced(np.array(odd).reshape(2, 1, 1), OutputKind.CONFIDENCE)


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


OF_CLASSES = [kind for kind in OutputKind if kind not in (OutputKind.LOGITS, OutputKind.MASK_PNG)]


@pytest.mark.parametrize("kind", OF_CLASSES)
@pytest.mark.parametrize(("channel", "row"), [(0, 0), (2, 69), (4, 40)])
def test_one_nan_among_many_scores_is_an_error_that_names_model_and_output(
    kind: OutputKind, channel: int, row: int
) -> None:
    logits = np.zeros((5, 70, 900), np.float32)  # more than a band
    logits[channel, row, 3] = np.nan
    with pytest.raises(NotANumber, match=f"'net' .* 1 of 63000 .* 'logits', .* no {kind.name}; L"):
        reduced(logits, kind)


@pytest.mark.parametrize("kind", set(OF_CLASSES) - {OutputKind.PROBABILITIES})
def test_so_is_a_nan_among_probabilities(kind: OutputKind) -> None:
    given_ones = np.array([0.5, np.nan], np.float32).reshape(2, 1, 1)
    with pytest.raises(NotANumber):
        reduced(given_ones[::-1], kind, meaning="probabilities")


def test_what_is_asked_for_as_it_is_comes_with_its_nan() -> None:
    odd = np.array([0.5, np.nan], np.float32).reshape(2, 1, 1)
    for meaning, kind in (("logits", "LOGITS"), ("probabilities", "PROBABILITIES")):
        (found,) = reduced(odd, OutputKind[kind], meaning=meaning)
        np.testing.assert_array_equal(found, odd)


def test_infinite_scores_have_a_best_class_and_no_probability() -> None:
    logits = np.array([0, np.inf, -np.inf, np.inf], np.float32).reshape(4, 1, 1)
    (best,) = reduced(logits, OutputKind.CLASS_MAP)
    assert best.item() == 1
    for kind in (OutputKind.CONFIDENCE, OutputKind.PROBABILITIES, OutputKind.THRESHOLD_MASK):
        with pytest.raises(NotANumber, match=f"no {kind.name}"):
            reduced(logits, kind)
    masked = np.array([0, -np.inf], np.float32).reshape(2, 1, 1)
    (shares,) = reduced(masked, OutputKind.PROBABILITIES)
    assert shares.ravel().tolist() == [1, 0]


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
        reduction = Reduction(card(5), (kind,), How(top_k=K))
        maps = reduction.reduce(logits)
        empty = reduction.empty((3, 4))
        assert sum(values.nbytes for values in maps.values()) == reduction.result_bytes((3, 4))
        assert {k: (v.shape, v.dtype) for k, v in maps.items()} == {
            k: (v.shape, v.dtype) for k, v in empty.items()
        }


@given(LOGITS, st.floats(0, 1), st.integers(0, 1))
def test_a_threshold_mask_is_where_a_class_is_probable_enough(
    logits: NDArray[Any], threshold: float, wanted: int
) -> None:
    how = How(threshold=threshold, threshold_class=wanted)
    reduction = Reduction(card(len(logits)), (OutputKind.THRESHOLD_MASK,), how)
    mask = reduction.reduce(logits)[OutputKind.THRESHOLD_MASK]
    exact = softmax(logits)[wanted]
    clear = np.abs(exact - threshold) > 1e-5
    assert mask.dtype == np.uint8
    assert (mask == (exact >= threshold))[clear].all()


def test_a_threshold_of_a_single_channel_is_held_against_its_sigmoid() -> None:
    logits = np.array([-3.0, -0.1, 0.1, 3.0], np.float32).reshape(1, 1, 4)
    for meaning, threshold, expected in (
        ("logits", 0.5, [0, 0, 1, 1]),
        ("logits", 0.9, [0, 0, 0, 1]),
        ("probabilities", 0.05, [0, 0, 1, 1]),
        ("values", -1.0, [0, 1, 1, 1]),
    ):
        how = How(threshold=threshold)
        reduction = Reduction(card(1, meaning), (OutputKind.THRESHOLD_MASK,), how)
        mask = reduction.reduce(logits)[OutputKind.THRESHOLD_MASK]
        assert mask.tolist() == [expected]


@given(LOGITS)
def test_probabilities_in_255ths_are_the_nearest_ones(logits: NDArray[Any]) -> None:
    (found,) = reduced(logits, OutputKind.PROBABILITIES_255)
    assert found.dtype == np.uint8
    assert (np.abs(found - 255 * softmax(logits)) <= 0.5 + 1e-3).all()


def test_halves_are_rounded_to_the_even() -> None:
    given_ones = np.array([0.5 / 255, 1.5 / 255, 1.0], np.float32).reshape(3, 1, 1)
    (found,) = reduced(given_ones, OutputKind.PROBABILITIES_255, meaning="probabilities")
    assert found.ravel().tolist() == [0, 2, 255]


@pytest.mark.parametrize("channels", [2, 21, 300])
def test_bands_of_rows_make_no_difference(channels: int) -> None:
    random = np.random.default_rng(5)
    logits = random.integers(-3, 4, (channels, 70, 90)).astype(np.float32)  # with many equals
    for kind in (OutputKind.CLASS_MAP, OutputKind.CONFIDENCE, OutputKind.PROBABILITIES):
        (whole,) = reduced(logits, kind)
        rows = [reduced(logits[:, row : row + 1], kind)[0] for row in range(70)]
        np.testing.assert_array_equal(whole, np.concatenate(rows, axis=-2))
    (class_map,) = reduced(logits, OutputKind.CLASS_MAP)
    np.testing.assert_array_equal(class_map, logits.argmax(axis=0))


@pytest.mark.parametrize("odd", [-np.inf, np.inf])
def test_infinities_are_sorted_as_numpy_sorts_them(odd: float) -> None:
    logits = np.random.default_rng(1).normal(size=(5, 6, 7)).astype(np.float32)
    logits[2, ::2] = odd
    classes, class_map = reduced(logits, OutputKind.TOP_K_CLASSES, OutputKind.CLASS_MAP)
    np.testing.assert_array_equal(classes, np.argsort(-logits, axis=0, kind="stable")[:K])
    np.testing.assert_array_equal(class_map, logits.argmax(axis=0))


def test_a_threshold_class_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="threshold_class must be 0 to 4; got 5"):
        Reduction(card(5), (OutputKind.THRESHOLD_MASK,), How(threshold_class=5))


def test_classes_without_a_colour_get_one_of_their_own() -> None:
    colours = palette([ClassName(name="sea", colour=(0, 0, 200)), ClassName(name="land")], 40)
    assert colours[0].tolist() == [0, 0, 200]
    assert len({tuple(colour) for colour in colours.tolist()}) == 40
