"""Bytes that are no image, or only half of one, or far too large a one."""

from __future__ import annotations

import zlib
from io import BytesIO
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

INVALID = grpc.StatusCode.INVALID_ARGUMENT
SQUARE = np.zeros((8, 8, 3), np.uint8)


async def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


async def outcome(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def saved(pixels: NDArray[Any], kind: str) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, kind)
    return file.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few bytes whose header announces side x side pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        body = name + data
        return len(data).to_bytes(4) + body + zlib.crc32(body).to_bytes(4)

    header = side.to_bytes(4) + side.to_bytes(4) + bytes([8, 2, 0, 0, 0])
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP"])
async def test_a_truncated_image_is_said_to_be_truncated_or_corrupt(serve: Any, kind: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    async with serve("stride4") as served:
        code, text = await refused(served.predict("stride4", saved(pixels, kind)[:-1000]))
        await served.predict("stride4", saved(pixels, kind))
    assert code is INVALID
    assert "truncated or corrupt" in text or "broken header" in text or "no image" in text


@pytest.mark.parametrize(
    ("image", "problem"),
    [
        (b"", "0 bytes"),
        (b"GIF89a, or so it says", "no image that can be read"),
        (saved(SQUARE, "GIF"), "PNG, JPEG, WebP, TIFF or BMP"),
        (b"\x89PNG\r\n\x1a\n" + b"\xff" * 50, "expected a PNG"),
        (bomb(100_000), "100000x100000 pixels"),
    ],
    ids=["empty", "text", "gif", "noise after a signature", "bomb"],
)
async def test_what_is_no_image_is_refused_by_its_problem(
    serve: Any, image: bytes, problem: str
) -> None:
    async with serve("stride4") as served:
        code, text = await refused(served.predict("stride4", image))
    assert code is INVALID
    assert problem in text


async def test_the_pixel_limit_is_checked_before_a_pixel_is_decoded(serve: Any) -> None:
    """The bomb's pixels are not even there: only its header can have been read."""
    async with serve("stride4", limits_image_pixels=100) as served:
        code, text = await refused(served.predict("stride4", bomb(11)))
        assert (code, "at most 100" in text) == (INVALID, True)
        _, text = await refused(served.predict("stride4", bomb(10)))
    assert "truncated or corrupt" in text


async def test_bytes_of_any_kind_are_never_an_internal_error(serve: Any) -> None:
    """Real files with a stretch overwritten, and plain noise, behind every signature."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    files = [saved(pixels, kind) for kind in ("PNG", "JPEG", "WEBP", "TIFF", "BMP")]

    async with serve("stride4", limits_image_pixels=2**20) as served:
        examples: list[bytes] = []

        @given(
            file=st.sampled_from(files),
            place=st.floats(0, 1),
            junk=st.binary(max_size=24),
        )
        @settings(
            max_examples=150,
            deadline=None,
            database=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        def collect(file: bytes, place: float, junk: bytes) -> None:
            start = int(place * len(file))
            examples.append(file[:start] + junk + file[start + len(junk) :])
            examples.append(junk)

        collect()
        codes = {await outcome(served.predict("stride4", example)) for example in examples}
    assert codes == {INVALID, grpc.StatusCode.OK}
