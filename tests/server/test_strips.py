"""Pictures that are never whole in memory have the pixels, and get the answers, of whole ones.

The judge of pixels is `Predict`, whose own are judged in `test_image`: a network that gives its
input back shows what it saw. A server that takes ordinary pictures of one pixel only can answer
nothing but what it reads in strips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import ExifTags, Image

from anyres_proto.anyres.v1 import dense_prediction_pb2 as pb
from anyres_proto.anyres.v1.dense_prediction_pb2_grpc import DensePredictionServiceStub
from anyres_proto.tensors import to_array

pyvips = pytest.importorskip("pyvips")

HEIGHT, WIDTH = 83, 117
RANDOM = np.random.default_rng(0)
NOISE = RANDOM.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8)
DEEP = RANDOM.integers(0, 2**16, (HEIGHT, WIDTH, 4), np.uint16)
SMOOTH = Image.fromarray(RANDOM.integers(0, 256, (9, 9, 3), np.uint8)).resize((WIDTH, HEIGHT))
LOGITS = (pb.OUTPUT_KIND_LOGITS,)
TILED = {"memory_whole_image": 60_000, "memory_tile": 60_000}
IN_STRIPS_ONLY = TILED | {"limits_image_pixels": 1}
Outcome = tuple[pb.TilesPlan, dict[int, NDArray[Any]]]


def pillow(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    file = BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def vips(pixels: NDArray[Any], kind: str, **options: Any) -> bytes:
    deep = pixels.dtype == np.uint16
    made = pyvips.Image.new_from_array(pixels).copy(interpretation="rgb16" if deep else "srgb")
    return bytes(getattr(made, f"{kind}save_buffer")(**options))


def turned(kind: str, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return pillow(SMOOTH, kind, exif=exif)


def with_thumbnail(image: Image.Image) -> bytes:
    small = image.resize((image.width // 3, image.height // 3))
    return pillow(image, "TIFF", save_all=True, append_images=[small])


RGB = np.asarray(SMOOTH)
STREAMED = {
    "JPEG": pillow(SMOOTH, "JPEG", quality=90),
    "JPEG, every pixel's colour": pillow(SMOOTH, "JPEG", subsampling=0),
    "JPEG, grey": pillow(SMOOTH.convert("L"), "JPEG"),
    "JPEG, CMYK": pillow(SMOOTH.convert("CMYK"), "JPEG"),
    "JPEG, mirrored": turned("JPEG", 2),
    "PNG": pillow(Image.fromarray(NOISE[:, :, :3]), "PNG"),
    "PNG, mirrored": turned("PNG", 2),
    "PNG, black and white": pillow(SMOOTH.convert("1"), "PNG"),
    "PNG, palette": pillow(SMOOTH.quantize(16), "PNG", bits=4),
    "PNG, palette with alpha": pillow(SMOOTH.convert("P"), "PNG", transparency=bytes(range(256))),
    "PNG, alpha": pillow(Image.fromarray(NOISE), "PNG"),
    "PNG, grey with alpha": pillow(Image.fromarray(NOISE).convert("LA"), "PNG"),
    "PNG, a transparent colour": pillow(SMOOTH, "PNG", transparency=tuple(map(int, RGB[3, 3]))),
    "PNG, 16 bits": vips(DEEP[:, :, :3], "png", bitdepth=16),
    "PNG, 16 bits with alpha": vips(DEEP, "png", bitdepth=16),
    "PNG, 16 bits of grey": pillow(Image.fromarray(DEEP[:, :, 0]), "PNG"),
    "TIFF": pillow(SMOOTH, "TIFF"),
    "TIFF, strips": tiff(RGB, rowsperstrip=7, compression="zlib"),
    "TIFF, tiles": vips(RGB, "tiff", tile=True, tile_width=32, tile_height=16),
    "TIFF, a pyramid": vips(RGB, "tiff", tile=True, pyramid=True, tile_width=32, tile_height=32),
    "TIFF, a thumbnail": with_thumbnail(SMOOTH),
    "TIFF, planes": tiff(np.moveaxis(RGB, 2, 0).copy(), planarconfig="separate", photometric="rgb"),
    "TIFF, predicted": vips(RGB, "tiff", compression="lzw", predictor="horizontal"),
    "TIFF, JPEG in it": vips(RGB, "tiff", compression="jpeg"),
    "TIFF, fax": pillow(SMOOTH.convert("1"), "TIFF", compression="group4"),
    "TIFF, palette": pillow(SMOOTH.convert("P"), "TIFF"),
    "TIFF, CMYK": pillow(SMOOTH.convert("CMYK"), "TIFF"),
    "TIFF, alpha": tiff(NOISE, photometric="rgb", extrasamples=["unassalpha"]),
    "TIFF, white is zero": tiff(RGB[:, :, 0].copy(), photometric="miniswhite"),
    "TIFF, 16 bits, big-endian": tiff(DEEP[:, :, :3].copy(), byteorder=">", photometric="rgb"),
    "TIFF, 16 bits of grey": pillow(Image.fromarray(DEEP[:, :, 0]), "TIFF"),
    "BigTIFF": tiff(RGB, bigtiff=True, rowsperstrip=5),
}
# What cannot be read from top to bottom, and how that is said.
WHOLE = {
    "it is progressive": pillow(SMOOTH, "JPEG", progressive=True),
    "it is interlaced": vips(RGB, "png", interlace=True),
    "its EXIF orientation turns it": turned("JPEG", 6),
    "its orientation turns it": turned("TIFF", 3),
    "no WEBP is read in strips": pillow(SMOOTH, "WEBP"),
    "no BMP is read in strips": pillow(SMOOTH, "BMP"),
    "its channels are of a rare kind": tiff(NOISE, photometric="rgb", extrasamples=["assocalpha"]),
}


def parts(
    model: str, file: bytes, *kinds: pb.OutputKind.ValueType, chunk: int = 999
) -> Iterator[pb.PredictTilesRequest]:
    header = pb.PredictTilesHeader(model_name=model, outputs=kinds, file_bytes=len(file))
    yield pb.PredictTilesRequest(header=header)
    for start in range(0, len(file), chunk):
        yield pb.PredictTilesRequest(chunk=file[start : start + chunk])


def raw(
    model: str, pixels: NDArray[Any], *kinds: pb.OutputKind.ValueType, announced: int = 0
) -> Iterator[pb.PredictTilesRequest]:
    height, width, channels = pixels.shape
    strips = pb.RawStrips(size=pb.Size(height=height + announced, width=width), channels=channels)
    yield pb.PredictTilesRequest(
        header=pb.PredictTilesHeader(model_name=model, outputs=kinds, raw=strips)
    )
    values, part = pixels.tobytes(), max(997, pixels.nbytes // 999)
    for start in range(0, len(values), part):
        yield pb.PredictTilesRequest(rows=values[start : start + part])


async def pasted(served: Any, sent: Iterator[pb.PredictTilesRequest]) -> Outcome:
    """The plan, and the tiles put together; each cell must come once."""
    plan: pb.TilesPlan | None = None
    maps: dict[int, NDArray[Any]] = {}
    async for answer in served.stub.PredictTiles(sent):
        if answer.WhichOneof("part") == "plan":
            plan = answer.plan
            covered = np.zeros((plan.grid_size.height, plan.grid_size.width), int)
            continue
        tile = answer.tile
        rows = slice(tile.top, tile.top + tile.size.height)
        columns = slice(tile.left, tile.left + tile.size.width)
        covered[rows, columns] += 1
        for output in tile.outputs:
            part = to_array(output.tensor)
            empty = np.zeros((*part.shape[:-2], *covered.shape), part.dtype)
            maps.setdefault(output.kind, empty)[..., rows, columns] = part
    assert plan is not None
    assert (covered == 1).all()
    return plan, maps


async def refused(served: Any, sent: Iterator[pb.PredictTilesRequest]) -> tuple[Any, str]:
    """By a blocking client: one of grpc.aio that is still sending then makes up its own answer."""

    def ask() -> grpc.RpcError:
        with grpc.insecure_channel(f"127.0.0.1:{served.server.port}") as channel:
            answers = DensePredictionServiceStub(channel).PredictTiles(sent)
            with pytest.raises(grpc.RpcError) as caught:
                list(answers)
            return caught.value

    error: Any = await asyncio.to_thread(ask)
    assert "vips" not in error.details().lower()
    return error.code(), error.details()


async def test_every_pixel_that_is_read_in_strips_is_the_one_that_is_read_whole(serve: Any) -> None:
    different = []
    async with serve("identity", "grey", **IN_STRIPS_ONLY) as strips, serve() as whole:
        for model in ("identity", "grey"):
            for name, file in STREAMED.items():
                plan, maps = await pasted(strips, parts(model, file, *LOGITS))
                answer = await whole.predict(model, file, *LOGITS)
                assert plan.image_size == answer.image_size, name
                if model == "identity":
                    assert plan.pieces > 1, name
                if not (maps[LOGITS[0]] == to_array(answer.outputs[0].tensor)).all():
                    different.append((model, name))
    assert not different


async def test_what_cannot_be_read_in_strips_goes_whole_or_is_refused_by_name(serve: Any) -> None:
    async with serve("identity", **TILED) as served, serve(**IN_STRIPS_ONLY) as strips:
        for reason, file in WHOLE.items():
            plan, maps = await pasted(served, parts("identity", file, *LOGITS))
            answer = await served.predict("identity", file, *LOGITS)
            assert plan.image_size == answer.image_size
            np.testing.assert_array_equal(maps[LOGITS[0]], to_array(answer.outputs[0].tensor))
            code, details = await refused(strips, parts("identity", file))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert reason in details


@pytest.mark.parametrize("model", ["unet", "stride4", "unpadded", "doubling"])
async def test_strips_of_pixels_get_the_answer_of_the_whole(
    serve: Any, png: Any, model: str
) -> None:
    pixels = RANDOM.integers(0, 256, (400, 90, 3), np.uint8)
    kinds = (pb.OUTPUT_KIND_CLASS_MAP, pb.OUTPUT_KIND_LOGITS)
    tiles = {"memory_whole_image": 150_000, "memory_tile": 150_000}
    async with serve(model, **tiles) as served:
        _, maps = await pasted(served, raw(model, pixels, *kinds))
    async with serve(memory_whole_image=2**30) as served:
        whole = await served.predict(model, png(pixels), *kinds)
    assert whole.route == pb.ROUTE_WHOLE
    np.testing.assert_allclose(maps[kinds[1]], to_array(whole.outputs[1].tensor), atol=1e-5)


async def test_tiles_are_low_where_two_bands_would_not_fit(serve: Any) -> None:
    """A row has 4.5 KB: two bands of tiles 40 rows high have 400 KB, and there are 200."""
    pixels = RANDOM.integers(0, 256, (120, 1500, 3), np.uint8)
    tiles = {"memory_whole_image": 2**18, "memory_tile": 2**18, "uploads_chunk_bytes": 2**14}
    async with serve("unet", **tiles) as served:
        plenty, wanted = await pasted(served, raw("unet", pixels, *LOGITS))
    async with serve(memory_budget=7 * 2**20, **tiles) as served:
        tight, maps = await pasted(served, raw("unet", pixels, *LOGITS))
    assert tight.pieces > plenty.pieces > 1
    np.testing.assert_allclose(maps[LOGITS[0]], wanted[LOGITS[0]], atol=1e-5)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF, strips"])
async def test_a_file_cut_short_is_refused_in_a_sentence(serve: Any, name: str) -> None:
    file = STREAMED[name]
    async with serve("identity", **IN_STRIPS_ONLY) as served:
        code, details = await refused(served, parts("identity", file[: len(file) // 2]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "truncated or corrupt" in details


async def test_strips_that_are_not_as_announced_are_refused(serve: Any) -> None:
    few = RANDOM.integers(0, 256, (9, 5, 3), np.uint8)
    wrong: dict[str, Any] = {
        "the pixels end after 135 bytes": raw("identity", few, announced=1),
        "more than the 120 bytes": raw("identity", few, announced=-1),
        "a pixel has 3 channels for this model; the strips have 2": raw("identity", few[:, :, :2]),
        "at least 1 row": raw("identity", few, announced=-9),
        "got chunk after the header": [
            next(raw("identity", few)),
            pb.PredictTilesRequest(chunk=b"abc"),
        ],
    }
    async with serve("identity") as served:
        for complaint, sent in wrong.items():
            code, details = await refused(served, iter(sent))
            assert code is grpc.StatusCode.INVALID_ARGUMENT
            assert complaint in details


async def test_results_come_while_the_picture_still_does(serve: Any) -> None:
    """Three quarters of a file are enough for its first tiles, where the format allows it."""
    pixels = RANDOM.integers(0, 256, (600, 90, 3), np.uint8)
    files = {
        "PNG": pillow(Image.fromarray(pixels), "PNG"),
        "JPEG": pillow(Image.fromarray(pixels), "JPEG", quality=95),
        "TIFF": tiff(pixels, rowsperstrip=16, compression="zlib"),
        "BigTIFF": tiff(pixels, bigtiff=True, rowsperstrip=16),
    }
    async with serve("identity", **IN_STRIPS_ONLY, uploads_stall_s=5) as served:
        for name, file in files.items():
            messages = list(parts("identity", file))
            enough = len(messages) * 3 // 4
            call = served.stub.PredictTiles()
            for message in messages[:enough]:
                await call.write(message)
            assert (await call.read()).WhichOneof("part") == "plan", name
            assert (await call.read()).WhichOneof("part") == "tile", name
            for message in messages[enough:]:
                await call.write(message)
            await call.done_writing()
            await drained(call)
            assert await call.code() is grpc.StatusCode.OK


async def drained(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass


async def answered(served: Any, sent: list[pb.PredictTilesRequest]) -> None:
    """Ask until there is a place: how soon a call ends is the network's affair."""
    for _ in range(200):
        try:
            await pasted(served, iter(sent))
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.02)
        else:
            return
    pytest.fail("the place is still taken")


async def test_who_sends_nothing_more_is_told_so(serve: Any) -> None:
    pixels = np.zeros((50, 50, 3), np.uint8)
    async with serve("identity", uploads_stall_s=0.05) as served:
        call = served.stub.PredictTiles()
        for message in list(raw("identity", pixels))[:3]:
            await call.write(message)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drained(call)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "nothing of the upload came for 0.05 s" in (caught.value.details() or "")


async def test_who_takes_no_results_is_told_so(serve: Any) -> None:
    """Results pile up until neither side of the connection takes more of them."""
    pixels = RANDOM.integers(0, 256, (1500, 1500, 3), np.uint8)
    tiles = {"memory_whole_image": 2**22, "memory_tile": 2**22}
    async with serve("identity", uploads_stall_s=0.2, uploads_at_once=1, **tiles) as served:
        call = served.stub.PredictTiles()
        for message in raw("identity", pixels, *LOGITS):
            await call.write(message)
        await call.done_writing()
        await answered(served, list(raw("identity", pixels[:9, :9])))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await drained(call)
    assert "nobody took a result for 0.2 s" in (caught.value.details() or "")


async def test_a_client_that_leaves_frees_its_place_and_its_disk(serve: Any) -> None:
    file = STREAMED["TIFF, strips"]
    one = {"uploads_at_once": 1, "uploads_disk": len(file) + 100}
    async with serve("identity", **IN_STRIPS_ONLY, **one) as served:
        call = served.stub.PredictTiles()
        for message in list(parts("identity", file))[:-2]:
            await call.write(message)
        assert (await call.read()).WhichOneof("part") == "plan"
        code, details = await refused(served, parts("identity", file))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "the queue is full (1 uploads)" in details
        call.cancel()
        await answered(served, list(parts("identity", file)))


async def test_a_file_without_room_on_disk_is_refused(serve: Any) -> None:
    file = STREAMED["TIFF, strips"]
    async with serve("identity", uploads_disk=len(file) - 1) as served:
        code, details = await refused(served, parts("identity", file))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "of disk" in details


async def test_no_file_has_a_name(serve: Any, tmp_path: Any) -> None:
    """What has none is gone with the process, however that ends."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    file = STREAMED["TIFF, strips"]
    async with serve("identity", **IN_STRIPS_ONLY, uploads_folder=folder) as served:
        call = served.stub.PredictTiles()
        for message in list(parts("identity", file))[:-2]:
            await call.write(message)
        assert (await call.read()).WhichOneof("part") == "plan"
        assert not list(folder.iterdir())
        call.cancel()


async def test_a_file_that_unfolds_too_far_is_refused(serve: Any) -> None:
    blank = pillow(Image.new("L", (9000, 9000)), "PNG", compress_level=1)
    async with serve("identity", uploads_expansion=2, memory_tile=2**28) as served:
        code, details = await refused(served, parts("identity", blank, chunk=2**20))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "unfolds to more than 2 times its size" in details


async def test_a_picture_that_fits_no_way_is_refused_before_its_pixels_come(serve: Any) -> None:
    """Whose tiles would not be exact is told which node forbids them."""
    header = next(raw("gated", np.zeros((900, 900, 3), np.uint8)))
    file = pillow(SMOOTH.resize((900, 900)), "PNG")
    async with serve("gated", memory_budget=2**21, memory_whole_image=2**20) as served:
        for sent in ([header], list(parts("gated", file))[:3]):
            call = served.stub.PredictTiles()
            for message in sent:
                await call.write(message)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "tiles would not be exact" in (caught.value.details() or "")
            assert "GlobalAveragePool" in (caught.value.details() or "")


async def test_more_pixels_than_are_streamed_are_refused(serve: Any) -> None:
    header = next(raw("identity", np.zeros((10, 11, 3), np.uint8)))
    async with serve("identity", uploads_pixels=109) as served:
        code, details = await refused(served, iter([header]))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "at most 109 in all" in details


async def test_damaged_files_are_answered_or_refused_and_nothing_else(serve: Any) -> None:
    codes, said = set(), ""
    async with serve("identity", **IN_STRIPS_ONLY) as served:
        for file in STREAMED.values():
            for _ in range(2):
                damaged = bytearray(file)
                where = RANDOM.integers(0, [len(file), 300], (8, 2)).min(axis=1)
                for place in where[where < len(file)]:
                    damaged[place] = RANDOM.integers(256)
                try:
                    await pasted(served, parts("identity", bytes(damaged), chunk=2**20))
                except grpc.aio.AioRpcError as error:
                    codes.add(error.code())
                    said += (error.details() or "").lower()
    assert codes <= {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert "vips" not in said
