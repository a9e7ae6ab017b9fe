"""What a person says that outputs mean, held against the graph."""

from __future__ import annotations

from collections.abc import Mapping

from anyres_analyzer import Analysis
from anyres_exporter.errors import BadRecipe
from anyres_proto.card import Meaning

OFFSETS = 2  # channels: down, and to the right


def check_meanings(meanings: Mapping[str, Meaning], analysis: Analysis) -> None:
    """Refuse what the graph's outputs cannot mean.

    Raises:
        BadRecipe: there is no output of a name, or it has too many channels or too few.
    """
    own = {output.name: output for output in analysis.outputs}
    for name, meaning in meanings.items():
        if name not in own:
            raise BadRecipe(
                f"meanings: there is no output {name!r}; the model has {', '.join(map(repr, own))}"
            )
        if meaning == "offsets" and own[name].channels != OFFSETS:
            raise BadRecipe(
                f"meanings: offsets have 2 channels, down and to the right; output {name!r} has "
                f"{own[name].channels}"
            )
