"""Prompts of every kind as targets, through one CLIP and through an ensemble of two."""

import json
import math
from dataclasses import replace

import pytest
import torch
from PIL import Image
from torch.nn import functional as F

import guidegen
from guidegen.clip.perceptor import load_ensemble
from guidegen.config import PictureConfig, make_config
from guidegen.engine import generate as engine
from guidegen.engine.build import make_candidate
from guidegen.engine.models import open_session
from guidegen.engine.resolve import batch_key, resolve
from guidegen.errors import ConfigError, InputImageError
from guidegen.guidance.losses.clip import weights_at
from guidegen.guidance.starts.search import prefer
from guidegen.guidance.targets import encode_targets, sample_direction, similarity
from guidegen.interfaces import Candidate
from guidegen.prompt.grammar import parse_prompt
from guidegen.prompt.references import ImagePrompt, NoisePrompt, parse_image_prompt
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture(scope="module")
def specs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    one = make_tiny_clip(folder / "one", seed=1)
    two = make_tiny_clip(folder / "two", seed=2, preprocess={"mean": [0.5, 0.5, 0.5]})
    return (f"local-dir:{one}@3", f"local-dir:{two}@1")


@pytest.fixture(scope="module")
def ensemble(specs):
    return load_ensemble(specs, device="cpu", precision="fp32")


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    pixels = torch.arange(40 * 32 * 3) % 251
    Image.frombytes("RGB", (40, 32), bytes(pixels.tolist())).save(path)
    return path


def candidate(text, seed=0):
    return Candidate(parse_prompt(text), torch.Generator().manual_seed(seed))


def test_paths_given_from_python_keep_their_colons(photo):
    odd = photo.rename(photo.with_name("at 12:30"))
    config = make_config({"prompt": "a", "image_prompt": odd})
    odd.unlink()
    assert parse_image_prompt(config.image_prompt[0]).path == odd


def test_every_kind_is_encoded_by_each_clip(ensemble, photo):
    picture = PictureConfig(
        prompt="a castle | fog:0.3:0.2",
        negative="blur",
        image_prompt=(f"{photo}:0.5", f"{photo}:-0.25:0.1"),
        noise_prompt=("7:0.1", "8"),
    )
    someone = make_candidate(picture, negative_weight=0.5)
    spaces = []
    for perceptor, _ in ensemble:
        (target,) = encode_targets(perceptor, [someone])
        assert target.weights.tolist() == pytest.approx([1, 0.3, -0.5, 0.5, -0.25, 0.1, 1])
        assert target.stops.tolist() == pytest.approx(
            [-math.inf, 0.2, -math.inf, -math.inf, 0.1, -math.inf, -math.inf]
        )
        words = perceptor.encode_text(["a castle", "fog", "blur"])
        assert torch.allclose(target.features[:3], words, atol=1e-6)
        with Image.open(photo) as image:
            raw = torch.tensor(list(image.tobytes())).view(1, 32, 40, 3).permute(0, 3, 1, 2) / 255
        seen = perceptor.encode_image(raw)
        assert torch.allclose(target.features[3:5], seen.expand(2, -1), atol=1e-6)
        for row, seed in ((5, 7), (6, 8)):
            rng = torch.Generator().manual_seed(seed)
            random = F.normalize(torch.randn(words.shape[1], generator=rng), dim=0)
            assert torch.allclose(target.features[row], random, atol=1e-6)
        assert torch.allclose(target.features.norm(dim=1), torch.ones(7), atol=1e-5)
        assert not target.features.requires_grad
        spaces.append(target.features)
    assert not torch.allclose(spaces[0][3], spaces[1][3], atol=1e-2)


def test_noise_does_not_touch_the_candidates_own_numbers():
    rng = torch.Generator().manual_seed(7)
    before = rng.get_state()
    first = sample_direction(NoisePrompt(7), like=torch.zeros(16))
    torch.manual_seed(3)
    assert torch.equal(sample_direction(NoisePrompt(7), like=torch.zeros(16)), first)
    assert not torch.allclose(sample_direction(NoisePrompt(8), like=torch.zeros(16)), first)
    assert torch.equal(rng.get_state(), before)


def test_similarity_is_that_of_the_words_that_were_wanted(ensemble, photo):
    someone = candidate("a castle|fog:0.3|blur:-1")
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    for perceptor, _ in ensemble:
        (target,) = encode_targets(perceptor, [replace(someone, references=(NoisePrompt(7),))])
        wanted = perceptor.encode_text(["a castle", "fog"]).mean(0)
        cosine = F.cosine_similarity(perceptor.encode_image(pixels)[0], wanted, dim=0)
        assert similarity(perceptor, target, pixels, 3) == pytest.approx(float(cosine), abs=1e-5)


def test_templates_are_for_words_only(ensemble, photo):
    references = (ImagePrompt(photo), NoisePrompt(7))
    fox = replace(candidate("fox"), references=references)
    whole = replace(candidate("a photo of fox"), references=references)
    for perceptor, _ in ensemble:
        (one,) = encode_targets(perceptor, [fox])
        (two,) = encode_targets(perceptor, [fox], template="a photo of {}")
        (written,) = encode_targets(perceptor, [whole])
        assert torch.equal(two.features, written.features)
        assert torch.equal(one.features[1:], two.features[1:])
        assert not torch.allclose(one.features[0], two.features[0], atol=1e-3)


def test_imagenets_templates_are_averaged(ensemble):
    from guidegen.clip.templates import apply_template

    perceptor, _ = next(iter(ensemble))
    (target,) = encode_targets(perceptor, [candidate("fox")], template="imagenet")
    texts = apply_template("fox", "imagenet")
    assert len(texts) == 80
    mean = torch.stack([perceptor.encode_text([text])[0] for text in texts]).mean(0)
    assert torch.allclose(target.features[0], F.normalize(mean, dim=0), atol=1e-5)


def test_words_that_are_cut_off_are_said(ensemble, caplog):
    text = " ".join(f"word{i}" for i in range(30))
    for perceptor, _ in ensemble:
        encode_targets(perceptor, [candidate(text)])
    assert caplog.text.count("cut off") == 2
    assert "word29" in caplog.text


def test_a_long_rest_of_a_prompt_is_not_printed_whole(ensemble, caplog):
    text = " ".join(f"word{i}" for i in range(300))
    perceptor, _ = next(iter(ensemble))
    encode_targets(perceptor, [candidate(text)])
    (message,) = caplog.messages
    assert len(message) < 250
    assert "word299" in message


def test_pictures_and_noise_belong_to_all_scenes_of_a_story(ensemble, photo):
    references = (ImagePrompt(photo), NoisePrompt(7, 0.5))
    someone = replace(candidate("a|b"), scenes=(0, 1), references=references)
    perceptor, _ = next(iter(ensemble))
    (target,) = encode_targets(perceptor, [someone])
    assert target.scenes.tolist() == [[1, 0, 1, 1], [0, 1, 1, 1]]
    assert weights_at(target, 0.0).tolist() == [1, 0, 1, 0.5]
    assert weights_at(target, 1.0).tolist() == [0, 1, 1, 0.5]


def quick(specs, out, **fields):
    settings = {"prompt": "a castle|fog:0.3", "generator": "pixels", "perceptor": specs}
    settings |= {"size": 16, "steps": 4, "cutouts": 4, "out": out}
    return make_config({**settings, **fields})


@pytest.mark.slow
def test_each_kind_changes_the_picture_and_the_ensemble_bears_all(specs, tmp_path, photo):
    kinds = {
        "plain": {},
        "image": {"image_prompt": f"{photo}:0.5"},
        "noise": {"noise_prompt": "7:0.5"},
        "negative": {"negative": "blur"},
        "more negative": {"negative": "blur", "negative_weight": 1.0},
        "template": {"template": "a photo of {}"},
        "all": {"image_prompt": f"{photo}:0.5", "noise_prompt": "7:0.5", "negative": "blur"},
    }
    configs = [quick(specs, tmp_path, **fields) for fields in kinds.values()]
    pictures = list(engine.generate(configs, write=False))
    assert len({picture.image.tobytes() for picture in pictures}) == len(kinds)
    for picture in pictures:
        assert all(-1 <= picture.scores[f"similarity {spec[:-2]}"] <= 1 for spec in specs)


@pytest.mark.slow
def test_an_image_prompt_draws_towards_the_image(specs, ensemble, photo):
    fields = {"prompt": "a:0.01", "generator": "pixels", "size": 32, "steps": 40, "lr": 0.05}
    fields |= {"perceptor": specs[:1], "out": None, "cutouts": 8, "seed": 3}
    pulled = guidegen.generate(**fields, image_prompt=photo)
    plain = guidegen.generate(**fields, image_prompt=f"{photo}:0.0001")
    perceptor, _ = next(iter(ensemble))

    def seen(image):
        raw = torch.tensor(list(image.resize((32, 32)).tobytes())).view(1, 32, 32, 3)
        return perceptor.encode_image(raw.permute(0, 3, 1, 2) / 255)[0]

    with Image.open(photo) as image:
        wanted = seen(image)
    assert seen(pulled.image) @ wanted > seen(plain.image) @ wanted + 0.1


def test_missing_and_broken_pictures_are_refused_before_any_work(specs, tmp_path):
    config = quick(specs, tmp_path / "out", image_prompt="none.png:0.5")
    with pytest.raises(InputImageError, match=r"no image prompt at none\.png"):
        next(engine.generate([config]))
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    config = quick(specs, tmp_path / "out", image_prompt=str(broken))
    with pytest.raises(InputImageError, match="can't be read"):
        next(engine.generate([config]))
    assert not (tmp_path / "out").exists()


def test_the_digest_is_over_the_pictures_content(tmp_path, photo):
    first = make_config({"prompt": "a", "image_prompt": f"{photo}:0.5"})
    digest = first.digest()
    copy = tmp_path / "elsewhere.png"
    copy.write_bytes(photo.read_bytes())
    assert make_config({"prompt": "a", "image_prompt": f"{copy}:0.5"}).digest() == digest
    assert make_config({"prompt": "a", "image_prompt": f"{copy}:0.6"}).digest() != digest
    assert make_config({"prompt": "a", "image_prompt": f"{copy}:0.5:0.1"}).digest() != digest
    assert make_config({"prompt": "a"}).digest() != digest
    Image.new("RGB", (8, 8)).save(photo)
    assert first.digest() != digest


def test_noise_on_big_sleeps_cutouts_is_refused_before_any_work(specs, tmp_path):
    config = quick(specs, tmp_path / "out", cutout_method="big-sleep", cutout_noise=0.1)
    with pytest.raises(ConfigError, match="no noise"):
        next(engine.generate([config]))
    assert engine.resolve(quick(specs, tmp_path, cutout_method="big-sleep")).cutout_noise == 0
    assert engine.resolve(quick(specs, tmp_path)).cutout_noise == 0.1


@pytest.mark.slow
@pytest.mark.parametrize("method", ["views", "big-sleep", "vqgan-clip"])
def test_every_cutout_method_makes_the_same_picture_again(specs, tmp_path, method):
    config = quick(specs, tmp_path, cutout_method=method)
    other = quick(specs, tmp_path, cutout_method=method, seed=1)
    (alone,) = engine.generate([config], write=False)
    _, again = engine.generate([other, config], write=False)
    assert alone.image.tobytes() == again.image.tobytes()


def test_the_run_keeps_all_of_it(specs, tmp_path, photo):
    fields = {"image_prompt": f"{photo}:0.5", "noise_prompt": "7:0.1", "negative": "blur"}
    config = quick(specs, tmp_path / "out", **fields)
    (picture,) = engine.generate([config])
    kept = json.loads((picture.run.path / "run.json").read_text())
    assert kept["config"]["image_prompt"] == [f"{photo}:0.5"]
    assert kept["config"]["noise_prompt"] == ["7:0.1"]
    assert f"--image-prompt {photo}:0.5 --noise-prompt 7:0.1" in kept["command"]
    (again,) = engine.generate([config])
    assert again.reused


@pytest.mark.slow
def test_pictures_with_references_of_their_own_advance_together_as_they_would_alone(specs, photo):
    settings = {
        "prompt": "a fox", "generator": "pixels", "size": "16", "steps": 2, "cutouts": 2,
        "device": "cpu", "perceptor": specs, "seed": 3,
    }  # fmt: skip
    own = [{"noise_prompt": "7:0.5"}, {"image_prompt": f"{photo}:0.5"}, {}]
    configs = [make_config({**settings, **each}) for each in own]
    assert len({batch_key(resolve(config)) for config in configs}) == 1
    together = [picture.image for picture in engine.generate(configs, write=False)]
    for config, image in zip(configs, together, strict=True):
        (alone,) = engine.generate([config], write=False)
        assert alone.image.tobytes() == image.tobytes()
    assert len({image.tobytes() for image in together}) == 3


def test_a_picture_may_stand_in_place_of_words(specs, photo):
    fields = {"generator": "pixels", "size": 16, "steps": 2, "cutouts": 2, "perceptor": specs[:1]}
    drawn = guidegen.generate("", **fields, image_prompt=photo, out=None)
    assert drawn.config.title == f"like {photo.stem}"
    assert all(-1 <= score <= 1 for score in drawn.scores.values())
    noisy = guidegen.generate("", **fields, noise_prompt="7:1", negative="a", out=None)
    assert drawn.scores != noisy.scores


@pytest.mark.slow
def test_the_collage_lays_what_is_like_the_picture(tmp_path):
    words = {"size": 64, "steps": 0, "cutouts": 2, "starts": 1, "out": tmp_path}
    apple = guidegen.generate("a red apple", **words)
    again = guidegen.generate("", **words, image_prompt=apple.path)
    assert again.run.path.name.startswith("like-image-0-")
    (phrase,) = prefer(*_of(again.config))[0].phrases
    assert "apple" in phrase.text


def _of(config):
    session = open_session(resolve(config))
    candidate = make_candidate(config, negative_weight=0.5)
    return session.ensemble, session.generator.vocabulary, [candidate]
