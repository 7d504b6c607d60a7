"""The benchmark of quality: what it draws, judges, keeps and reports."""

import json
from functools import partial

import open_clip
import pytest
import torch
from PIL import Image
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import normalize, pad, pil_to_tensor, resize

from guidegen.errors import WeightsError
from guidegen.prompt.grammar import parse_prompt
from tests.benchmarks import quality
from tests.benchmarks.hps import HumanPreference
from tests.benchmarks.suites import SuiteError, as_written, read_suite
from tests.helpers.tiny_clip import MODEL, make_tiny_clip


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two of three prompts of a suite, drawn and reported; the folder and the words that did it."""
    folder = tmp_path_factory.mktemp("quality")
    suite = folder / "suite.tsv"
    suite.write_text("Prompt\tCategory\na <fox>: 2\tAnimals\na red cup\tThings\na hill\tPlaces\n")
    guide, judge = (make_tiny_clip(folder / f"clip{seed}", seed=seed) for seed in (1, 2))
    words = ["--suite", "parti", "--suite-file", str(suite), "--generator", "pixels"]
    words += ["--perceptor", f"local-dir:{guide}", "--judge", f"local-dir:{judge}"]
    words += ["--set", "size=16", "--set", "steps=1", "--set", "cutouts=1", "--set", "starts=1"]
    words += ["--prompts", "2", "--out", str(folder / "out")]
    assert quality.main(words) == 0
    return folder / "out", words


def test_the_report_has_every_picture_and_its_place_among_all_prompts(drawn):
    folder, _ = drawn
    found = json.loads((folder / "report.json").read_text())
    assert [one["prompt"] for one in found["pictures"]] == ["a <fox>: 2", "a red cup"]
    assert (found["ranked_among"], found["whole"]["pictures"]) == (3, 2)
    assert list(found["categories"]) == ["Animals", "Things"]
    for one in found["pictures"]:
        assert one["first"] == (one["place"] == 1) == (one["best"] == one["prompt"])
        assert min(one["seconds"], one["megabytes"]) > 0
    mean = sum(one["cosine"] for one in found["pictures"]) / 2
    assert found["whole"]["clip_score"][0] == pytest.approx(100 * mean)
    page = (folder / "report.html").read_text()
    assert "a &lt;fox&gt;: 2" in page
    for one in found["pictures"]:
        for path in (f"pictures/{one['name']}.png", f"thumbs/{one['name']}.webp"):
            assert path in page
            assert (folder / path).is_file()


def test_what_is_there_is_not_drawn_again(drawn, monkeypatch):
    folder, words = drawn
    before = json.loads((folder / "report.json").read_text())
    # what a kill in the middle of a line leaves
    with (folder / "results.jsonl").open("a") as file:
        file.write('{"key": "cut of')
    monkeypatch.setattr(quality, "generate", lambda *a, **k: pytest.fail("drawn again"))
    assert quality.main(words) == 0
    assert json.loads((folder / "report.json").read_text()) == before


def test_a_judge_that_guides_is_refused(tmp_path, capsys):
    words = ["--perceptor", "embedded@0.5", "--judge", "embedded", "--out", str(tmp_path / "out")]
    assert quality.main(words) == 2
    assert "embedded guides the pictures" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("drawbench", None, "they do not ship"),
        ("parti", "Text\na\nb\nc\n", "no column Prompt"),
        ("parti", "Prompt\na\na\nb\n", "has 2 prompts"),
    ],
)
def test_a_suite_that_can_not_be_used_is_refused_in_a_line(name, text, why, tmp_path):
    path = tmp_path / "suite.csv"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SuiteError, match=why):
        read_suite(name, path if text is not None else None)


def test_the_benchmark_of_human_preference_has_four_styles(tmp_path):
    for style in ("anime", "concept-art", "paintings", "photo"):
        (tmp_path / f"{style}.json").write_text(json.dumps([f"a {style}", "a fox"]))
    (tmp_path / "drawbench.json").write_text('["a cat"]')
    found = read_suite("hpd", tmp_path)
    assert found["a photo"] == "photo"
    assert found["a fox"] == "anime"  # a prompt that repeats counts once
    assert len(found) == 5
    (tmp_path / "photo.json").write_text('{"prompt": 1}')
    with pytest.raises(SuiteError, match=r"photo\.json is no list"):
        read_suite("hpd", tmp_path)
    (tmp_path / "photo.json").unlink()
    with pytest.raises(SuiteError, match=r"can't read .*photo\.json"):
        read_suite("hpd", tmp_path)


def test_prompts_of_suites_mean_themselves():
    for text in ("a sign: 3", "one | two", r"a \ slash", "2^3"):
        (only,) = parse_prompt(as_written(text))
        assert (only.text, only.weight) == (text, 1.0)


@pytest.fixture(scope="module")
def preference_weights(tmp_path_factory):
    """A checkpoint in the form of HPS v2's, of a tiny architecture; its path and its model."""
    folder = tmp_path_factory.mktemp("hps")
    (folder / "tiny-preference.json").write_text(json.dumps(MODEL))
    open_clip.add_model_config(folder)
    model = open_clip.CLIP(**MODEL)
    path = folder / "HPS_v2.1_compressed.pt"
    torch.save({"state_dict": model.state_dict()}, path)
    return path, model.eval()


def test_human_preference_is_the_cosine_of_the_whole_picture_padded_with_black(preference_weights):
    path, model = preference_weights
    image = Image.effect_noise((64, 32), 60).convert("RGB")
    scored = HumanPreference(path, "tiny-preference").score(image, "a cup")
    picture = pil_to_tensor(image)[None].float() / 255
    picture = resize(picture, [16, 32], interpolation=InterpolationMode.BICUBIC)
    picture = pad(picture, [0, 8, 0, 8])
    mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    with torch.no_grad():
        of_picture = model.encode_image(normalize(picture, mean, std), normalize=True)
        tokens = open_clip.get_tokenizer("tiny-preference")(["a cup"])
        of_text = model.encode_text(tokens, normalize=True)
    assert scored == pytest.approx(100 * float(of_picture @ of_text.T), abs=1e-3)


def test_pictures_that_are_there_get_a_human_preference(drawn, preference_weights, monkeypatch):
    folder, words = drawn
    path, _ = preference_weights
    monkeypatch.setattr(quality, "generate", lambda *a, **k: pytest.fail("drawn again"))
    tiny = partial(HumanPreference, architecture="tiny-preference")
    monkeypatch.setattr(quality, "HumanPreference", tiny)
    assert quality.main([*words, "--hps", str(path)]) == 0
    found = json.loads((folder / "report.json").read_text())
    scores = [one["hps"] for one in found["pictures"]]
    assert found["whole"]["hps"][0] == pytest.approx(sum(scores) / 2)
    assert "HPS_v2.1_compressed.pt" in (folder / "report.html").read_text()
    # the second time they are read
    monkeypatch.setattr(quality, "HumanPreference", lambda *a: pytest.fail("scored again"))
    assert quality.main([*words, "--hps", str(path)]) == 0
    again = json.loads((folder / "report.json").read_text())
    assert [one["hps"] for one in again["pictures"]] == scores


@pytest.mark.parametrize("content", [None, b"no checkpoint", {"weights": {}}])
def test_a_file_that_is_no_human_preference_is_refused_before_drawing(content, tmp_path, capsys):
    path = tmp_path / "HPS.pt"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    words = ["--hps", str(path), "--preset", "paint", "--out", str(tmp_path / "out")]
    assert quality.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"can't read {path} as HPS v2" in line


def test_another_model_is_refused_in_a_line(preference_weights, tmp_path):
    state = {"wrong": torch.zeros(1)}
    path = tmp_path / "HPS.pt"
    torch.save({"state_dict": state}, path)
    with pytest.raises(WeightsError, match="is no tiny-preference") as caught:
        HumanPreference(path, "tiny-preference")
    assert "\n" not in str(caught.value)
