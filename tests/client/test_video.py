"""`anyres video`: every frame at its place with its prediction on it, and the sound beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from anyres_client import Client
from anyres_client.main import main

av = pytest.importorskip("av")

FRAMES = 12


def film(path: Path, size: tuple[int, int] = (64, 48), *, sound: bool = True) -> Path:
    """A video whose right half turns red; frame 5 comes late."""
    with av.open(str(path), "w") as made:
        stream = made.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv444p"
        voice = made.add_stream("aac", rate=8000) if sound else None
        for number in range(FRAMES):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            pixels[:, size[0] // 2 :, 0] = 255 * number // (FRAMES - 1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = number + (7 if number >= 5 else 0)
            made.mux(stream.encode(frame))
        made.mux(stream.encode(None))
        if voice is not None:
            samples = np.sin(np.arange(4000, dtype=np.float32))[None]
            heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            heard.sample_rate = 8000
            made.mux(voice.encode(heard))
            made.mux(voice.encode(None))
    return path


def frames(path: Path) -> list[Any]:
    with av.open(str(path)) as given:
        return list(given.decode(video=0))


def heard(path: Path) -> list[bytes]:
    with av.open(str(path)) as given:
        return [bytes(packet) for packet in given.demux(audio=0) if packet.dts is not None]


@pytest.mark.parametrize(("size", "sound"), [((64, 48), True), ((63, 47), False)])
def test_every_frame_keeps_its_time_and_size_and_shows_its_prediction(
    fake: Any, tmp_path: Path, size: tuple[int, int], sound: bool
) -> None:
    source, target = film(tmp_path / "in.mp4", size, sound=sound), tmp_path / "out.mp4"
    words = ["video", str(source), str(target), "--model", "zones", "--alpha", "1"]
    assert main([*words, "--server", fake.address]) == 0
    before, after = frames(source), frames(target)
    assert len(after) == FRAMES
    assert [frame.time for frame in after] == pytest.approx([frame.time for frame in before])
    with Client(fake.address) as client:
        for given, made in zip(before, after, strict=True):
            photo = given.to_image()
            prediction = client.predict(photo, model="zones", output="overlay")
            expected = np.asarray(prediction.overlay(photo, alpha=1, legend=False), np.int16)
            found = made.to_ndarray(format="rgb24").astype(np.int16)
            assert found.shape == expected.shape == (size[1], size[0], 3)
            assert np.abs(found - expected).mean() < 4  # what the codec rounds
    if sound:
        assert heard(target) == heard(source)


def test_a_frame_that_is_refused_leaves_no_file(fake: Any, tmp_path: Path, capsys: Any) -> None:
    def refuse(request: Any, context: grpc.ServicerContext) -> None:
        if len(fake.requests) > 3:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "no such picture")

    source, target = film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    fake.refuse = refuse
    words = ["video", str(source), str(target), "--model", "zones"]
    assert main([*words, "--server", fake.address]) == 2
    assert "no such picture" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("source", "target", "said"),
    [
        ("text.mp4", "out.mp4", "text.mp4 cannot be read as a video"),
        ("nowhere.mp4", "out.mp4", "nowhere.mp4 cannot be read as a video"),
        ("nowhere.mp4", "in.mp4", "nowhere.mp4 cannot be read as a video: No such file"),
        ("in.mp4", "./in.mp4", "in.mp4 is the video itself"),
        ("in.mp4", "out.doc", "out.doc cannot be written"),
        ("in.mp4", "deep/out.mp4", "out.mp4 cannot be written"),
    ],
)
def test_mistakes_are_one_line(
    fake: Any, tmp_path: Path, monkeypatch: Any, capsys: Any, source: str, target: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    film(tmp_path / "in.mp4")
    (tmp_path / "text.mp4").write_text("no video")
    words = ["video", source, target, "--model", "zones", "--server", fake.address]
    assert main(words) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "text.mp4"]
