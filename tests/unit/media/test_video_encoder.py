"""MP4, GIF and WebP, by decoding them."""

import io

import numpy as np
import pytest
from PIL import Image

from guidegen.media.mp4 import finish, prepend, trim
from guidegen.media.video_encoder import KINDS, LIVE_MP4, MP4, Encoder
from tests.helpers.videos import about, frames, picture, psnr

RATES = {"mp4": 60, "gif": 25, "webp": 30}


def as_bytes(image):
    return (image * 255).round().byte().permute(1, 2, 0).contiguous().numpy()


def encode(path, kind, count, *, fps=30, size=(48, 64), numbers=None, metadata=None):
    with path.open("wb", buffering=0) as file:
        encoder = Encoder(file, kind, fps, metadata=metadata)
        for i in range(count):
            frame = as_bytes(picture(i / count, *size))
            encoder.add(frame, None if numbers is None else numbers[i])
        encoder.close()
    return path


@pytest.mark.slow
def test_mp4_reads_back(tmp_path):
    path = encode(tmp_path / "a.mp4", MP4, 24, fps=24)
    found = frames(path)
    assert found.shape == (24, 48, 64, 3)
    for i, frame in enumerate(found):
        assert psnr(frame, picture(i / 24)) > 36
    data = about(path)
    assert (data["codec"], data["video_format"], data["fps"]) == ("h264", "yuv420p", 24)
    assert data["duration"] == pytest.approx(1)


@pytest.mark.slow
def test_faststart_puts_the_index_in_front(tmp_path):
    data = encode(tmp_path / "a.mp4", MP4, 5).read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("size", [(47, 64), (48, 65), (17, 31)])
@pytest.mark.slow
def test_odd_sides_are_padded_by_their_edge(tmp_path, size):
    found = frames(encode(tmp_path / "a.mp4", MP4, 3, size=size))
    assert found.shape[1:3] == (size[0] + size[0] % 2, size[1] + size[1] % 2)
    assert psnr(found[2], picture(2 / 3, *size)) > 33
    if size[1] % 2:
        assert np.abs(found[2, :, -1].astype(int) - found[2, :, -2]).max() < 16


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (12, 200, 90)])
@pytest.mark.slow
def test_colours_stay(tmp_path, colour):
    path = tmp_path / "a.mp4"
    with path.open("wb") as file:
        encoder = Encoder(file, MP4, 30)
        for _ in range(3):
            encoder.add(np.full((32, 32, 3), colour, np.uint8))
        encoder.close()
    assert np.abs(frames(path).astype(int) - colour).max() <= 4


@pytest.mark.slow
def test_one_frame(tmp_path):
    assert len(frames(encode(tmp_path / "a.mp4", MP4, 1))) == 1


@pytest.mark.parametrize("kind", [MP4, LIVE_MP4])
@pytest.mark.slow
def test_metadata(tmp_path, kind):
    words = {"title": "a réd apple 苹果", "comment": "guidegen generate 'x y'", "description": "AI"}
    found = about(encode(tmp_path / "a.mp4", kind, 3, metadata=words))
    assert {name: found[name] for name in words} == words


@pytest.mark.parametrize(("name", "fps"), [("gif", 25), ("gif", 50), ("webp", 30)])
@pytest.mark.slow
def test_animations(tmp_path, name, fps):
    path = encode(tmp_path / f"a.{name}", KINDS[name], 12, fps=fps, size=(47, 63))
    with Image.open(path) as image:
        assert image.n_frames == 12
        assert image.size == (63, 47)
        assert image.info["loop"] == 0
        for i in (0, 5, 11):
            image.seek(i)
            image.load()
            assert image.info["duration"] == pytest.approx(1000 / fps, abs=1)
            assert psnr(np.asarray(image.convert("RGB")), picture(i / 12, 47, 63)) > 28


def boxes(data):
    """(start, end, kind) of each box of an MP4."""
    position = 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        yield position, position + length, data[position + 4 : position + 8]
        position += length


class Writes(io.BytesIO):
    """Remembers where each write ended."""

    def __init__(self):
        super().__init__()
        self.ends = []

    def write(self, data):
        count = super().write(data)
        self.ends.append(self.tell())
        return count


@pytest.mark.slow
def test_no_write_ends_within_the_head_of_a_fragment():
    """What kill -9 leaves ends with a write, and such a head makes a file unreadable."""
    file = Writes()
    encoder = Encoder(file, LIVE_MP4, 30)
    rng = np.random.default_rng(0)
    for _ in range(12):  # noise, so that a frame is large
        encoder.add(rng.integers(0, 256, (256, 256, 3), dtype=np.uint8))
    whole = len(file.getvalue())
    encoder.close()
    heads = [box for box in boxes(file.getvalue()) if box[2] == b"moof"]
    assert len(heads) == 12
    ends = [end for end in file.ends if end <= whole]
    assert len(ends) >= 12
    assert not [end for end in ends for head in heads if head[0] < end < head[1]]
    # and each frame is written before the one after the next is taken
    assert whole >= heads[10][1]


@pytest.mark.slow
def test_a_live_file_plays_up_to_any_place(tmp_path):
    live = encode(tmp_path / "a.mp4", LIVE_MP4, 30)
    whole, shown = live.read_bytes(), frames(live)
    contents = [end for _, end, kind in boxes(whole) if kind == b"mdat"]
    heads = [start for start, _, kind in boxes(whole) if kind == b"moof"]
    # inside the content of some fragments, and at bad places of their heads
    for end in [contents[3] - 40, contents[20] - 1, heads[9] + 40, heads[25] + 99, heads[29]]:
        cut = tmp_path / "cut.mp4"
        cut.write_bytes(whole[:end])
        trim(cut)
        found = frames(cut)
        assert len(found) == sum(content <= end for content in contents)
        assert np.array_equal(found, shown[: len(found)])
        finish(cut, tmp_path / "whole.mp4")
        assert np.array_equal(frames(tmp_path / "whole.mp4"), found)


@pytest.mark.slow
def test_trim_leaves_a_whole_file_and_what_is_none(tmp_path):
    live = encode(tmp_path / "a.mp4", LIVE_MP4, 5)
    before = live.read_bytes()
    trim(live)
    assert live.read_bytes() == before
    for data in (b"", b"no video", b"\0" * 20):
        (tmp_path / "b").write_bytes(data)
        trim(tmp_path / "b")
        assert (tmp_path / "b").read_bytes() == data


@pytest.mark.slow
def test_finish_keeps_frames_and_metadata(tmp_path):
    live = encode(tmp_path / "a.mp4", LIVE_MP4, 20, metadata={"title": "t"})
    assert finish(live, tmp_path / "b.tmp") == 20
    assert np.array_equal(frames(tmp_path / "b.tmp"), frames(live))
    assert (tmp_path / "b.tmp").read_bytes().index(b"moov") < 100
    (tmp_path / "b.tmp").rename(tmp_path / "b.mp4")
    assert about(tmp_path / "b.mp4")["title"] == "t"


@pytest.mark.slow
def test_prepend_takes_the_frames_before(tmp_path):
    earlier = encode(tmp_path / "a.mp4", LIVE_MP4, 20)
    with (tmp_path / "b.mp4").open("wb", buffering=0) as file:
        encoder = Encoder(file, LIVE_MP4, 30)
        assert prepend(earlier, encoder, size=(48, 64), before=12) == 12
        for i in range(12, 25):
            encoder.add(as_bytes(picture(i / 20 % 1)), i)
        encoder.close()
    found = frames(tmp_path / "b.mp4")
    assert len(found) == 25
    for i, frame in enumerate(found):
        assert psnr(frame, picture(i / 20 % 1)) > 33
    assert about(tmp_path / "b.mp4")["fps"] == 30


@pytest.mark.slow
def test_prepend_leaves_another_size_out(tmp_path):
    earlier = encode(tmp_path / "a.mp4", LIVE_MP4, 5)
    encoder = Encoder(io.BytesIO(), LIVE_MP4, 30)
    assert prepend(earlier, encoder, size=(32, 64), before=5) == 0
