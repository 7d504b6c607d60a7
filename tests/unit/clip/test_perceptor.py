import json
import logging
import math
import shutil
import warnings
from pathlib import Path

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from torchvision.transforms.functional import to_tensor

from guidegen.clip import fused, open_clip_perceptor
from guidegen.clip.fused import is_convolutional
from guidegen.clip.perceptor import CLIPPerceptor, check_specs, load_ensemble, load_perceptor
from guidegen.clip.templates import encode_prompt, truncated_words
from guidegen.clip.text_features import encode_vocabulary
from guidegen.errors import ConfigError, UnknownNameError, WeightsError
from guidegen.precision import Arithmetic
from guidegen.weights import open_clip_weights
from tests.helpers.tiny_clip import MODEL, make_tiny_clip

WEIGHTS, CONFIG = "open_clip_model.safetensors", "open_clip_config.json"


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    # the work here is too small to share; on a busy machine waiting for threads takes longer
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_clip(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def clip(folder):
    return load_perceptor(f"local-dir:{folder}", device="cpu", precision="fp32")


@pytest.fixture
def copy(tmp_path, folder):
    return Path(shutil.copytree(folder, tmp_path / "clip"))


def picture(width=32, height=32):
    pixels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(1))
    return Image.fromarray(pixels.to(torch.uint8).numpy())


def load(folder):
    return load_perceptor(f"local-dir:{folder}", device="cpu", precision="fp32")


# --- features


def test_same_features_as_open_clip_itself(folder, clip):
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    image = picture()
    with torch.no_grad():
        seen = F.normalize(model.eval().encode_image(preprocess(image)[None]), dim=-1)
        read = F.normalize(model.encode_text(tokenizer(["a red apple"])), dim=-1)
    torch.testing.assert_close(clip.encode_image(to_tensor(image)[None]), seen)
    torch.testing.assert_close(clip.encode_text(["a red apple"]), read)
    assert clip.input_size == 32


def test_other_sizes_are_near_open_clip_too(folder, clip):
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    # smooth, so that Pillow's rounding to bytes is the only difference
    image = picture(6, 6).resize((128, 96), Image.Resampling.BICUBIC)
    with torch.no_grad():
        seen = F.normalize(model.eval().encode_image(preprocess(image)[None]), dim=-1)
    cosine = F.cosine_similarity(clip.encode_image(to_tensor(image)[None]), seen)
    assert cosine > 0.9995


def test_squash_sees_the_whole_picture_and_shortest_the_middle(tmp_path, clip):
    squashing = load(make_tiny_clip(tmp_path, preprocess={"resize_mode": "squash"}))
    images = torch.rand(1, 3, 32, 64)
    middle = images[..., 16:48]
    assert torch.equal(clip.encode_image(images), clip.encode_image(middle))
    whole = F.interpolate(images, (32, 32), mode="bicubic", antialias=True)
    assert torch.equal(squashing.encode_image(images), clip.encode_image(whole))


def test_no_parameter_gets_a_gradient(clip):
    images = torch.rand(2, 3, 48, 48, requires_grad=True)
    clip.encode_image(images).sum().backward()
    assert images.grad.abs().sum() > 0
    parameters = list(clip._model.parameters())
    assert parameters
    assert all(p.grad is None and not p.requires_grad for p in parameters)
    assert not clip._model.training


def test_image_gradient_is_right(clip):
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    images.requires_grad_()
    target = clip.encode_text(["a red apple"])[0]
    (clip.encode_image(images)[0] @ target).backward()
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(3))
    step = 1e-2
    with torch.no_grad():
        up, down = (clip.encode_image(images + s * direction)[0] @ target for s in (step, -step))
    expected = float(up - down) / (2 * step)
    assert float((images.grad * direction).sum()) == pytest.approx(expected, rel=0.05, abs=1e-4)


def test_bf16_is_near_fp32_and_leaves_text_alone(folder, clip):
    half = load_perceptor(f"local-dir:{folder}", device="cpu", precision="bf16")
    images = torch.rand(2, 3, 32, 32)
    features = half.encode_image(images)
    assert features.dtype == torch.float32
    assert not torch.equal(features, clip.encode_image(images))
    assert F.cosine_similarity(features, clip.encode_image(images)).min() > 0.999
    assert torch.equal(half.encode_text(["x"]), clip.encode_text(["x"]))


def test_images_of_a_wrong_kind_are_refused(clip):
    for images in (
        torch.rand(3, 32, 32),
        torch.rand(1, 4, 32, 32),
        torch.zeros(1, 3, 32, 32).int(),
    ):
        with pytest.raises(ValueError, match="images must be"):
            clip.encode_image(images)


def test_texts_are_remembered_and_chunked(folder, monkeypatch):
    clip = load(folder)
    calls = []
    encode = clip._model.encode_text
    monkeypatch.setattr(clip._model, "encode_text", lambda t: calls.append(len(t)) or encode(t))
    first = clip.encode_text(["a", "b", "a"])
    assert calls == [1, 1]
    assert torch.equal(clip.encode_text(["b", "a"]), first[:2].flip(0))
    assert calls == [1, 1]
    many = clip.encode_text([f"number {i}" for i in range(300)])
    assert calls[2:] == [256, 44]
    torch.testing.assert_close(many[7], clip.encode_text(["number 7"])[0])
    assert clip.encode_text([]).shape == (0, 16)


def test_memory_for_texts_is_bounded(folder, monkeypatch):
    monkeypatch.setattr(open_clip_perceptor, "_REMEMBERED", 3)
    clip = load(folder)
    texts = ["a", "b", "c", "d", "e"]
    assert clip.encode_text(texts).shape == (5, 16)
    assert list(clip._remembered) == ["c", "d", "e"]


# --- loading


def test_weights_that_are_loaded_are_those_of_the_file(folder, clip):
    stored = load_file(folder / WEIGHTS)
    assert torch.equal(clip._model.state_dict()["visual.proj"], stored["visual.proj"])


def test_digest_follows_weights_and_config(copy):
    first = load(copy).digest
    assert load(copy).digest == first
    config = json.loads((copy / CONFIG).read_text())
    config["preprocess_cfg"]["mean"] = [0.1, 0.1, 0.1]
    (copy / CONFIG).write_text(json.dumps(config))
    assert load(copy).digest != first


def truncate(folder):
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(data[: len(data) // 2])


def html(folder):
    (folder / WEIGHTS).write_text("<!DOCTYPE html><html>404</html>")


def empty(folder):
    (folder / WEIGHTS).write_bytes(b"")


def without_weights(folder):
    (folder / WEIGHTS).unlink()


def without_config(folder):
    (folder / CONFIG).unlink()


def broken_config(folder):
    (folder / CONFIG).write_text("{")


def foreign_config(folder):
    (folder / CONFIG).write_text('{"hidden_size": 3}')


def misspelt_config(folder):
    config = json.loads((folder / CONFIG).read_text())
    config["model_cfg"]["vision_cfg"]["layer"] = 3
    (folder / CONFIG).write_text(json.dumps(config))


def bad_std(folder):
    config = json.loads((folder / CONFIG).read_text())
    config["preprocess_cfg"]["std"] = [0, 0, 0]
    (folder / CONFIG).write_text(json.dumps(config))


def change(edit):
    def apply(folder):
        state = load_file(folder / WEIGHTS)
        edit(state)
        save_file(state, folder / WEIGHTS)

    return apply


def all_others(state):
    state.clear()
    state["alien"] = torch.zeros(2)


def position_of_another_size(state):
    state["visual.positional_embedding"] = torch.zeros(5, 32)


def text_position_of_another_size(state):
    state["positional_embedding"] = torch.zeros(20, 16)


def pickle(folder):
    torch.save(load_file(folder / WEIGHTS), folder / "open_clip_pytorch_model.bin")
    (folder / WEIGHTS).unlink()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncate, WEIGHTS),
        (html, WEIGHTS),
        (empty, WEIGHTS),
        (without_weights, "no weights in"),
        (without_config, CONFIG),
        (broken_config, CONFIG),
        (foreign_config, "no model_cfg"),
        (misspelt_config, "layer"),
        (bad_std, "std"),
        (pickle, "models import"),
        (change(lambda state: state.pop("visual.proj")), "visual.proj"),
        (change(lambda state: state.update(extra=torch.zeros(1))), "extra"),
        (change(lambda state: state.clear()), "can't load"),
        (change(all_others), "Missing key"),
        (change(position_of_another_size), "visual.positional_embedding"),
        (change(text_position_of_another_size), "positional_embedding"),
        (change(lambda state: state["visual.proj"].fill_(math.nan)), "not finite"),
    ],
)
def test_what_is_broken_is_refused_in_one_line(copy, damage, said):
    damage(copy)
    with pytest.raises(WeightsError) as caught:
        load(copy)
    message = str(caught.value)
    assert said in message
    assert str(copy) in message
    assert "\n" not in message
    assert len(message) < 500


def test_missing_folder(tmp_path):
    for call in (lambda: load(tmp_path / "none"), lambda: check_specs([f"local-dir:{tmp_path}/x"])):
        with pytest.raises(WeightsError, match="no folder"):
            call()


@pytest.mark.parametrize(
    ("spec", "near"),
    [
        ("ViT-B-32/openia", "ViT-B-32/openai"),
        ("VitB32/openai", "ViT-B-32/openai"),
        ("ViT-B-32", "ViT-B-32/"),
        ("embeded", "embedded"),
    ],
)
def test_unknown_names_offer_the_nearest(spec, near):
    with pytest.raises(UnknownNameError, match=near):
        load_perceptor(spec, device="cpu")
    with pytest.raises(UnknownNameError):
        check_specs([spec])


def test_quick_gelu_follows_the_weights_not_the_architecture():
    assert open_clip_weights.needs_quick_gelu("ViT-B-32", "openai")
    assert not open_clip.get_model_config("ViT-B-32").get("quick_gelu", False)
    assert open_clip_weights.needs_quick_gelu("ViT-B-32-quickgelu", "openai")
    assert not open_clip_weights.needs_quick_gelu("ViT-B-32", "laion2b_s34b_b79k")


def test_zoo_is_asked_for_the_right_activation(folder, monkeypatch):
    asked = {}

    def create(name, **options):
        asked[name] = options
        return "model", "tokenizer"

    weights = folder / WEIGHTS
    monkeypatch.setattr(open_clip, "download_pretrained", lambda cfg: str(weights))
    monkeypatch.setattr(open_clip_weights.load, "_create", create)
    _, _, digest = open_clip_weights.load_zoo("ViT-B-32", "openai")
    assert asked == {
        "ViT-B-32": {"where": weights, "pretrained": "openai", "force_quick_gelu": True}
    }
    assert digest == open_clip_weights.load.sha256_file(weights)


def test_a_mismatch_of_activations_is_an_error(folder, monkeypatch):
    def create(*_, **__):
        warnings.warn("QuickGELU mismatch between final model config", UserWarning, stacklevel=1)

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", create)
    with pytest.raises(WeightsError, match="QuickGELU mismatch"):
        load(folder)


def test_what_cannot_be_fetched_is_one_line_with_a_way_out(monkeypatch):
    def fail(*_, **__):
        raise FileNotFoundError("Failed to download file\nfor timm/x. Last error: no network")

    monkeypatch.setattr(open_clip, "download_pretrained", fail)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(WeightsError, match=r"ViT-B-32/openai \(Failed.*local-dir:") as caught:
        load_perceptor("ViT-B-32/openai", device="cpu")
    assert "\n" not in str(caught.value)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        load_perceptor("ViT-B-32/openai", device="cpu")


def test_loading_says_nothing_and_leaves_logging_as_it_was(folder, capfd, caplog):
    handlers, filters = list(logging.root.handlers), list(logging.root.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        load(folder)
    assert not caught
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert list(logging.root.handlers) == handlers
    assert list(logging.root.filters) == filters


# --- precision


def test_a_kept_arithmetic_counts_in_place_of_the_one_that_is_asked_for(folder):
    spec = f"local-dir:{folder}"
    kept = {spec: Arithmetic(torch.bfloat16)}
    ((perceptor, _),) = load_ensemble([spec], device="cpu", keep=kept)
    assert perceptor.precision == torch.bfloat16


def test_auto_takes_what_was_fastest(folder, monkeypatch):
    asked = {}

    def choose(module, shapes, choices, workload, *, device):
        for choice in choices:
            workload(choice)()  # the work that is timed can be done
        asked[module] = [str(choice) for choice in choices]
        return choices[-1]

    both = (torch.float32, torch.bfloat16)
    monkeypatch.setattr(fused, "choose", choose)
    monkeypatch.setattr(fused, "perceptor_dtypes", lambda device: both)
    clip = load_perceptor(f"local-dir:{folder}", device="cpu")
    assert asked == {"image tower VisionTransformer": ["fp32", "bf16"]}
    assert clip.precision == torch.bfloat16
    named = load_perceptor(f"local-dir:{folder}", device="cpu", precision="fp32")
    assert named.precision == torch.float32
    assert len(asked) == 1


def test_a_short_copy_is_timed_and_the_tower_stays_whole(folder):
    visual = open_clip.CLIP(**{**MODEL, "vision_cfg": {**MODEL["vision_cfg"], "layers": 5}}).visual
    assert len(fused._shortened(visual).transformer.resblocks) == 2
    assert len(visual.transformer.resblocks) == 5


def test_towers_are_told_apart(clip):
    assert not is_convolutional(clip._model.visual)
    convolutions = [torch.nn.Conv2d(1, 1, 3) for _ in range(8)]
    assert is_convolutional(torch.nn.Sequential(*convolutions))


# --- prompts


def test_templates(clip):
    plain = clip.encode_text(["fox"])[0]
    assert torch.equal(encode_prompt(clip, "fox", ""), plain)
    photo = clip.encode_text(["a photo of fox, {0}"])[0]
    assert torch.equal(encode_prompt(clip, "fox", "a photo of {}, {0}"), photo)
    texts = [fill("fox") for fill in open_clip.OPENAI_IMAGENET_TEMPLATES]
    assert len(texts) == 80
    mean = clip.encode_text(texts).mean(0)
    feature = encode_prompt(clip, "fox", "imagenet")
    torch.testing.assert_close(feature, mean / mean.norm())
    assert not torch.allclose(feature, plain, atol=1e-3)


def test_truncated_words(clip):
    assert truncated_words(clip, "one two three") is None
    words = "a b c d e f g h i j k l m n"  # 14 tokens and 2 ends: just fits
    assert truncated_words(clip, words) is None
    assert truncated_words(clip, words + " red apple") == "red apple"
    assert truncated_words(clip, " ".join("abcdefghijklm") + " floccinaucinihil") == (
        "floccinaucinihil"
    )
    cut = truncated_words(clip, "红苹果在桌子上面的一个大盘子里面")
    assert cut
    assert "红苹果在桌子上面的一个大盘子里面".endswith(cut)
    assert truncated_words(object(), words * 9) is None


# --- features on disk


class Counting:
    """A perceptor that counts what it is asked."""

    name, digest, input_size = "fake", "d" * 64, 8

    def __init__(self):
        self.asked = []

    def encode_text(self, texts):
        self.asked.append(len(texts))
        return F.normalize(torch.tensor([[len(t) + 1.0, 2.0, 3.0] for t in texts]), dim=1)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def test_vocabulary_is_computed_once(cache):
    texts = ["a", "bb", "ccc"]
    first, second = Counting(), Counting()
    features = encode_vocabulary(first, texts, key="k")
    assert first.asked == [1, 3]
    assert torch.equal(features, Counting().encode_text(texts))
    assert torch.equal(encode_vocabulary(second, texts, key="k"), features)
    assert second.asked == [1]  # one text, to learn device and length
    assert len(list(cache.iterdir())) == 1


def test_other_texts_keys_or_weights_are_other_features(cache):
    encode_vocabulary(Counting(), ["a", "bb"], key="k")
    other = Counting()
    other.digest = "e" * 64
    for perceptor, texts, key in (
        (Counting(), ["a", "c"], "k"),
        (Counting(), ["a", "bb"], "l"),
        (other, ["a", "bb"], "k"),
    ):
        encode_vocabulary(perceptor, texts, key=key)
        assert perceptor.asked == [1, 2]
    assert len(list(cache.iterdir())) == 4


def flip(data):
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("damage", [flip, lambda d: d[:-5], lambda d: b"", lambda d: b"<html>" * 9])
def test_a_damaged_file_is_computed_again(cache, damage):
    features = encode_vocabulary(Counting(), ["a", "bb"], key="k")
    (path,) = cache.iterdir()
    path.write_bytes(damage(path.read_bytes()))
    again, last = Counting(), Counting()
    assert torch.equal(encode_vocabulary(again, ["a", "bb"], key="k"), features)
    assert again.asked == [1, 2]
    encode_vocabulary(last, ["a", "bb"], key="k")
    assert last.asked == [1]


def test_an_unwritable_cache_is_no_error(tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("")
    monkeypatch.setenv("GUIDEGEN_CACHE", str(blocker))
    assert encode_vocabulary(Counting(), ["a", "bb"], key="k").shape == (2, 3)


def test_real_perceptor_through_the_cache(clip, cache):
    texts = [f"thing {i}" for i in range(70)]
    features = encode_vocabulary(clip, texts, key="k")
    assert torch.equal(encode_vocabulary(clip, texts, key="k"), features)
    torch.testing.assert_close(features[69], clip.encode_text(["thing 69"])[0])


# --- ensembles


def test_ensemble(folder, tmp_path):
    other = make_tiny_clip(tmp_path / "me@home", seed=1)
    specs = (f"local-dir:{folder}", f"local-dir:{other}@3")
    ensemble = load_ensemble(specs, device="cpu", precision="fp32")
    assert [weight for _, weight in ensemble] == [0.25, 0.75]
    assert len(ensemble) == 2
    assert ensemble.input_size == 32
    digests = ensemble.digests()
    assert list(digests) == [specs[0], specs[1].removesuffix("@3")]
    assert len(set(digests.values())) == 2
    assert all(isinstance(perceptor, CLIPPerceptor) for perceptor, _ in ensemble)


@pytest.mark.parametrize("weight", ["0", "-1", "nan", "inf", "", "x", "1,5"])
def test_bad_weights(weight):
    with pytest.raises(ConfigError, match="number above 0"):
        load_ensemble([f"ViT-B-32/openai@{weight}"], device="cpu")


def test_specs_that_make_no_sense_together(folder):
    spec = f"local-dir:{folder}"
    with pytest.raises(ConfigError, match="twice"):
        check_specs([spec, f"{spec}@2"])
    with pytest.raises(ConfigError, match="none is given"):
        check_specs([])
    with pytest.raises(ConfigError, match="too big"):
        check_specs([f"{spec}@1e308", "embedded@1e308"])
    check_specs([f"{spec}@0.5", "ViT-B-32/openai", "hf-hub:org/name@2"])


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("vision_cfg", "image_size", 0),
        ("vision_cfg", "image_size", 100_000),
        ("vision_cfg", "image_size", "224"),
        ("vision_cfg", "image_size", [224, 10**9]),
        ("vision_cfg", "patch_size", 0),
        ("vision_cfg", "width", 10**6),
        ("vision_cfg", "layers", 10**5),
        ("text_cfg", "context_length", 10**9),
        ("text_cfg", "vocab_size", 10**8),
        ("text_cfg", "width", -1),
    ],
)
def test_figures_of_a_config_are_checked_before_a_model_is_built(
    tmp_path, monkeypatch, part, key, value
):
    folder = make_tiny_clip(tmp_path / "clip")
    path = folder / CONFIG
    config = json.loads(path.read_text())
    config["model_cfg"][part][key] = value
    path.write_text(json.dumps(config))
    monkeypatch.setattr(
        open_clip_weights.load, "_create", lambda *args, **more: pytest.fail("built")
    )
    with pytest.raises(WeightsError, match=r"is .*, not a number|far larger") as caught:
        load_perceptor(f"local-dir:{folder}", device="cpu")
    assert "\n" not in str(caught.value)
