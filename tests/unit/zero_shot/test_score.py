"""Scores of pictures against prompts that are given or told by the file."""

import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import guidegen
from guidegen.clip.perceptor import load_perceptor
from guidegen.config import make_config
from guidegen.errors import ConfigError
from guidegen.runs import metadata
from guidegen.zero_shot.score import plain, r_precision, rank, read_prompt


@pytest.mark.slow
def test_the_score_is_the_cosine_that_the_perceptor_gives(tmp_path, tiny, other, picture):
    path = picture(tmp_path / "a.png", size=(32, 32))
    (found,) = guidegen.score(path, "a red circle", perceptors=(tiny, other))
    with Image.open(path) as image:
        pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    pixels = pixels.view(1, 32, 32, 3).permute(0, 3, 1, 2).float() / 255
    for spec in (tiny, other):
        model = load_perceptor(spec, device="cpu")
        wanted = float(model.encode_image(pixels)[0] @ model.encode_text(["a red circle"])[0])
        assert found.similarity[spec] == pytest.approx(wanted, abs=1e-5)
    assert found.rank == {}


@pytest.mark.slow
def test_the_prompt_is_read_from_our_metadata_without_weights(tmp_path):
    config = make_config({"prompt": "a red apple:2 | fog:-0.5", "seed": 7})
    path = tmp_path / "a.png"
    path.write_bytes(metadata.save_png(Image.new("RGB", (8, 8), "red"), config))
    (found,) = guidegen.score(path)
    assert found.prompt == "a red apple"
    assert not found.error


def test_the_prompt_is_read_from_what_the_web_ui_wrote(tmp_path):
    about = PngInfo()
    about.add_text(
        "parameters", "an owl,\nat night\nNegative prompt: day\nSteps: 20, Size: 8x8, Seed: 1"
    )
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=about)
    assert read_prompt(tmp_path / "a.png") == "an owl,\nat night"
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + "an owl: grey".encode("utf-16-be")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg", exif=exif)
    assert read_prompt(tmp_path / "a.jpg") == "an owl: grey"


def test_a_picture_without_a_prompt_stops_only_itself(tmp_path, tiny, picture):
    picture(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    found = guidegen.score(tmp_path, perceptors=(tiny,))
    assert "does not tell it" in found[0].error
    assert "can't be read" in found[1].error
    found = guidegen.score(tmp_path, "a disc", perceptors=(tiny,))
    assert [bool(each.error) for each in found] == [False, True]


def test_r_precision_ranks_each_picture_among_all_prompts(tmp_path):
    for color in ("red", "blue"):
        config = make_config({"prompt": f"a {color} circle"})
        image = Image.new("RGB", (64, 64), color)
        (tmp_path / f"{color}.png").write_bytes(metadata.save_png(image, config))
    found = guidegen.score(tmp_path, among=["a green circle", "an owl"])
    assert [each.rank["embedded"] for each in found] == [1, 1]
    assert r_precision(found) == {"embedded": 1.0}


def test_equal_similarities_do_not_count_as_won():
    assert rank(torch.tensor([0.5, 0.5, 0.1]), 0) == 2


def test_a_prompt_of_another_grammar_stays_as_it_is():
    assert plain("an owl || (night:1.2)") == "an owl || (night:1.2)"


def test_one_perceptor_twice_is_refused(tmp_path, tiny, picture):
    with pytest.raises(ConfigError, match="each perceptor once"):
        guidegen.score(picture(tmp_path / "a.png"), "a", perceptors=(tiny, tiny))
