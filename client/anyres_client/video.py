"""A video with each frame's prediction drawn on it: same size, same times, same sound.

Frames are decoded, predicted and encoded at once, some of each under way; sound goes along as it
is. Needs the extra `anyres[video]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from anyres_client.atomic import TEMPORARY
from anyres_client.client import Client
from anyres_client.errors import InvalidRequest

CODEC = "libx264"
QUALITY = {"crf": "20"}  # of x264: hardly to be told from the original
IN_FLIGHT = 4


@dataclass(frozen=True)
class Film:
    """What is to be done.

    Attributes:
        source: a video that FFmpeg reads.
        target: the file to write; its suffix says the container.
        model: which is asked; the only one, if left out.
        alpha: how much of the prediction covers the frame, 0..1; as overlays are, if left out.
        in_flight: frames under way.
    """

    source: Path
    target: Path
    model: str | None = None
    alpha: float | None = None
    in_flight: int = IN_FLIGHT


def length(source: Path) -> int | None:
    """How many frames the file says that it has; None where it does not say.

    Raises:
        InvalidRequest: it is no video.
    """
    with _opened(source) as given:
        return _video(given, source).frames or None


def drawn(film: Film, client: Client, report: Callable[[int], None] = lambda pixels: None) -> int:
    """Write the film; the number of its frames. The file is there whole, or not at all.

    Args:
        film: what is to be done.
        client: of the server.
        report: is called with the pixels of each frame that is done.

    Raises:
        ClientError: the server refused a frame, or is not there.
        InvalidRequest: the source is no video, or the target is it, or cannot be written.
    """
    there = film.source.exists() and film.target.exists()
    if there and film.target.samefile(film.source):
        raise InvalidRequest(f"{film.target} is the video itself: name another file to write")
    unfinished = film.target.with_name(f"{TEMPORARY}{film.target.name}")
    try:
        with _opened(film.source) as given, av.open(str(unfinished), "w") as made:
            count = _written(film, given, made, client, report)
        unfinished.replace(film.target)
    except (av.FFmpegError, ValueError, OSError) as error:
        if isinstance(error, InvalidRequest):
            raise
        raise InvalidRequest(f"{film.target} cannot be written: {_why(error)}") from error
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def _written(
    film: Film,
    given: InputContainer,
    made: OutputContainer,
    client: Client,
    report: Callable[[int], None],
) -> int:
    source = _video(given, film.source)
    target = _stream_like(made, source)
    sound = {stream.index: made.add_stream_from_template(stream) for stream in given.streams.audio}
    frames: list[VideoFrame] = []

    def pictures() -> Iterator[np.ndarray[Any, Any]]:
        for frame in _frames(given, source, sound, made):
            frames.append(frame)
            yield frame.to_ndarray(format="rgb24")

    count = 0
    answers = client.predict_many(
        pictures(), model=film.model, output="overlay", in_flight=film.in_flight
    )
    for answer in answers:
        frame, prediction = frames.pop(0), answer.prediction
        photo = Image.fromarray(np.asarray(frame.to_ndarray(format="rgb24")))
        image = prediction.overlay(photo, alpha=film.alpha, legend=False)
        made.mux(target.encode(_frame_like(frame, image)))
        count += 1
        report(image.width * image.height)
    made.mux(target.encode(None))
    return count


def _frames(
    given: InputContainer, source: VideoStream, sound: dict[int, Any], made: OutputContainer
) -> Iterator[VideoFrame]:
    """The frames of the video; what belongs to the sound is written as it comes by."""
    for packet in given.demux(source, *given.streams.audio):
        if packet.stream is source:
            yield from packet.decode()  # type: ignore[misc]
        elif packet.dts is not None:
            packet.stream = sound[packet.stream.index]
            made.mux(packet)


def _stream_like(made: OutputContainer, source: VideoStream) -> VideoStream:
    stream = made.add_stream(CODEC, rate=source.average_rate, options=QUALITY)
    assert isinstance(stream, VideoStream), "that is what the codec makes"
    stream.width, stream.height = source.width, source.height
    even = source.width % 2 == source.height % 2 == 0
    stream.pix_fmt = "yuv420p" if even else "yuv444p"  # half the colour needs even sides
    assert source.time_base is not None, "a video has one"
    stream.codec_context.time_base = source.time_base
    return stream


def _frame_like(frame: VideoFrame, image: Image.Image) -> VideoFrame:
    made = VideoFrame.from_ndarray(np.asarray(image.convert("RGB")), format="rgb24")
    made.pts, made.time_base = frame.pts, frame.time_base
    return made


def _opened(source: Path) -> InputContainer:
    try:
        return av.open(str(source))
    except (av.FFmpegError, OSError) as error:
        raise InvalidRequest(f"{source} cannot be read as a video: {_why(error)}") from error


def _why(error: Exception) -> str:
    """What FFmpeg says, without its number and the file's name, which stands before it."""
    return str(getattr(error, "strerror", None) or error)


def _video(given: InputContainer, source: Path) -> VideoStream:
    if not given.streams.video:
        raise InvalidRequest(f"there is no video in {source}")
    stream = given.streams.video[0]
    stream.thread_type = "AUTO"
    return stream
