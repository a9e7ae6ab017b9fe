"""The protocol's datatypes: what each is called, what numpy sees in it, and where it is listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from anyres_proto.inference import model_config_pb2 as config


@dataclass(frozen=True)
class Datatype:
    """One row of the table."""

    name: str
    dtype: np.dtype[Any]  # little-endian, as it is on the wire
    field: str | None  # of InferTensorContents; None: comes raw alone


BYTES = "BYTES"  # elements of any length, so numpy has no type for them
FP16 = Datatype("FP16", np.dtype("<f2"), None)
FP32 = Datatype("FP32", np.dtype("<f4"), "fp32_contents")
UINT8 = Datatype("UINT8", np.dtype("u1"), "uint_contents")
_ROWS = (
    *(FP16, FP32, UINT8),
    Datatype("FP64", np.dtype("<f8"), "fp64_contents"),
    Datatype("BOOL", np.dtype("?"), "bool_contents"),
    Datatype("UINT16", np.dtype("<u2"), "uint_contents"),
    Datatype("UINT32", np.dtype("<u4"), "uint_contents"),
    Datatype("UINT64", np.dtype("<u8"), "uint64_contents"),
    Datatype("INT8", np.dtype("i1"), "int_contents"),
    Datatype("INT16", np.dtype("<i2"), "int_contents"),
    Datatype("INT32", np.dtype("<i4"), "int_contents"),
    Datatype("INT64", np.dtype("<i8"), "int64_contents"),
)
_OF = {row.dtype.name: row for row in _ROWS}


def datatype(dtype: str) -> Datatype:
    """The row of a dtype by numpy's name."""
    return _OF[dtype]


def in_config(name: str) -> config.DataType.ValueType:
    """What a model's configuration calls a datatype."""
    return config.DataType.Value("TYPE_STRING" if name == BYTES else f"TYPE_{name}")
