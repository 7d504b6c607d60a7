"""Settings in JPEG and WebP files."""

import logging

import pytest
from PIL import Image

from guidegen.config import make_config
from guidegen.errors import InputImageError
from guidegen.runs import metadata

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
