"""Frames of videos, against what was encoded."""

import numpy as np
import pytest
from PIL import Image

from denet.errors import DataError, UsageError
from denet.predict.image_files import find_images, find_loose
from denet.predict.video import Frames

av = pytest.importorskip("av", reason="it comes with the extra [video]")

SIZE = (64, 48)


def colour(number):
    """Return the colour of a frame."""
    return 10 * number, 60, 250 - 10 * number


@pytest.fixture
def video(tmp_path):
    """Return a file of 23 frames, each of one colour."""
    path = str(tmp_path / "clip.mp4")
    with av.open(path, "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for number in range(23):
            frame = av.VideoFrame.from_image(Image.new("RGB", SIZE, colour(number)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def assert_frame(image, number):
    assert image.size == SIZE and image.mode == "RGB"
    np.testing.assert_allclose(image.getpixel((30, 20)), colour(number), atol=8)


def test_frames(video):
    frames = Frames(video)
    assert len(frames) == 23 and frames.names[22] == f"{video}/000022"
    for number in (0, 5, 5, 22, 3):  # forwards, again, backwards
        assert_frame(frames.image(number), number)
    assert frames.size(0) == SIZE


def test_what_lies_before_the_start_is_no_frame(video, tmp_path):
    """Of a video that was cut without being encoded anew: its first five frames are not shown."""
    cut = str(tmp_path / "cut.mp4")
    options = {"avoid_negative_ts": "disabled", "use_editlist": "1"}
    with av.open(video) as source, av.open(cut, "w", options=options) as container:
        stream = container.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                shift = round(0.5 / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                container.mux(packet)
    frames = Frames(cut)
    assert len(frames) == 18
    assert_frame(frames.image(0), 5)
    assert_frame(frames.image(17), 22)


def test_every_tenth_frame_between_files(video, tmp_path):
    photo = str(tmp_path / "a.png")
    Image.new("RGB", (5, 4), (1, 2, 3)).save(photo)
    (tmp_path / "list.txt").write_text("a.png\nclip.mp4\na.png\n")
    loose = find_loose([str(tmp_path / "list.txt")], frame_step=10)
    numbers = [f"{video}/{number:06d}" for number in (0, 10, 20)]
    assert list(loose.names) == [photo, *numbers, photo]
    assert [loose.size(index) for index in range(5)] == [(5, 4), SIZE, SIZE, SIZE, (5, 4)]
    assert_frame(loose.image(2), 10)
    assert loose.image(4).getpixel((0, 0)) == (1, 2, 3)
    assert [loose.upright_file(index) for index in (0, 2, 4)] == [photo, None, photo]
    assert find_images(tmp_path / "*.mp4") == [video]


def test_large_frames_are_not_decoded(video):
    with pytest.raises(ValueError, match="pixel|invalid|cannot"):
        Frames(video, max_image_pixels=64 * 47).image(0)


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_what_is_no_video_is_told(keep, video):
    with open(video, "r+b") as file:
        file.truncate(keep)
    with pytest.raises(DataError, match="cannot read the video: .*clip.mp4: "):
        Frames(video)


def test_a_playlist_in_disguise_fetches_nothing(tmp_path):
    path = tmp_path / "list.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match="cannot read the video|no (frames|pictures)"):
        Frames(str(path))


def test_without_the_library_it_is_told_how_to_get_it(video, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    with pytest.raises(UsageError, match="pip install av"):
        find_loose([video])
