"""Image training from scratch on a handful of shapes."""

import open_clip
import pytest
import torch
from torch import nn

from guidegen.errors import DataError, WeightsError
from guidegen.training.clip import evaluate, objective, tower, train_run
from guidegen.training.clip import model as clip
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.trainer import TrainConfig, Trainer
from guidegen.training.data.dataset import CaptionedImages, Record

pytestmark = pytest.mark.slow

CPU = torch.device("cpu")


@pytest.fixture
def small(monkeypatch):
    """The architecture with one text layer and a small vocabulary of features."""
    text = {**clip.ARCHITECTURE["text_cfg"], "layers": 1, "width": 32, "heads": 2}
    monkeypatch.setattr(
        clip, "ARCHITECTURE", {**clip.ARCHITECTURE, "embed_dim": 16, "text_cfg": text}
    )


def make_trainer(train_set, state_file, **settings):
    options = {
        "steps": 4, "head_steps": 2, "batch": 8, "size": 32, "early_size": 32, "unfreeze_from": 6,
        "save_every": 2, **settings,
    }  # fmt: skip
    source = SceneBatches(*train_set, seed=0)
    model = train_run.start_model(None, "none", source, 0, CPU)
    return Trainer(model, source, TrainConfig(**options), state_file=state_file)


def test_head_first_then_the_late_stages(small, train_set, tmp_path):
    trainer = make_trainer(train_set, tmp_path / "s", pretrained=True)
    trunk = trainer.model.visual.trunk
    run = trainer.run()

    def snapshot():
        return {
            "early": trunk.blocks[2][0].conv_pw.weight.detach().clone(),
            "late": trunk.conv_head.weight.detach().clone(),
            "kernel": trunk.blocks[6][0].conv_dw.weight.detach().clone(),
            "head": trainer.model.visual.head.proj.weight.detach().clone(),
            "statistics": trunk.bn1.running_mean.clone(),
        }

    def changed(a, b):
        return {k for k in a if not torch.equal(a[k], b[k])}

    start = snapshot()
    losses = next(run)
    next(run)
    head = snapshot()
    list(run)
    assert {"pairs", "bank"} <= set(losses)
    assert changed(start, head) == {"head"}
    assert changed(head, snapshot()) == {"head", "late"}


def test_resumed_equals_uninterrupted(small, train_set, tmp_path):
    settings = {"pretrained": False, "head_steps": 0, "unfreeze_from": 0, "train_text": True}
    whole = make_trainer(train_set, tmp_path / "whole", **settings)
    losses = list(whole.run())
    assert len(losses) == 4
    assert "bank" not in losses[0]  # while the text tower changes

    killed = make_trainer(train_set, tmp_path / "killed", **settings)
    run = killed.run()
    for _ in range(3):  # dies one step after the checkpoint of step 2
        next(run)
    resumed = make_trainer(train_set, tmp_path / "killed", **settings)
    assert resumed.step == 2
    list(resumed.run())
    for (name, a), b in zip(whole.ema_state().items(), resumed.ema_state().values(), strict=True):
        assert torch.equal(a, b), name


def test_run_writes_a_model_that_open_clip_loads(small, shapes, tmp_path):
    out = tmp_path / "model"
    config = TrainConfig(
        steps=2, head_steps=0, batch=8, size=32, early_size=32, pretrained=False, train_text=True,
        unfreeze_from=0,
    )  # fmt: skip
    scores = train_run.run(
        shapes, out, text=None, image_init="none", tower=clip.TOWER, config=config,
        state_file=tmp_path / "s", evaluate_every=100, seed=0, device="cpu",
    )  # fmt: skip
    assert [s.split for s in scores] == ["val", "val_concept", "train"]
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{out}")
    assert next(model.parameters()).dtype == torch.float32
    assert model.visual.preprocess_cfg["mean"] == [0.5, 0.5, 0.5]
    assert preprocess is not None
    tokens = open_clip.get_tokenizer(f"local-dir:{out}")(["a red circle"])
    assert tokens.shape == (1, clip.CONTEXT)
    assert model.encode_text(tokens).shape == (1, 16)
    with pytest.raises(WeightsError, match="not a model folder"):
        clip.load_model(tmp_path)


def test_saving_keeps_the_model_card(small, tmp_path):
    out = tmp_path / "model"
    clip.save_model(clip.new_model(), out)
    (out / "README.md").write_text("card")
    clip.save_model(clip.new_model(), out)
    assert sorted(p.name for p in out.iterdir()) == ["README.md", clip.CONFIG, clip.WEIGHTS]
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_unknown_start(small, train_set):
    with pytest.raises(DataError, match="imagenet or none"):
        train_run.start_model(None, "magic", SceneBatches(*train_set, seed=0), 0, CPU)


def test_contrastive_ignores_the_same_thing():
    image = torch.eye(4)
    text = torch.eye(4)
    text[1] = text[0]  # the second caption says the same as the first
    concepts = torch.tensor([[0, -1], [0, -1], [2, 3], [5, -1]])
    scale = torch.tensor(50.0)
    masked = objective.contrastive(image, text, concepts, scale)
    different = objective.contrastive(image, text, torch.arange(8).view(4, 2), scale)
    assert masked < different


def test_bank_loss_takes_both_things():
    bank = torch.eye(6)
    targets = objective.soft_bank_targets(bank, share=0.3)
    assert torch.allclose(targets.float().sum(1), torch.ones(6), atol=1e-2)
    assert float(targets[0, 0]) > 0.99
    both = torch.tensor([[0.0, 1, 1, 0, 0, 0]]) / 2**0.5
    scale = torch.tensor(20.0)
    right, wrong = (
        objective.bank_loss(both, bank, targets, torch.tensor([pair]), scale)
        for pair in ([1, 2], [3, 4])
    )
    assert right < wrong


def test_contradiction_wants_the_right_text_nearer():
    image, scale = torch.eye(2), torch.tensor(20.0)
    right, wrong = (
        objective.contradiction(image, a, b, scale) for a, b in ((image, -image), (-image, image))
    )
    assert right < 1e-6
    assert wrong == pytest.approx(40, abs=1e-3)


def test_float32_kernels_give_the_same_values():
    torch.manual_seed(0)
    convolution = nn.Conv2d(8, 8, 3, stride=2, padding=1, groups=8)
    x = torch.randn(2, 8, 16, 16).bfloat16().float()
    plain = convolution(x)
    tower.run_in_float32([convolution])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = convolution(x)
    assert torch.equal(out, plain)


def test_features_equal_open_clip(small):
    model = clip.new_model().eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        ours = tower.features(model.visual, images, first=0)
        theirs = model.encode_image((images - 0.5) / 0.5)
    assert torch.nn.functional.cosine_similarity(ours, theirs).min() > 0.99


def test_draws_have_distinct_concepts_and_are_filled():
    records = [Record(file="", caption=f"thing {i // 2}", concept=str(i // 2)) for i in range(20)]
    fill = [Record(file="", caption=f"other {i}", concept=f"o{i}") for i in range(100)]
    positions, captions = evaluate.draw(records, fill, seed=0, ways=30)
    assert len(positions) == 10
    assert len(captions) == len(set(captions)) == 30
    assert [records[p].caption for p in positions] == captions[:10]
    assert evaluate.draw(records, fill, seed=0, ways=30) == (positions, captions)


def test_retrieval_of_perfect_features(shapes):
    data = CaptionedImages(shapes)
    chosen = evaluate.eligible(data.records, "val")
    assert len(chosen) == 4
    captions = list(dict.fromkeys(r.caption for r in data))
    texts = dict(zip(captions, torch.eye(len(captions)), strict=True))
    fill = [r for r in data if r.split == "train"]
    images = torch.stack([texts[r.caption] for r in chosen])
    score = evaluate.retrieval(images, texts, chosen, fill, "val")
    assert (score.top1, score.top5, score.items) == (1.0, 1.0, 4)
    assert evaluate.retrieval(-images, texts, chosen, fill, "val").top1 == 0.0
