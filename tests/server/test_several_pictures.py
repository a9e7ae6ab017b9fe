"""Files that hold more than one picture: refused, unless the others are versions of the first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from PIL import Image

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.tensors import to_array

COLOURS = ((250, 0, 0), (0, 250, 0), (0, 0, 250))
FRAMES = [Image.new("RGB", (40, 32), colour) for colour in COLOURS]
SMALL = FRAMES[1].resize((20, 16))


def file_of(kind: str, *images: Image.Image, **options: Any) -> bytes:
    file = BytesIO()
    first, *others = images
    first.save(file, kind, save_all=True, append_images=others, **options)
    return file.getvalue()


def pages(*images: Image.Image, kind: int) -> bytes:
    """A TIFF whose second page says what it is for."""
    first, second = (image.copy() for image in images)
    second.encoderinfo = {"tiffinfo": {254: kind}}
    return file_of("TIFF", first, second)


REFUSED = {
    "an animation of 3 frames; ": (file_of("PNG", *FRAMES), file_of("WEBP", *FRAMES)),
    "several pages; ": (
        file_of("TIFF", *FRAMES),
        file_of("TIFF", *FRAMES[:2], compression="tiff_lzw"),
        pages(*FRAMES[:2], kind=2),
    ),
}
TAKEN = {
    "one frame of PNG": file_of("PNG", FRAMES[0]),
    "one frame of WebP": file_of("WEBP", FRAMES[0], lossless=True),
    "one page": file_of("TIFF", FRAMES[0]),
    "a reduced page": pages(*FRAMES[:2], kind=1),
    "a mask": pages(*FRAMES[:2], kind=4),
    "a thumbnail": file_of("TIFF", FRAMES[0], SMALL),
    "a photograph and its preview": file_of("MPO", *FRAMES[:2], quality=100),
}


def whole(served: Any, file: bytes) -> Any:
    return served.predict("identity", file, pb.OUTPUT_KIND_LOGITS)


async def in_parts(served: Any, file: bytes) -> Any:
    def sent() -> Iterator[pb.PredictTilesRequest]:
        yield pb.PredictTilesRequest(
            header=pb.PredictTilesHeader(
                model_name="identity", outputs=[pb.OUTPUT_KIND_LOGITS], file_bytes=len(file)
            )
        )
        yield pb.PredictTilesRequest(chunk=file)

    answers = [answer async for answer in served.stub.PredictTiles(sent())]
    return answers[-1].tile


@pytest.mark.parametrize("said", REFUSED)
@pytest.mark.parametrize("ask", [whole, in_parts])
async def test_a_file_of_several_pictures_is_refused(
    serve: Any, ask: Callable[[Any, bytes], Any], said: str
) -> None:
    async with serve("identity") as served:
        for file in REFUSED[said]:
            with pytest.raises(grpc.aio.AioRpcError, match=said) as caught:
                await ask(served, file)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert "send each as a file of its own" in str(caught.value.details())


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("ask", [whole, in_parts])
async def test_one_picture_in_several_versions_is_the_first(
    serve: Any, ask: Callable[[Any, bytes], Any], name: str
) -> None:
    async with serve("identity") as served:
        answer = await ask(served, TAKEN[name])
    pixels = to_array(answer.outputs[0].tensor)
    assert pixels.shape == (3, 32, 40)
    np.testing.assert_allclose(pixels[:, 5, 5] * 255, COLOURS[0], atol=4)
