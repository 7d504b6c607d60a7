"""The text tower: corpus, targets, cropping, distillation. A fake teacher stands in for MiniLM."""

import random

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from guidegen.errors import DataError
from guidegen.training.clip import distil
from guidegen.training.clip import model as clip
from guidegen.training.data import corpus
from guidegen.training.data.dataset import CaptionedImages

WIDTH = 384


def fake_teacher(texts):
    rows = [
        torch.randn(WIDTH, generator=torch.Generator().manual_seed(sum(map(ord, t)))) for t in texts
    ]
    return F.normalize(torch.stack(rows), dim=-1)


@pytest.fixture
def small(monkeypatch):
    """The architecture at a fraction of its size."""
    text = {**clip.ARCHITECTURE["text_cfg"], "layers": 1, "width": 64, "heads": 2}
    monkeypatch.setattr(clip, "ARCHITECTURE", {**clip.ARCHITECTURE, "text_cfg": text})
    torch.manual_seed(0)
    return clip.new_model()


def test_text_trunk_equals_open_clip(small):
    tokens = clip.tokenize(clip.new_tokenizer(), ["a cat", "a red dog next to a blue house"])
    with torch.no_grad():
        ours = clip.text_trunk(small, tokens) @ small.text_projection
        theirs = small.encode_text(tokens.long())
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_targets_are_filled_once_and_go_on_after_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(distil, "CHUNK", 4)
    texts = [f"text {i}" for i in range(10)]
    calls = []

    def dying(part):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(part)
        return fake_teacher(part)

    cache = distil.TargetCache(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        cache.fill(texts, dying, WIDTH)
    rest = []
    cache.fill(texts, lambda part: rest.extend(part) or fake_teacher(part), WIDTH)
    assert sorted(rest) == ["text 8", "text 9"]
    np.testing.assert_allclose(cache.features(), fake_teacher(texts).numpy(), atol=1e-3)
    assert cache.texts() == texts


@pytest.mark.slow
def test_distillation_learns_and_resumes(small, tmp_path):
    texts = [f"{c} {n}" for c in corpus.COLOURS for n in ("cat", "dog", "house", "tree")]
    tokens = clip.tokenize(clip.new_tokenizer(), texts)
    targets = fake_teacher(texts).numpy().astype(np.float16)
    start = {k: v.clone() for k, v in small.state_dict().items()}
    options = {"batch": 16, "lr": 2e-3, "seed": 0, "device": torch.device("cpu"), "save_every": 3}

    before = distil.compare(small, tokens, targets).cosine
    whole = list(
        distil.distil(small, tokens, targets, steps=6, state_file=tmp_path / "a", **options)
    )
    assert [step for step, _ in whole] == [1, 2, 3, 4, 5, 6]
    assert distil.compare(small, tokens, targets).cosine > before
    wanted = small.text_projection.detach().clone()

    small.load_state_dict(start)
    run = distil.distil(small, tokens, targets, steps=6, state_file=tmp_path / "b", **options)
    for _ in range(4):
        next(run)  # dies one step after the checkpoint of step 3
    run.close()
    small.load_state_dict(start)
    list(distil.distil(small, tokens, targets, steps=6, state_file=tmp_path / "b", **options))
    assert torch.equal(small.text_projection, wanted)


def test_words_start_from_the_teacher(small):
    words = clip.word_tokens(clip.new_tokenizer())
    names = ["cat", "dog", *(w for w in list(words)[:400] if len(w) > 2)]
    features = fake_teacher(names)
    distil.start_from_words(small, {words[n]: i for i, n in enumerate(names)}, features)
    back = small.token_embedding.weight[words["dog"]] @ small.text_projection
    assert F.cosine_similarity(back, features[1], dim=0) > 0.3


def test_loss_is_least_for_the_teacher_itself():
    target = fake_teacher([str(i) for i in range(8)])
    other = fake_teacher([str(i) for i in range(8, 16)])
    assert float(distil.distil_loss(3 * target, target)) == pytest.approx(0, abs=1e-4)
    assert float(distil.distil_loss(other, target)) > 1


@pytest.fixture
def wordnet(tmp_path):
    """Three synsets in the format of wndb(5WN)."""
    (tmp_path / "data.noun").write_text(
        "  1 licence text\n"
        '00000001 05 n 02 dog 0 domestic_dog 0 000 | a domestic animal; "the dog barked"  \n'
        "00000002 09 n 01 idea 0 000 | a thought  \n"
    )
    (tmp_path / "index.noun").write_text(
        "  1 licence\ndog n 1 0 1 3 00000001\nidea n 1 0 1 0 00000002\n"
    )
    (tmp_path / "data.verb").write_text("00000003 38 v 01 run 0 000 | move fast  \n")
    (tmp_path / "index.verb").write_text("run v 1 1 @ 1 5 00000003\n")
    for name in ("data.adj", "index.adj", "data.adv", "index.adv"):
        (tmp_path / name).write_text("")
    return tmp_path


def test_wordnet(wordnet):
    read = corpus.read_wordnet(wordnet)
    assert read.lemmas == ["dog", "domestic dog", "idea", "run"]
    assert read.glosses[0] == ("dog", "a domestic animal")
    assert read.things == ["dog"]
    assert read.actions == ["run"]
    with pytest.raises(DataError, match="wordnet-base"):
        corpus.read_wordnet(wordnet / "missing")


def test_corpus_is_the_same_each_time(shapes, wordnet):
    def build():
        return corpus.build_corpus(
            CaptionedImages(shapes).records, corpus.read_wordnet(wordnet), ["hello"], ["tench"],
            sentences=50, glosses=2, seed=0,
        )  # fmt: skip

    texts = build()
    assert texts == build()
    assert len(texts) == len(set(texts))
    assert {"red circle", "shape", "hello", "tench", "domestic dog", "run"} <= set(texts)


@pytest.mark.parametrize(
    ("verb", "form"),
    [("run", "running"), ("ride", "riding"), ("see", "seeing"), ("look up", "looking up")],
)
def test_present_participle(verb, form):
    assert corpus.present_participle(verb) == form


def test_sentences_use_what_they_are_given():
    maker = corpus.SentenceMaker(["dog"], ["moon"], ["run"])
    rng = random.Random(0)
    said = [maker.sentence(rng) for _ in range(50)]
    assert all("dog" in s or "moon" in s for s in said)
    assert any("running" in s for s in said)
