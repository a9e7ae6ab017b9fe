"""A class map that lies where its image lies, read back by another library."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from anyres_client import Client, InvalidRequest, Prediction

tifffile: Any = pytest.importorskip("tifffile")

# 10 m pixels of UTM zone 33 north (EPSG 32633), pixels are areas.
PLACE = [
    (33550, "d", 3, (10.0, 10.0, 0.0), True),
    (33922, "d", 6, (0.0, 0.0, 0.0, 500_000.0, 4_200_000.0, 0.0), True),
    (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32633), True),
]


@pytest.fixture
def scene(tmp_path: Path, pixels: Any) -> Path:
    path = tmp_path / "scene.tif"
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=PLACE)
    return path


@pytest.fixture
def predict(fake: Any, pixels: Any) -> Any:
    def asked(model: str) -> Prediction:
        with Client(fake.address) as client:
            return client.predict(pixels, model=model)

    return asked


@pytest.mark.parametrize("suffix", ["tif", "tiff"])
def test_a_class_map_lies_where_its_image_lies(
    predict: Any, scene: Path, tmp_path: Path, suffix: str
) -> None:
    prediction = predict("zones")
    prediction.save(tmp_path / f"classes.{suffix}", like=scene)
    with (
        tifffile.TiffFile(scene) as theirs,
        tifffile.TiffFile(tmp_path / f"classes.{suffix}") as ours,
    ):
        assert ours.geotiff_metadata == theirs.geotiff_metadata
        assert ours.geotiff_metadata["ProjectedCSTypeGeoKey"] == 32633
        assert (ours.asarray() == prediction.classes).all()
    shown = Image.open(tmp_path / f"classes.{suffix}").convert("RGB")
    assert (np.asarray(shown) == prediction.palette[prediction.classes]).all()


def test_the_classes_of_a_coarse_grid_are_written_at_the_images_size(
    predict: Any, scene: Path, tmp_path: Path
) -> None:
    prediction = predict("things")
    prediction.save(tmp_path / "classes.tif", like=scene)
    assert prediction.grid_size == (2, 3)
    assert (tifffile.imread(tmp_path / "classes.tif") == prediction.to_image_size()).all()


def test_without_a_place_it_is_a_plain_tiff(predict: Any, tmp_path: Path) -> None:
    predict("zones").save(tmp_path / "classes.tif")
    with tifffile.TiffFile(tmp_path / "classes.tif") as ours:
        assert ours.geotiff_metadata is None


def test_a_file_that_says_nothing_about_earth_is_refused(
    predict: Any, photo: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequest, match=r"photo\.png lies: it is no TIFF"):
        predict("zones").save(tmp_path / "classes.tif", like=photo)
    plain = tmp_path / "plain.tif"
    Image.new("L", (12, 6)).save(plain)
    with pytest.raises(InvalidRequest, match="no GeoTIFF tags"):
        predict("zones").save(tmp_path / "classes.tif", like=plain)
    assert not (tmp_path / "classes.tif").exists()
