"""The model card: what an exported model says about itself.

A card is JSON under the key `anyres.card` in an ONNX file's `metadata_props`, and travels as JSON
in `GetModel`. It is the one description that exporter, server and client share: which sizes the
model takes and why, what its input and output mean, and what was proven about it.

Geometry is exact, so it is kept in integers and fractions (a fraction is written "1/2" in JSON).
The geometric parts have the field names of the analyzer's own values, so an analysis validates
into a card (`from_attributes`) although neither package imports the other.
"""

from __future__ import annotations

from anyres_proto.card.card import METADATA_KEY, NAME, Card, Description
from anyres_proto.card.cost import Cost, CostAt, Formula, Term
from anyres_proto.card.geometry import (
    AxisContract,
    AxisField,
    AxisPadding,
    AxisTiling,
    Padding,
    ReceptiveField,
    SizeContract,
    Tiling,
)
from anyres_proto.card.proof import Conversion, Patches, Precision, Proof
from anyres_proto.card.tensors import ClassName, ImageInput, Meaning, Output

__all__ = [
    "METADATA_KEY",
    "NAME",
    "AxisContract",
    "AxisField",
    "AxisPadding",
    "AxisTiling",
    "Card",
    "ClassName",
    "Conversion",
    "Cost",
    "CostAt",
    "Description",
    "Formula",
    "ImageInput",
    "Meaning",
    "Output",
    "Padding",
    "Patches",
    "Precision",
    "Proof",
    "ReceptiveField",
    "SizeContract",
    "Term",
    "Tiling",
]
