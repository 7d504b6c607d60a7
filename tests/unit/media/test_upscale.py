"""The upscaler: tiles, alpha, metadata, and what it refuses."""

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

import guidegen
from guidegen.config import make_config
from guidegen.errors import ConfigError, InputImageError, OutputError, WeightsError
from guidegen.media import upscale as module
from guidegen.media.upscale import UpscaleNet, Upscaler, check_upscale, load_upscaler
from guidegen.runs import metadata


def noise(height, width, channels=3):
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


@pytest.fixture(scope="module")
def small():
    """A network with the same reach as the real one, 18 convolutions, and few channels."""
    torch.manual_seed(0)
    return UpscaleNet(features=4)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_tiles_give_the_same_picture_as_the_whole(small, factor):
    pixels = noise(67, 45)
    whole = Upscaler(small, tile=128).enlarge(pixels, factor)
    tiled = Upscaler(small, tile=16).enlarge(pixels, factor)
    assert whole.shape == (67 * factor, 45 * factor, 3)
    # a byte may round the other way
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert (whole != tiled).mean() < 0.01


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (33, 2)])
def test_the_narrowest_pictures_can_be_enlarged(small, size):
    for factor in (2, 3, 4):
        large = Upscaler(small, tile=16).enlarge(noise(*size), factor)
        assert large.shape == (factor * size[0], factor * size[1], 3)


def test_an_edge_is_sharper_than_by_interpolation():
    edge = np.zeros((24, 24, 3), np.uint8)
    edge[:, 12:] = 255
    soft = Image.fromarray(edge).resize((12, 12), Image.Resampling.BOX)
    again = soft.resize((24, 24), Image.Resampling.BICUBIC)
    sharp = load_upscaler("cpu", "fp32").picture(soft, 2)

    def error(image):
        return np.abs(np.asarray(image).astype(int) - edge)[:, 4:-4].mean()

    assert error(sharp) < 0.5 * error(again)


def test_transparency_is_enlarged_too(small):
    pixels = np.full((20, 20, 4), 255, np.uint8)
    pixels[:, :10, 3] = 0
    large = load_upscaler("cpu", "fp32").picture(Image.fromarray(pixels, "RGBA"), 2)
    assert large.mode == "RGBA"
    alpha = np.asarray(large)[..., 3]
    assert alpha[:, :16].max() < 16
    assert alpha[:, 24:].min() > 239


def test_opaque_pictures_stay_without_alpha(small):
    assert Upscaler(small).picture(Image.new("P", (4, 4)), 2).mode == "RGB"


def test_a_result_beyond_memory_is_refused_before_work(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: 300_000_000)
    check_upscale(256, 256, 2)
    with pytest.raises(ConfigError, match=r"16384x16384 and takes .* GB of memory"):
        check_upscale(4096, 4096, 4)


def test_a_result_beyond_half_a_gigapixel_is_refused_whatever_the_memory(monkeypatch):
    monkeypatch.setattr(module, "available_memory", lambda: None)
    with pytest.raises(ConfigError, match="megapixels"):
        check_upscale(8000, 8000, 4)


@pytest.mark.parametrize("factor", [0, 1, 5, -2])
def test_other_factors_are_refused(factor):
    with pytest.raises(ConfigError, match="2, 3 or 4 times"):
        check_upscale(8, 8, factor)


def test_prompt_and_settings_go_over_into_the_new_file(tmp_path):
    config = make_config({"prompt": "a red apple", "seed": 7})
    source = tmp_path / "apple.png"
    source.write_bytes(metadata.save_png(Image.new("RGB", (8, 6), "red"), config))
    large = guidegen.upscale(source, 3)
    assert large == tmp_path / "apple-3x.png"
    assert metadata.read(large).config == config
    with Image.open(large) as image:
        assert image.size == (24, 18)
        assert image.text["guidegen upscale"] == "3x by realesr-animevideov3"
        assert "Postprocess upscale by: 3" in image.text["parameters"]
        assert "trainedAlgorithmicMedia" in image.text["XML:com.adobe.xmp"]


def test_a_photo_comes_out_upright_with_its_profile(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its side
    exif[0x010E] = "a hill"
    Image.new("RGB", (10, 4)).save(tmp_path / "a.jpg", exif=exif, icc_profile=b"a profile")
    with Image.open(guidegen.upscale(tmp_path / "a.jpg", 2, out=tmp_path / "b.png")) as image:
        assert image.size == (8, 20)
        assert image.getexif().get(0x010E) == "a hill"
        assert 0x0112 not in image.getexif()
        assert image.info["icc_profile"] == b"a profile"


def test_a_file_of_somebody_else_is_never_replaced(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "a-2x.png")
    before = (tmp_path / "a-2x.png").read_bytes()
    with pytest.raises(OutputError, match="no enlarged picture"):
        guidegen.upscale(tmp_path / "a.png", 2)
    assert (tmp_path / "a-2x.png").read_bytes() == before
    again = [guidegen.upscale(tmp_path / "a.png", 2, out=tmp_path / "b.png") for _ in range(2)]
    assert again[0] == again[1]


def test_a_moving_picture_is_refused(tmp_path):
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(InputImageError, match="2 frames"):
        guidegen.upscale(tmp_path / "a.gif")


def test_texts_that_no_png_can_hold_do_not_cost_the_picture(tmp_path):
    about = PngInfo()
    about.add_text("Comment", "x\0y")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=about)
    assert guidegen.upscale(tmp_path / "a.png").is_file()


def test_damaged_weights_are_named(tmp_path, monkeypatch):
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 100)
    (tmp_path / "source.json").write_text('{"sha256": "0"}')
    monkeypatch.setattr(module, "embedded", lambda name: tmp_path)
    with pytest.raises(WeightsError, match="has changed"):
        load_upscaler.__wrapped__("cpu", "fp32")
