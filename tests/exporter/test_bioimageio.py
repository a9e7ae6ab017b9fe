"""A model's axes in bioimage.io's words, as bioimage.io's own library reads them."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import onnxruntime
import pytest
from bioimageio.spec import ValidationContext
from bioimageio.spec.model.v0_5 import ModelDescr, ParameterizedSize
from hypothesis import given, settings
from hypothesis import strategies as st
from ruyaml import YAML

from anyres_analyzer import analyze
from anyres_client.main import main
from anyres_exporter.bioimageio.yaml_text import blocks
from anyres_exporter.card.stamp import BIOIMAGEIO_KEY

AROUND = {
    "format_version": "0.5.14",
    "type": "model",
    "name": "a stamped model",
    "description": "what surrounds the tensors",
    "authors": [{"name": "someone"}],
    "cite": [{"text": "something", "url": "https://example.com"}],
    "license": "MIT",
    "documentation": {"source": "https://example.com/doc.md"},
    "weights": {"onnx": {"source": "https://example.com/model.onnx", "opset_version": 17}},
}
MAPS = ["unet", "lopsided", "valid", "rounds_up", "twice", "thrice", "squeezed"]
MAPS += ["rounds_up_squeezed"]
TILED = ["unet", "lopsided", "rounds_up", "twice", "thrice"]


@pytest.fixture
def yaml(foreign: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """The YAML of a stamped network."""

    def shown(network: str, *words: str) -> str:
        path = str(foreign(network))
        assert main(["card", "stamp", path, *words]) == 0
        capsys.readouterr()
        assert main(["card", "show", path, "--format", "bioimageio"]) == 0
        return capsys.readouterr().out

    return shown


@pytest.fixture
def described(yaml: Any) -> Any:
    """The same as bioimage.io's library reads it, in a model description that is complete."""

    def read(network: str, *words: str) -> Any:
        tensors = YAML(typ="safe").load(yaml(network, *words))
        with ValidationContext(perform_io_checks=False):
            return ModelDescr.model_validate({**AROUND, **tensors})

    return read


def sizes_of(axis: Any) -> list[int]:
    """The first sizes that an axis allows."""
    size = axis.size
    if isinstance(size, ParameterizedSize):
        return [size.get_size(n) for n in range(4)]
    return [size]


def run(path: Any, *images: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return [session.run(None, {name: image}) for image in images]


@pytest.mark.parametrize("network", [*MAPS, "head", "two"])
def test_outputs_are_as_long_as_the_references_say(
    described: Any, foreign: Any, network: str
) -> None:
    model = described(network)
    _, channel, *space = model.inputs[0].axes
    for height, width in product(*map(sizes_of, space)):
        image = np.zeros((1, channel.size, height, width), np.float32)
        (results,) = run(foreign(network), image)
        assert len(results) == len(model.outputs)
        for result, output in zip(results, model.outputs, strict=True):
            said = [len(output.axes[1].channel_names)]
            for axis, along, pixels in zip(output.axes[2:], space, (height, width), strict=False):
                said.append(axis.size.get_size(axis, along, ref_size=pixels))
            assert list(result.shape[1:]) == said


@pytest.mark.parametrize("network", [*MAPS, "head", "two"])
def test_no_size_is_allowed_that_the_model_does_not_take(
    described: Any, foreign: Any, network: str
) -> None:
    sizes = analyze(foreign(network)).sizes
    height, width = described(network).inputs[0].axes[2:]
    assert all(map(sizes.height.admits, sizes_of(height)))
    assert all(map(sizes.width.admits, sizes_of(width)))


def test_axes_are_said_in_their_order_and_bytes_as_bytes(described: Any, foreign: Any) -> None:
    model = described("bytes")
    (image,), (classes, scores) = model.inputs, model.outputs
    assert [axis.id for axis in image.axes] == ["batch", "y", "x", "channel"]
    assert [axis.id for axis in classes.axes] == ["batch", "y", "x"]
    assert [axis.id for axis in scores.axes] == ["batch", "y", "x", "channel"]
    assert [tensor.data.type for tensor in (image, classes, scores)] == ["uint8"] * 2 + ["float32"]
    _, *space, _ = image.axes
    for height, width in product(*map(sizes_of, space)):
        ((maps, _),) = run(foreign("bytes"), np.zeros((1, height, width, 3), np.uint8))
        said = [
            axis.size.get_size(axis, along, ref_size=pixels)
            for axis, along, pixels in zip(classes.axes[1:], space, (height, width), strict=True)
        ]
        assert list(maps.shape[1:]) == said


@pytest.mark.parametrize("network", TILED)
@pytest.mark.parametrize("n", [0, 1, 2])
def test_tiles_cut_as_the_halo_says_equal_the_whole_image_inside(
    described: Any, foreign: Any, network: str, n: int
) -> None:
    model, path = described(network), foreign(network)
    _, channel, *space = model.inputs[0].axes
    cuts = [cut(a, o, n) for a, o in zip(space, model.outputs[0].axes[2:], strict=True)]
    shape = [4 * core + 2 * halo for core, halo, _ in cuts]
    image = np.random.default_rng(n).standard_normal((1, channel.size, *shape))
    image = image.astype(np.float32)
    ((whole,),) = run(path, image)
    for row, column in product(range(4), repeat=2):
        places = [index * core for index, (core, _, _) in zip((row, column), cuts, strict=True)]
        reads = [slice(p, p + c + 2 * h) for p, (c, h, _) in zip(places, cuts, strict=True)]
        ((tile,),) = run(path, image[:, :, *reads])
        halos = [int(h / stride) for _, h, stride in cuts]
        kept = [slice(h, side - h) for h, side in zip(halos, tile.shape[2:], strict=True)]
        cores = [int((p + h) / s) for p, (_, h, s) in zip(places, cuts, strict=True)]
        wanted = [slice(c, c + k.stop - k.start) for c, k in zip(cores, kept, strict=True)]
        np.testing.assert_allclose(tile[:, :, *kept], whole[:, :, *wanted], atol=1e-5)


def cut(image: Any, output: Any, n: int) -> tuple[int, int, Fraction]:
    """Of the n-th block: its core and halo in input pixels, and the stride."""
    assert image.concatenable
    stride = Fraction(output.scale) / Fraction(image.scale)
    halo = int(getattr(output, "halo", 0) * stride)
    return image.size.get_size(n) - 2 * halo, halo, stride


@pytest.mark.parametrize("network", ["squeezed", "rounds_up_squeezed", "head", "valid", "two"])
def test_what_cannot_be_tiled_in_their_sense_is_not_concatenable(
    described: Any, network: str
) -> None:
    model = described(network)
    assert not any(axis.concatenable for axis in model.inputs[0].axes[2:])
    assert not any(hasattr(a, "halo") for output in model.outputs for a in output.axes)


def test_the_halo_is_the_larger_side_rounded_up_to_the_alignment(
    described: Any, foreign: Any
) -> None:
    height, width = (rule := analyze(foreign("lopsided")).tiling).height, rule.width
    assert height is not None
    assert width is not None
    assert (height.halo_before, height.halo_after, height.alignment) == (1, 6, 4)
    assert (width.halo_before, width.halo_after, width.alignment) == (2, 1, 2)
    axes = described("lopsided").outputs[0].axes
    assert (axes[2].halo, axes[2].scale) == (2, 4)
    assert (axes[3].halo, axes[3].scale) == (1, 2)
    unet = analyze(foreign("unet")).tiling.height
    assert unet is not None
    assert (unet.halo_before, unet.alignment) == (5, 2)
    assert described("unet").outputs[0].axes[2].halo == 6


def test_a_length_that_rounds_up_is_told_at_multiples_of_the_stride(described: Any) -> None:
    size = described("rounds_up_squeezed").inputs[0].axes[2].size
    assert (size.min, size.step) == (4, 4)


@pytest.mark.parametrize(
    ("network", "told"),
    [
        ("unet", "# y, x: the model takes 2, 4, ...; said are 14, 16, ..."),
        ("unet", "# y, x: a core needs 5 px before it and 5 after, and none beyond"),
        ("lopsided", "# x: a core needs 2 px before it and 1 after"),
        ("rounds_up_squeezed", "# y, x: the model takes at least 1; said are 4, 8, ..."),
        ("valid", "# y, x: tiles can be exact, but not with one halo for both sides"),
        ("head", "# y, x: the model takes 7 to 8; said is 7 alone"),
    ],
)
def test_what_the_format_has_no_words_for_stands_in_comments(
    yaml: Any, network: str, told: str
) -> None:
    assert told in yaml(network)


def test_a_batch_that_the_file_pins_is_pinned(described: Any) -> None:
    for network, size in (("lopsided", 1), ("unet", None)):
        model = described(network)
        assert [t.axes[0].size for t in (*model.inputs, *model.outputs)] == [size, size]


@pytest.mark.parametrize("network", ["squeezed", "twice"])
def test_what_is_said_in_full_needs_no_comment(yaml: Any, network: str) -> None:
    assert [line for line in yaml(network).splitlines() if line.startswith("#")] == [
        "# bioimage.io model description, format 0.5: its tensors"
    ]


def test_names_become_ids_that_are_allowed_and_differ(described: Any) -> None:
    model = described("two")
    ids = [str(tensor.id) for tensor in (*model.inputs, *model.outputs)]
    assert ids == ["image", "scores", "scores_1", "class_"]
    assert model.outputs[2].description == "'class' in the file"


def test_channels_are_named_by_colour_and_class(described: Any, tmp_path: Any) -> None:
    names = tmp_path / "names.txt"
    names.write_text("sea ice\nland: dry\n")
    model = described("unet", "--classes", str(names), "--colour", "BGR")
    assert model.inputs[0].axes[1].channel_names == ["blue", "green", "red"]
    assert model.outputs[0].axes[1].channel_names == ["sea ice", "land: dry"]
    assert described("twice").inputs[0].axes[1].channel_names == ["gray"]


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("half", "bioimage.io has no words for 'out': it is float16"),
        (
            "flat",
            "bioimage.io has no words for output 'brightest': it grows with the image and is "
            "no map of it",
        ),
        ("turned", "bioimage.io has no words for output 'out': it has shape (3, 1, 4, 4)"),
        ("four", "bioimage.io has no words for a batch of exactly 4 images"),
    ],
)
def test_what_cannot_be_said_is_one_line_and_nothing_is_written(
    foreign: Any, capsys: pytest.CaptureFixture[str], network: str, said: str
) -> None:
    path = foreign(network)
    before = path.read_bytes()
    assert main(["card", "stamp", str(path), "--format", "bioimageio"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"anyres card: {said}")
    assert err.count("\n") == 1
    assert path.read_bytes() == before


def test_stamp_writes_what_show_prints_and_the_next_stamp_takes_it_away(
    foreign: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    path = foreign("unet")
    main(["card", "stamp", str(path), "--format", "bioimageio"])
    capsys.readouterr()
    main(["card", "show", str(path), "--format", "bioimageio"])
    assert analyze(path).graph.metadata[BIOIMAGEIO_KEY] == capsys.readouterr().out
    main(["card", "stamp", str(path)])
    assert BIOIMAGEIO_KEY not in analyze(path).graph.metadata


TEXT = st.text()
TEXT |= st.sampled_from(["y", "No", "null", "~", "1e3", "0x1", "a: b", "- a", "#", "{", ""])
SCALAR = TEXT | st.integers() | st.booleans() | st.sampled_from([0.5, 32.0, 1e-9])
VALUE = st.recursive(SCALAR, lambda each: st.lists(each) | st.dictionaries(TEXT, each))


@settings(max_examples=40)
@given(st.dictionaries(TEXT, VALUE, min_size=1))
def test_yaml_is_read_as_what_was_written(value: dict[str, Any]) -> None:
    assert YAML(typ="safe").load("\n".join(blocks(value))) == value
