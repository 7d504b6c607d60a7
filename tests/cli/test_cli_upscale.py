"""`guidegen upscale`, as people type it."""

import pytest
from PIL import Image


def test_pictures_are_written_beside_their_sources_and_named(run, tmp_path):
    for name in ("a.png", "b.jpg"):
        Image.new("RGB", (5, 4), "teal").save(tmp_path / name)
    outcome = run("upscale", "a.png", "b.jpg", "--scale", 3)
    assert outcome.code == 0, outcome.err
    assert outcome.out.split() == ["a-3x.png", "b-3x.png"]
    with Image.open("b-3x.png") as image:
        assert image.size == (15, 12)


def test_a_folder_takes_them_all(run, tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    assert run("upscale", "a.png", "-o", "large", "-q").out == "large/a-2x.png\n"


@pytest.mark.parametrize(("words", "code", "why"), [
    ([], 2, "name a picture"),
    (["a.png", "--scale", "5"], 2, "2, 3 or 4 times"),
    (["none.png"], 7, "there is no picture at none.png"),
    (["broken.png"], 7, "can't be read"),
    (["a.png", "a.png"], 2, "one by one"),
    (["a.png", "--out", "a.webp"], 6, "are PNG files"),
    (["a.png", "--out", "a.png"], 6, "no enlarged picture"),
    (["a.png", "b.png", "--out", "c.png"], 2, "2 pictures"),
    (["a.png", "--device", "gpu"], 2, "is no device"),
])  # fmt: skip
def test_what_can_not_be_done_is_said_in_one_line_before_work(run, tmp_path, words, code, why):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    outcome = run("upscale", *words)
    assert outcome.code == code
    assert why in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(tmp_path.glob("*x.png"))
