"""Pictures that people and attackers hand us."""

import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from guidegen.errors import InputImageError
from guidegen.media.decode import decode
from guidegen.media.images import read_init, read_picture


def save(path, values, **more):
    Image.fromarray(values).save(path, **more)
    return path


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_greys(tmp_path, kind):
    ramp = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    path = save(tmp_path / f"grey.{kind}", ramp)
    found = np.asarray(decode(path, "init image"))
    assert found.shape == (8, 8, 3)
    assert np.array_equal(found[..., 0], np.rint(ramp / 257.0))
    assert abs(read_init(path, (8, 8)).mean() - 0.5) < 0.01


def test_a_float_tiff_is_black_at_0_and_white_at_1(tmp_path):
    path = save(tmp_path / "float.tif", np.array([[0, 0.5, 1]], np.float32))
    assert np.asarray(decode(path, "init image"))[0, :, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.array([[0, 200]], np.float32), "floats from 0 to 200"),
        (np.array([[0, np.nan]], np.float32), "floats from nan to nan"),
        (np.array([[0, 128]], np.int32), "32 bits"),
    ],
)
def test_numbers_that_do_not_say_what_is_white_are_refused(tmp_path, values, says):
    with pytest.raises(InputImageError, match=says) as caught:
        decode(save(tmp_path / "odd.tif", values), "init image")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_pictures_are_upright_as_their_exif_says(tmp_path, orientation, kind):
    exif = Image.Exif()
    exif[274] = orientation
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:, :16] = 255  # white on the left
    turn = {
        1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
        5: lambda a: np.swapaxes(a, 0, 1), 6: lambda a: np.rot90(a, 1),
        7: lambda a: np.rot90(np.swapaxes(a, 0, 1), 2), 8: lambda a: np.rot90(a, 3),
    }  # fmt: skip
    stored = np.ascontiguousarray(turn[orientation](upright))
    path = save(tmp_path / f"turned.{kind}", stored, exif=exif, quality=95)
    found = np.asarray(decode(path, "init image")).astype(int)
    assert abs(found - upright).max() < 40
    assert read_picture(path, "image prompt").shape == (1, 3, 16, 32)


def test_broken_exif_costs_the_orientation_only(tmp_path):
    path = save(tmp_path / "x.jpg", np.zeros((8, 8, 3), np.uint8), exif=b"Exif\0\0II*\0\xff\xff")
    assert decode(path, "init image").size == (8, 8)


def test_what_is_transparent_is_white(tmp_path):
    path = save(tmp_path / "clear.png", np.zeros((4, 4, 4), np.uint8))
    assert np.asarray(decode(path, "init image")).min() == 255
    grey = np.array([[7, 65535]], np.uint16)
    save(path, grey, transparency=7)
    with Image.open(path) as image:
        assert image.info["transparency"] == 7
    assert np.asarray(decode(path, "init image"))[0, :, 0].tolist() == [255, 255]


def bomb(path, side):
    """A PNG that claims side x side pixels, in some bytes."""

    def chunk(kind, data):
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )
    return path


@pytest.mark.parametrize("side", [8193, 13_000, 60_000])
def test_a_decompression_bomb_is_refused_by_its_header(tmp_path, side):
    with pytest.raises(InputImageError, match="more pixels than the 64 megapixels"):
        decode(bomb(tmp_path / "bomb.png", side), "image prompt")


def test_a_needle_is_cropped_before_it_is_enlarged(tmp_path):
    path = save(tmp_path / "needle.png", np.zeros((1, 200_000, 3), np.uint8))
    assert read_init(path, (64, 64)).shape == (1, 3, 64, 64)
    assert read_picture(path, "image prompt").shape == (1, 3, 1, 4096)


def test_what_is_no_ordinary_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for path, says in [
        (tmp_path / "pipe.png", "no ordinary file"),
        (tmp_path, "a folder"),
        (tmp_path / "none.png", "there is no"),
        (tmp_path / ("x" * 300), "can't be read"),
    ]:
        with pytest.raises(InputImageError, match=says):
            decode(path, "image prompt")


def test_formats_that_are_programs_are_no_pictures(tmp_path):
    path = tmp_path / "x.eps"
    Image.new("RGB", (8, 8)).save(path)
    with pytest.raises(InputImageError, match="none of PNG, JPEG"):
        decode(path, "init image")


def test_a_cut_off_file_is_one_line(tmp_path):
    path = save(tmp_path / "cut.png", np.random.default_rng(0).integers(0, 255, (64, 64, 3), "u1"))
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputImageError, match="can't be read") as caught:
        decode(path, "init image")
    assert "\n" not in str(caught.value)
