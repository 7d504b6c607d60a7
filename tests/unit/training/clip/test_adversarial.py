"""Retrieval under attack, with an untrained model on a handful of shapes."""

import pytest
import torch

from guidegen.training.clip import adversarial, evaluate
from guidegen.training.clip import model as clip
from guidegen.training.data.dataset import CaptionedImages


@pytest.fixture
def scored(shapes, tmp_path, monkeypatch):
    text = {**clip.ARCHITECTURE["text_cfg"], "layers": 1, "width": 32, "heads": 2}
    monkeypatch.setattr(
        clip, "ARCHITECTURE", {**clip.ARCHITECTURE, "embed_dim": 16, "text_cfg": text}
    )
    torch.manual_seed(0)
    clip.save_model(clip.new_model(), tmp_path / "model")
    model, tokenizer = clip.load_model(tmp_path / "model")
    return model, tokenizer, evaluate.Evaluator(CaptionedImages(shapes), sample=4)


@pytest.mark.slow
def test_an_attack_lowers_the_share_of_right_answers(scored):
    model, tokenizer, evaluator = scored
    hard = adversarial.retrieval(model, tokenizer, evaluator, eps=4.0, steps=3, draws=1)
    clean = adversarial.retrieval(model, tokenizer, evaluator, eps=1e-6, steps=1, draws=1)
    assert hard.items == clean.items > 1
    assert hard.ways == clean.ways
    assert hard.top1 <= clean.top1
    assert "3 L2 steps of eps 4" in hard.split
