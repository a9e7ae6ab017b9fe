"""A graph, its card and its weights on disk: whole, or as it was before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from anyres_analyzer import analyze
from anyres_exporter.card.compose import Told, derived
from anyres_exporter.card.write import write
from anyres_exporter.errors import NotExportable
from anyres_exporter.runtime import Runtime
from anyres_proto.card import METADATA_KEY, Card
from anyres_server.core import stocked
from anyres_server.settings.settings import Settings

APART = 1000  # bytes


def made(seed: int = 0) -> onnx.ModelProto:
    """Two convolutions, the second with weights in a field of floats; small constants between."""
    random = np.random.default_rng(seed)
    weights = {
        "first": random.standard_normal((16, 3, 3, 3)).astype(np.float32),
        "second": random.standard_normal((4, 16, 3, 3)).astype(np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
    }
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 18]>
        net (float[n,3,h,w] image) => (float[n,4,p,q] scores) {
            a = Conv <pads=[1,1,1,1]> (image, first)
            r = Resize (a, , scales)
            scores = Conv <pads=[1,1,1,1]> (r, second)
        }"""
    )
    for name, values in weights.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(values, name))
    second = model.graph.initializer[1]
    second.float_data.extend(weights["second"].ravel().tolist())
    second.ClearField("raw_data")
    return model


def card(model: onnx.ModelProto, name: str = "net") -> Card:
    return derived(Told(name), analyze(model))


def scores(model: onnx.ModelProto | Path) -> np.ndarray:
    image = np.random.default_rng(1).standard_normal((2, 3, 7, 9)).astype(np.float32)
    return Runtime(model, threads=1)(image)["scores"]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def data_of(folder: Path) -> Path:
    (found,) = folder.glob("*.data")
    return found


@pytest.mark.parametrize("external_above", [APART, 1 << 30])
def test_what_is_read_back_is_the_graph_and_its_card(tmp_path: Path, external_above: int) -> None:
    model = made()
    path = write(model, card(model), tmp_path / "models", external_above=external_above)
    assert path == tmp_path / "models" / "net.onnx"
    metadata = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert {METADATA_KEY} == metadata.keys()
    assert Card.model_validate_json(metadata[METADATA_KEY]) == card(model)
    assert np.array_equal(scores(path), scores(model))
    assert analyze(path).parameters == analyze(model).parameters
    assert analyze(path).sizes == analyze(model).sizes


def test_weights_stay_in_the_graph_as_long_as_they_fit(tmp_path: Path) -> None:
    model = made()
    write(model, card(model), tmp_path)
    assert files(tmp_path) == ["net.onnx"]


def test_weights_that_do_not_fit_lie_beside_the_graph_where_memory_can_be_mapped(
    tmp_path: Path,
) -> None:
    model = made()
    path = write(model, card(model), tmp_path, external_above=APART)
    tensors = {t.name: t for t in onnx.load(path, load_external_data=False).graph.initializer}
    assert tensors["scales"].data_location == TensorProto.DEFAULT  # it steers a size
    for name in ("first", "second"):
        where = {entry.key: entry.value for entry in tensors[name].external_data}
        assert where["location"] == data_of(tmp_path).name
        assert int(where["offset"]) % 4096 == 0
        assert int(where["length"]) == 4 * np.prod(tensors[name].dims)
    assert path.stat().st_size < data_of(tmp_path).stat().st_size


async def test_the_server_serves_a_model_whose_weights_lie_beside_it(tmp_path: Path) -> None:
    write(made(), card(made()), tmp_path, external_above=APART)
    image = np.random.default_rng(1).standard_normal((2, 3, 7, 9)).astype(np.float32)
    with stocked(Settings(models=tmp_path)) as stock:
        await stock.repository.start()
        (found,) = stock.repository.get("net").network(image, ("scores",))
    assert np.array_equal(found, scores(made()))


def test_the_argument_is_left_as_it_is(tmp_path: Path) -> None:
    model = made()
    model.metadata_props.add(key="whose", value="yours")
    before = model.SerializeToString(deterministic=True)
    write(model, card(model), tmp_path, external_above=APART)
    assert model.SerializeToString(deterministic=True) == before


def test_the_same_graph_gives_the_same_files(tmp_path: Path) -> None:
    model = made()
    for folder in ("a", "b"):
        write(model, card(model), tmp_path / folder, external_above=APART)
    assert files(tmp_path / "a") == files(tmp_path / "b")
    for name in files(tmp_path / "a"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_other_weights_are_another_file_and_the_old_one_goes(tmp_path: Path) -> None:
    for name in ("net", "net.2"):
        write(made(), card(made(), name), tmp_path, external_above=APART)
    before = files(tmp_path)
    path = write(made(seed=5), card(made()), tmp_path, external_above=APART)
    assert len(files(tmp_path)) == len(before) == 4
    assert len(set(files(tmp_path)) & set(before)) == 3  # the other model's are untouched
    assert np.array_equal(scores(path), scores(made(seed=5)))
    assert np.array_equal(scores(tmp_path / "net.2.onnx"), scores(made()))


def test_weights_that_fit_again_leave_no_file_beside_the_graph(tmp_path: Path) -> None:
    write(made(), card(made()), tmp_path, external_above=APART)
    write(made(), card(made()), tmp_path)
    assert files(tmp_path) == ["net.onnx"]


@pytest.mark.parametrize("external_above", [APART, 1 << 30])
def test_a_graph_that_onnx_finds_wrong_is_not_written(tmp_path: Path, external_above: int) -> None:
    write(made(), card(made()), tmp_path, external_above=external_above)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    wrong = made(seed=5)
    wrong.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 5  # it makes 4 channels
    with pytest.raises(NotExportable, match="'net' is not valid ONNX") as refused:
        write(wrong, card(made()), tmp_path, external_above=external_above)
    assert "\n" not in str(refused.value)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
