"""A recipe's model with its weights, or its graph."""

from __future__ import annotations

from pathlib import Path

import onnx
from torch import nn

from anyres_exporter.errors import BadRecipe
from anyres_exporter.sources.convolutionalize import convolutionalize
from anyres_exporter.sources.factory import from_code
from anyres_exporter.sources.families import from_family, is_family
from anyres_exporter.sources.graph import read_graph
from anyres_exporter.sources.recipe import Recipe, Weights
from anyres_exporter.sources.weights import load_weights, sha256

RANDOM = "random"


def build(
    recipe: Recipe, assets: Path | None = None
) -> tuple[nn.Module | onnx.ModelProto, dict[str, str]]:
    """The model with its weights in eval mode, or the graph, and its provenance.

    Args:
        recipe: how.
        assets: where weights are looked for that do not lie beside the recipe.

    Raises:
        BadRecipe: the factory cannot be imported or called, the weights are missing, are not those
            of the hash, or do not fit the model, or the graph cannot be read.
    """
    if recipe.graph is not None:
        path = recipe.folder / recipe.graph
        return read_graph(path), {"graph_sha256": sha256(path)}
    return _built(recipe, assets)


def _built(recipe: Recipe, assets: Path | None) -> tuple[nn.Module, dict[str, str]]:
    assert recipe.factory is not None, "a recipe without a graph names a factory"
    make = from_family if is_family(recipe.factory) else from_code
    model = make(recipe.factory, recipe.arguments)
    provenance = {"factory": recipe.factory}
    if recipe.weights is None:
        provenance["weights"] = RANDOM if is_family(recipe.factory) else "as the factory gave them"
    else:
        path = _found(recipe, recipe.weights, assets)
        digest = sha256(path)
        if recipe.weights.sha256 not in (None, digest):
            raise BadRecipe(
                f"{path} is not the file that recipe '{recipe.name}' was written for: "
                f"its sha256 is {digest}, expected {recipe.weights.sha256}"
            )
        load_weights(model, path, recipe.weights.key)
        provenance["weights_sha256"] = digest
    if recipe.convolutionalize:
        model = convolutionalize(model, probe=recipe.size)
        provenance["convolutionalized"] = "true"
    return model.eval(), provenance


def _found(recipe: Recipe, weights: Weights, assets: Path | None) -> Path:
    places = [folder / weights.file for folder in (recipe.folder, assets) if folder is not None]
    path = next((place for place in places if place.is_file()), None)
    if path is None:
        raise BadRecipe(
            f"the weights of recipe '{recipe.name}' are not there; looked at "
            + " and ".join(str(place) for place in places)
        )
    return path
