"""One prediction: what the network says about every cell of its output grid, and how it came about.

The arrays are the server's own, on the grid (h, w); nothing is resized. The model's card comes
along, so that a class has a name and a colour and a cell has a place in the image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, partial
from os import PathLike
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from anyres_client import georeference, grid, heat, notebook, objects, overlay, picture, saving
from anyres_client import legend as strip
from anyres_client.answers import Route, Share, Size, Timing, TopK
from anyres_client.centres import PAPER, Peaks
from anyres_client.errors import InvalidRequest
from anyres_client.instances import Instance, numbered
from anyres_client.outlines import Ring, rings
from anyres_client.outputs import Outputs, requested
from anyres_client.palette import class_colours
from anyres_client.picture import Picture
from anyres_proto.card import Card


@dataclass(frozen=True, eq=False)
class Prediction:
    """The answer to one image; sizes are (height, width).

    Args:
        model: the name of the model that answered.
        version: its version.
        image_size: of the image, upright, in pixels.
        grid_size: of the arrays, in cells.
        route: whole or tiled.
        pieces: how many tiles; 1 where it went whole.
        padded: pixels that were added below and to the right, and whose cells were cut off again.
        timing: where the server's time went.
        card: the model's own.
        outputs: every array by its name.
    """

    model: str
    version: str
    image_size: Size
    grid_size: Size
    route: Route
    pieces: int
    padded: Size
    timing: Timing
    card: Card = field(repr=False)
    outputs: Outputs = field(repr=False)

    @property
    def classes(self) -> NDArray[np.uint8 | np.uint16]:
        """The class map: every cell's most likely class, uint8 (uint16 beyond 256 classes) (h, w).

        Raises:
            NotRequested: `output` did not name it; so do the other arrays.
        """
        return requested(self.outputs, "classes", "classes")

    @property
    def confidence(self) -> NDArray[np.float32]:
        """The probability of every cell's most likely class, float32 (h, w), 0..1."""
        return requested(self.outputs, "confidence", "confidence")

    @property
    def top_k(self) -> TopK:
        """The k most likely classes of every cell."""
        return TopK(
            requested(self.outputs, "top_k_classes", "top_k"),
            requested(self.outputs, "top_k_scores", "top_k"),
        )

    @property
    def topk(self) -> TopK:
        """The same, by PyTorch's name."""
        return self.top_k

    @property
    def probabilities(self) -> NDArray[np.float32]:
        """The probability of every class, float32 (classes, h, w), 0..1."""
        return requested(self.outputs, "probabilities", "probabilities")

    @property
    def logits(self) -> NDArray[np.float32]:
        """The network's output as it is, float32 (channels, h, w)."""
        return requested(self.outputs, "logits", "logits")

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """One name a class; "class 7" where the card has none."""
        named = tuple(entry.name for entry in self.card.classes)
        return named + tuple(f"class {i}" for i in range(len(named), self._class_count))

    @cached_property
    def palette(self) -> NDArray[np.uint8]:
        """One colour a class, RGB, uint8 (classes, 3)."""
        return class_colours(self.card.classes, self._class_count)

    def shares(self, count: int | None = None) -> tuple[Share, ...]:
        """The classes that are in the class map, the most frequent first.

        Args:
            count: no more than so many; all where None.

        Raises:
            NotRequested: there is no class map.
        """
        cells = np.bincount(self.classes.ravel())
        present = sorted(np.flatnonzero(cells), key=lambda i: -cells[i])[:count]
        return tuple(
            Share(int(i), self.class_names[i], float(cells[i] / cells.sum())) for i in present
        )

    def to_image_size(
        self, method: Literal["nearest", "bilinear"] = "nearest"
    ) -> NDArray[np.uint8 | np.uint16]:
        """The class map at the image's own size, (height, width).

        Args:
            method: "nearest" gives each pixel its nearest cell's class; "bilinear" goes between
                cells by every class's probability (or logit), which must have been asked for.

        Raises:
            NotRequested: what the method needs is not there.
        """
        if method == "nearest":
            return grid.nearest(self.classes, self.card.output, self.image_size)
        return grid.likeliest(heat.every_class(self._scores()), self.card.output, self.image_size)

    def instances(
        self,
        classes: Iterable[int | str] | None = None,
        *,
        min_area: int = 1,
        peaks: Peaks = PAPER,
    ) -> tuple[Instance, ...]:
        """Single objects, in pixels of the image, the largest first.

        Where the model has heads for centres and offsets, and both are there, cells of things
        belong to the centre that they point at, so that objects which touch are two. Else objects
        are the connected regions of the class map. `predict(output="instances")` asks for all that
        is needed.

        Args:
            classes: names or indices of those whose objects are meant; where None, those that the
                card calls things, or all where it has no centres.
            min_area: what is smaller is none, in pixels.
            peaks: which maxima of the centres' heat are centres; as in Panoptic-DeepLab.

        Raises:
            NotRequested: there is no class map.
            InvalidRequest: the model has no such class; or it has centres, and neither its card
                nor `classes` says of what.
        """
        every = range(len(self.class_names))
        wanted = None if classes is None else set(map(self.class_index, classes))
        placed = partial(grid.nearest, geometry=self.card.output, size=self.image_size)
        seen = objects.Seen(self.card, self.outputs, placed)
        found = objects.found(seen, wanted, every, peaks)
        return numbered((one for one in found if one[0].area >= min_area), self.class_names)

    def polygons(self, classes: Iterable[int | str] | None = None) -> dict[str, list[Ring]]:
        """Rings of (x, y) around each class's pixels in the image, by its name; see `outlines`.

        Args:
            classes: names or indices; all that are in the class map where None.

        Raises:
            NotRequested: there is no class map.
            InvalidRequest: the model has no such class.
        """
        wanted = (
            [share.index for share in self.shares()]
            if classes is None
            else [self.class_index(one) for one in classes]
        )
        pixels = self.to_image_size()
        return {self.class_names[index]: rings(pixels == index) for index in wanted}

    def class_index(self, name: int | str) -> int:
        """The class of a name (or index).

        Raises:
            InvalidRequest: there is none.
        """
        if isinstance(name, str):
            if name not in self.class_names:
                near = ", ".join(get_close_matches(name, self.class_names)) or "none is like it"
                raise InvalidRequest(f"{self.model} has no class {name!r}: {near}")
            return self.class_names.index(name)
        if not 0 <= name < self._class_count:
            raise InvalidRequest(
                f"{self.model} has no class {name}; its classes are 0 to {self._class_count - 1}"
            )
        return name

    def likeliest(self) -> int:
        """The class with the highest mean logit (or probability) over all cells.

        Raises:
            NotRequested: none of logits, probabilities, top_k and confidence is there.
            InvalidRequest: the model predicts values, not classes.
        """
        return heat.likeliest(self._scores())

    def heat(self, class_index: int) -> NDArray[np.float32]:
        """The probability of one class in every cell, float32 (h, w), 0..1.

        Out of probabilities or logits; out of top_k, or of classes with confidence, a cell whose
        best classes it is not among has 0.

        Raises:
            NotRequested: none of these is there.
            InvalidRequest: the model predicts values, or has no such class.
        """
        return heat.probability(self._scores(), self.class_index(class_index))

    def overlay(
        self,
        photo: Picture,
        *,
        alpha: float | None = None,
        class_index: int | None = None,
        legend: bool = True,
    ) -> Image:
        """The prediction drawn on the picture it was made from, at the picture's size.

        A segmentation shows its class map in the classes' colours; other models, and any model
        with `class_index`, show how probable one class (the likeliest) is.

        Args:
            photo: the picture that was predicted.
            alpha: how opaque the classes are, 0..1; what suits the drawing where None.
            class_index: the class to show.
            legend: adds a strip below that says what is seen.

        Raises:
            NotRequested: `predict(output="overlay")` asks for whatever is needed.
            InvalidRequest: the photo cannot be read, or is of another size.
        """
        base, geometry = picture.upright_rgb(photo, self.image_size), self.card.output
        if class_index is None and overlay.shows_classes(self.card.task):
            drawn = overlay.of_classes(base, self.classes, self.palette, geometry, alpha)
            below = self.legend
        else:
            index = self.likeliest() if class_index is None else class_index
            cells = self.heat(index)
            drawn = overlay.of_heat(base, cells, geometry, alpha)
            name, peak = self.class_names[index], overlay.peak(cells)
            below = partial(strip.of_heat, name, peak)
        return overlay.stacked(drawn, below(drawn.width)) if legend else drawn

    def legend(self, width: int = 480) -> Image:
        """The colours of the class map: swatch, name and share of each class, frequent first.

        Args:
            width: of the picture, in pixels.
        """
        colours = self.palette.tolist()
        entries = [strip.Entry(tuple(colours[s.index]), s.name, s.share) for s in self.shares()]
        return strip.of_classes(entries, width)

    def summary(self, shares: int | None = None) -> dict[str, Any]:
        """Everything but the arrays, ready for JSON; of the classes' shares the first `shares`."""
        said: dict[str, Any] = {
            "model": self.model,
            "version": self.version,
            "image_size": list(self.image_size),
            "grid_size": list(self.grid_size),
            "route": self.route,
            "pieces": self.pieces,
            "padded": list(self.padded),
            "timing": {name: round(value, 6) for name, value in vars(self.timing).items()},
        }
        if "classes" in self.outputs:
            said["classes"] = [
                {"index": s.index, "name": s.name, "share": round(s.share, 6)}
                for s in self.shares(shares)
            ]
        return said

    def save(
        self,
        path: str | PathLike[str],
        *,
        overlay_on: Picture | None = None,
        like: str | PathLike[str] | None = None,
    ) -> None:
        """Write to a file, at once or not at all; its suffix says how.

        - `.png`: the class map with the classes' colours as its palette (grey with 16 bits where
          there are more than 256 classes); or the overlay, with `overlay_on`
        - `.tif`: the class map at the image's size; it lies on Earth where the GeoTIFF `like` lies
        - `.npz`: every array by its name; `.npy`: the only one
        - `.json`: everything but the arrays, and the classes' shares

        Args:
            path: the file.
            overlay_on: the photo to draw on.
            like: a GeoTIFF of the same pixels.

        Raises:
            InvalidRequest: the suffix is none of these.
            OSError: the file cannot be written.
            NotRequested: what the file would hold is not there.
        """
        if overlay_on is not None:
            saving.write_drawing(partial(self.overlay, overlay_on), path)
            return
        saving.write(self._contents({} if like is None else georeference.read(like)), path)

    def encoded(self, suffix: str, overlay_on: Picture | None = None) -> bytes:
        """What `save` writes into a file with this suffix, ".png" or another, as bytes."""
        if overlay_on is not None:
            return saving.encoded_drawing(partial(self.overlay, overlay_on), suffix)
        return saving.encoded(self._contents({}), suffix)

    def _contents(self, place: georeference.Tags) -> saving.Contents:
        tiff = partial(self._tiff, place)
        return saving.Contents(self.outputs, self.palette, self.summary, tiff)

    def _tiff(self, place: georeference.Tags) -> bytes:
        return georeference.tiff(self.to_image_size(), self.palette, place)

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows: the class map in its colours, where it was asked for."""
        return saving.png(self.classes, self.palette) if "classes" in self.outputs else None

    def _repr_html_(self) -> str | None:
        """What a notebook shows rather: the class map with its legend."""
        png = self._repr_png_()
        if png is None:
            return None
        size, (height, width) = f"{self.image_size[1]}x{self.image_size[0]}", self.grid_size
        said = f"{self.model} {self.version}, {size} pixels, {width}x{height} cells, {self.route}"
        took = f"{said}, {self.timing.total_s * 1e3:.0f} ms"
        return notebook.figure(png, self.shares(), self.palette.tolist(), took)

    @property
    def _class_count(self) -> int:
        return self.card.output.class_count

    def _scores(self) -> Outputs:
        """The outputs, where the network's own output may already be the probabilities."""
        meaning = self.card.scores.meaning if self.card.scores else None
        if meaning == "values":
            raise InvalidRequest(f"{self.model} predicts values, not classes: use .logits")
        if meaning == "probabilities" and "logits" in self.outputs:
            return {**self.outputs, "probabilities": self.outputs["logits"]}
        return self.outputs
