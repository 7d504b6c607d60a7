"""Classifiers learned from pictures, against scikit-learn's own and the formula of the paper."""

import json
import sys

import numpy as np
import pytest
import torch

import guidegen
from guidegen.errors import ConfigError, WeightsError
from guidegen.zero_shot import probe as module
from guidegen.zero_shot.models import open_clip_model
from guidegen.zero_shot.pictures import encode
from guidegen.zero_shot.probe import apply_probe, draw, load_probe, save_probe, train_probe

LABELS = {"apple": "red", "leaf": "green", "sky": "blue"}


@pytest.fixture
def folder(tmp_path, picture):
    for label, color in LABELS.items():
        for number in range(4):
            picture(tmp_path / "data" / label / f"{number}.png", color, (40 + number, 44))
    return tmp_path / "data"


def features(folder, model):
    paths = sorted(folder.glob("*/*.png"))
    found = torch.stack([each.feature for each in encode(paths, model)])
    return paths, found, np.array([sorted(LABELS).index(path.parent.name) for path in paths])


@pytest.mark.parametrize("count", [2, 3])
def test_a_logistic_probe_is_scikit_learns(tmp_path, folder, tiny, count):
    linear = pytest.importorskip("sklearn.linear_model")
    if count == 2:
        for path in (folder / "sky").iterdir():
            path.unlink()
    model = open_clip_model(tiny)
    paths, rows, owners = features(folder, model)
    theirs = linear.LogisticRegression(C=3.0, max_iter=1000).fit(rows.numpy(), owners)
    probe = load_probe(save_probe(train_probe(folder, c=3.0, perceptor=tiny), tmp_path / "p"))
    wanted = theirs.predict_proba(rows.numpy())
    for each, shares in zip(apply_probe(probe, paths), wanted, strict=True):
        ours = dict(zip(each.labels, each.probabilities, strict=True))
        assert [ours[label] for label in sorted(ours)] == pytest.approx(shares, abs=1e-4)


def test_a_cache_adds_what_is_near_to_the_words(tmp_path, folder, tiny):
    model = open_clip_model(tiny)
    _, rows, owners = features(folder, model)
    words = model.encode_text(sorted(LABELS))
    near = torch.exp(-5.5 * (1 - rows @ rows.T))
    wanted = model.logit_scale * rows @ words.T + near @ torch.eye(3)[owners]
    probe = load_probe(
        save_probe(train_probe(folder, kind="cache", perceptor=tiny), tmp_path / "p")
    )
    assert probe.logits(rows).numpy() == pytest.approx(wanted.numpy(), abs=1e-4)
    plain = model.logit_scale * rows @ words.T
    assert (wanted - plain).std() > 0.01


def test_shots_are_drawn_by_the_seed(folder):
    assert {len(paths) for paths in draw(folder, 2, 0).values()} == {2}
    assert draw(folder, 2, 0) == draw(folder, 2, 0)
    assert any(draw(folder, 2, 0) != draw(folder, 2, seed) for seed in range(1, 6))


def test_a_probe_of_another_model_is_refused(tmp_path, folder, tiny, other):
    probe = train_probe(folder, kind="cache", perceptor=tiny)
    wrong = module.Probe(**{**vars(probe), "perceptor": other})
    with pytest.raises(WeightsError, match="other weights"):
        next(apply_probe(wrong, folder))


def test_what_is_no_probe_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="no probe, or damaged"):
        load_probe(tmp_path / "x")
    with pytest.raises(WeightsError, match="there is no probe"):
        load_probe(tmp_path / "none")


def test_what_can_not_be_learned_is_refused_before_work(tmp_path, folder, picture, monkeypatch):
    monkeypatch.setattr(module, "open_clip_model", lambda *_: pytest.fail("loaded"))
    picture(tmp_path / "one" / "a" / "x.png")
    with pytest.raises(ConfigError, match="at least two folders"):
        train_probe(tmp_path / "one", kind="cache")
    with pytest.raises(ConfigError, match="is no folder"):
        train_probe(tmp_path / "none", kind="cache")
    with pytest.raises(ConfigError, match="at least 1 picture"):
        train_probe(folder, kind="cache", shots=0)
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    with pytest.raises(ConfigError, match=r"guidegen\[tool\]"):
        train_probe(folder)


@pytest.mark.needs("sklearn")
def test_a_trained_probe_guides_a_run(tmp_path, folder, tiny):
    file = save_probe(train_probe(folder, c=100.0, perceptor=tiny), tmp_path / "p.safetensors")
    settings = {
        "generator": "pixels", "size": 16, "steps": 6, "cutouts": 2, "lr": 0.1, "perceptor": tiny,
        "out": tmp_path / "outputs",
    }  # fmt: skip
    given = {
        "loss": ("clip=0", "probe=1"),
        "loss_option": (f"probe.head={file}", "probe.label=sky"),
    }
    plain = guidegen.generate("a", **settings)
    guided = guidegen.generate("a", **settings, **given)
    pictures = [each.run.path / "image.png" for each in (plain, guided)]
    shares = [
        dict(zip(found.labels, found.probabilities, strict=True))["sky"]
        for found in apply_probe(load_probe(file), pictures)
    ]
    assert shares[1] > shares[0] + 0.05
    lines = (guided.run.path / "steps.jsonl").read_text().splitlines()
    losses = [json.loads(line)["losses"]["probe"] for line in lines]
    assert losses[-1] < losses[0]
