"""Settings in JPEG and WebP files."""

import io
import logging

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.errors import InputImageError
from guidegen.runs import exif, metadata

CONFIG = make_config({"prompt": 'a "red" apple: 苹果 🍎 | fog:0.3', "seed": 7, "steps": 3})
IMAGE = Image.new("RGB", (48, 32), (200, 10, 20))
SUFFIXES = [".jpg", ".jpeg", ".webp"]


def save(tmp_path, suffix, config=CONFIG, **more):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(metadata.encode(IMAGE, config, suffix, **more))
    return path


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_settings_come_back(tmp_path, suffix):
    path = save(tmp_path, suffix, scores={"similarity": 0.5}, models={"clip": "ab"}, version="9.9")
    assert metadata.read(path) == metadata.Record(
        CONFIG, {"similarity": 0.5}, {"clip": "ab"}, "9.9"
    )
    with Image.open(path) as image:
        assert image.format == ("WEBP" if suffix == ".webp" else "JPEG")
        assert image.size == (48, 32)
        assert all(
            abs(a - b) < 6 for a, b in zip(image.getpixel((9, 9)), (200, 10, 20), strict=True)
        )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_other_programs_find_the_lines_in_user_comment_and_the_ai_mark_in_xmp(tmp_path, suffix):
    with Image.open(save(tmp_path, suffix, version="9.9")) as image:
        comment = image.getexif().get_ifd(0x8769)[0x9286]
        packet = image.info["xmp"].decode()
    # as A1111's web UI reads it: eight bytes that name the encoding, then UTF-16
    assert comment[:8] == b"UNICODE\0"
    assert comment[8:].decode("utf-16-be") == metadata.parameters(CONFIG, (48, 32), "9.9")
    assert "digitalsourcetype/trainedAlgorithmicMedia" in packet


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_without_metadata_nothing_is_told(tmp_path, suffix):
    config = CONFIG.model_copy(update={"metadata": False})
    path = save(tmp_path, suffix, config)
    assert b"apple" not in path.read_bytes()
    with pytest.raises(InputImageError, match="no guidegen metadata"):
        metadata.read(path)


def test_a_prompt_that_no_segment_holds_costs_the_settings_and_not_the_picture(tmp_path, caplog):
    long = make_config({"prompt": "a", "negative": ["word " * 1900] * 8})
    with caplog.at_level(logging.WARNING):
        path = save(tmp_path, ".jpg", long)
    assert "too long" in caplog.text
    with Image.open(path) as image:
        image.load()
    with pytest.raises(InputImageError, match="no guidegen metadata"):
        metadata.read(path)


def test_another_s_jpeg_is_none_of_ours(tmp_path):
    IMAGE.save(tmp_path / "x.jpg")
    with pytest.raises(InputImageError, match="no guidegen metadata"):
        metadata.read(tmp_path / "x.jpg")


NOISE = Image.effect_noise((64, 48), 90).convert("RGB")
NOISE.putpixel((3, 3), (255, 0, 0))


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_pixels_are_written_at_quality_95_and_a_jpeg_s_in_full_colour(suffix):
    kind, more = ("WEBP", {}) if suffix == ".webp" else ("JPEG", {"subsampling": 0})
    wanted = io.BytesIO()
    NOISE.save(wanted, kind, quality=95, **more)
    assert exif.encode(NOISE, suffix, lines="", record="r", xmp="x") == wanted.getvalue()


def fields(data):
    with Image.open(io.BytesIO(data)) as image:
        found = image.getexif().get_ifd(0x8769)
        return found.get(0x9286), found.get(0x927C), image.info.get("xmp"), exif.read(image)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_each_text_stands_in_its_own_field(suffix, caplog):
    data = exif.encode(IMAGE, suffix, lines="é\udcff", record='{"é": 1}', xmp="<é/>")
    assert fields(data) == (
        b"UNICODE\0" + "é\\udcff".encode("utf-16-be"),
        b"guidegen\0" + '{"é": 1}'.encode(),
        "<é/>".encode(),
        '{"é": 1}',
    )
    assert caplog.messages == []


def used(data):
    """Bytes of the EXIF in a file."""
    with Image.open(io.BytesIO(data)) as image:
        return len(image.info["exif"])


@pytest.mark.parametrize(("suffix", "kind"), [(".jpg", "JPEG"), (".webp", "WEBP")])
def test_a_segment_is_filled_and_what_is_longer_is_left_out(suffix, kind, caplog):
    spent = used(exif.encode(IMAGE, ".jpg", lines="a", record="r" * 99, xmp="")) - 99
    room = 65_526 - spent  # EXIF is padded to an even number
    full = exif.encode(IMAGE, suffix, lines="a", record="r" * room, xmp="")
    assert fields(full)[3] == "r" * room
    assert caplog.messages == []
    lines = b"UNICODE\0" + "a".encode("utf-16-be")
    more = exif.encode(IMAGE, suffix, lines="a", record="r" * (room + 1), xmp="")
    assert fields(more) == (lines, None, None, None)
    assert caplog.messages == [
        f"the prompts are too long for the metadata of a {kind}; a PNG holds them"
    ]
    none = exif.encode(IMAGE, suffix, lines="a" * 33_000, record="r", xmp="x")
    assert fields(none) == (None, None, b"x", None)
    assert len(caplog.messages) == 2


def test_an_xmp_that_no_segment_holds_is_left_out():
    # counted in bytes: an é has two
    fits, too_long = ("é" * 32_747, "é" * 32_747 + "x")
    assert fields(exif.encode(IMAGE, ".jpg", lines="a", record="r", xmp=fits))[2] == fits.encode()
    assert fields(exif.encode(IMAGE, ".jpg", lines="a", record="r", xmp=too_long))[2] is None


def test_a_note_of_another_maker_is_not_read():
    for note in (b"other\0{}", b"", b"guidegen{}"):
        other = Image.Exif()
        other.get_ifd(0x8769)[0x927C] = note
        data = io.BytesIO()
        IMAGE.save(data, "JPEG", exif=other.tobytes())
        assert fields(data.getvalue())[3] is None
