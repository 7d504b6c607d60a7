"""Adversarial fine-tuning of a tiny model on a handful of shapes."""

import copy
import json

import pytest
import torch
from torch.nn import functional as F

from guidegen.errors import WeightsError
from guidegen.training.clip import model as clip
from guidegen.training.clip import robust_run
from guidegen.training.clip.batches import SceneBatches
from guidegen.training.clip.robust import RobustConfig, RobustTrainer
from guidegen.training.clip.robust_tower import RobustTower
from tests.helpers.tiny_clip import make_tiny_clip


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An untrained model with one text layer and few features."""
    text = {**clip.ARCHITECTURE["text_cfg"], "layers": 1, "width": 32, "heads": 2}
    small = {**clip.ARCHITECTURE, "embed_dim": 16, "text_cfg": text}
    monkeypatch.setattr(clip, "ARCHITECTURE", small)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = clip.new_model()
        # statistics and factors as a trained model has them, which folding must keep
        for module in model.visual.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.data.uniform_(0.8, 1.2)
                module.bias.data.normal_(0, 0.1)
        clip.save_model(model, tmp_path / "start")
    return tmp_path / "start"


def config(**fields):
    return RobustConfig(
        **{
            "steps": 4, "sizes": (32, 64), "shares": (0.5, 0.5), "batch": 8, "eps_warmup": 2,
            "save_every": 2, **fields,
        }
    )  # fmt: skip


def trainer(folder, train_set, state, **fields):
    model, _ = clip.load_model(folder)
    source = SceneBatches(*train_set, seed=0)
    return RobustTrainer(model, source, config(**fields), state_file=state)


def test_sizes_attacks_and_pictures_follow_the_schedule():
    plan = RobustConfig(steps=100, eps=1.0, eps_warmup=40)
    assert [plan.size(step) for step in (0, 59, 60, 84, 85, 99)] == [64, 64, 96, 96, 128, 128]
    assert [plan.pictures(step) for step in (0, 60, 99)] == [128, 57, 32]
    # in proportion to the side, and an eighth at first
    assert plan.radius(0) == pytest.approx(0.125 * 64 / 128)
    assert plan.radius(99) == pytest.approx(1.0)


@pytest.mark.slow
def test_the_tower_is_that_of_open_clip_before_training_and_after_it_is_written_back(folder):
    model, _ = clip.load_model(folder)
    pictures = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))

    def plain(visual):
        with torch.no_grad():
            return F.normalize(visual((pictures - 0.5) / 0.5), dim=-1)

    before = plain(model.visual)
    tower = RobustTower(model.visual)
    with torch.no_grad():
        torch.testing.assert_close(tower(pictures), before, atol=1e-4, rtol=1e-3)
        for number, weight in enumerate(tower.parameters()):
            rng = torch.Generator().manual_seed(number)
            weight.mul_(1 + 0.1 * torch.randn(weight.shape, generator=rng))
        changed = tower(pictures)
    assert not torch.allclose(changed, before, atol=1e-2)
    torch.testing.assert_close(plain(model.visual), before)  # until now the model is as it was
    other = copy.deepcopy(model.visual)
    tower.write_into(other)
    torch.testing.assert_close(plain(other), changed, atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_only_what_is_meant_to_train_does(folder, train_set, tmp_path):
    ours = trainer(folder, train_set, tmp_path / "s", steps=1, sizes=(32,), shares=(1.0,))
    text = ours.model.token_embedding.weight.clone()
    kernel = ours.tower.tower.blocks[0].mix.weight.clone()
    stem = ours.tower.tower.stem.weight.detach().clone()
    (losses,) = ours.run()
    assert {"pairs", "bank", "fare", "top1"} == set(losses)
    assert torch.equal(ours.model.token_embedding.weight, text)
    assert torch.equal(ours.tower.tower.blocks[0].mix.weight, kernel)
    assert not torch.equal(ours.tower.tower.stem.weight, stem)


@pytest.mark.slow
def test_the_clean_pictures_original_embedding_is_what_fare_measures(folder, train_set, tmp_path):
    # an attack of no size on a tower that has not trained yet leaves nothing between the two
    still = trainer(folder, train_set, tmp_path / "s", steps=1, eps=1e-9)
    assert next(still.run())["fare"] == pytest.approx(0, abs=1e-3)
    hard = trainer(folder, train_set, tmp_path / "t", steps=1, eps=20.0, eps_warmup=0)
    assert next(hard.run())["fare"] > 1e-3


def equals_one_that_is_resumed(whole, make):
    """A finished training ends where one does that was killed and goes on."""
    run = make().run()
    for _ in range(3):  # dies one step after the checkpoint of step 2
        next(run)
    resumed = make()
    assert resumed.step == 2
    list(resumed.run())
    ours, theirs = whole.averaged_model().state_dict(), resumed.averaged_model().state_dict()
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name


@pytest.mark.slow
def test_resumed_equals_uninterrupted(folder, train_set, tmp_path):
    whole = trainer(folder, train_set, tmp_path / "whole")
    list(whole.run())
    equals_one_that_is_resumed(whole, lambda: trainer(folder, train_set, tmp_path / "killed"))


@pytest.mark.slow
def test_the_command_writes_a_model_and_its_curves(folder, shapes, tmp_path):
    out = tmp_path / "robust"
    scores = robust_run.run(
        shapes, out, start=folder, state_file=tmp_path / "s",
        config=config(steps=2, sizes=(32,), shares=(1.0,)), evaluate_every=1, seed=0, device="cpu",
    )  # fmt: skip
    lines = [json.loads(line) for line in (out / "curves.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2]
    assert {"val-top1", "val_concept-top5", "adversarial-top1", "fare", "eps"} <= set(lines[0])
    assert any("L2 steps" in str(score) for score in scores)
    model, _ = clip.load_model(out)
    start, _ = clip.load_model(folder)
    assert torch.equal(model.token_embedding.weight, start.token_embedding.weight)
    assert not torch.equal(model.visual.trunk.conv_stem.weight, start.visual.trunk.conv_stem.weight)


def test_a_model_that_is_no_efficientnet_lite_is_refused_in_one_line(shapes, tmp_path):
    other = make_tiny_clip(tmp_path / "vit")
    with pytest.raises(WeightsError, match="no EfficientNet-Lite") as caught:
        robust_run.run(
            shapes, tmp_path / "out", start=other, state_file=tmp_path / "s", config=config(),
            evaluate_every=1, seed=0, device="cpu",
        )  # fmt: skip
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_training_may_begin_with_a_tower_that_is_robust_already(folder, train_set, tmp_path):
    model, _ = clip.load_model(folder)
    other = copy.deepcopy(model.visual)
    with torch.no_grad():
        other.head.proj.weight.mul_(-1)
    source = SceneBatches(*train_set, seed=0)
    made = RobustTrainer(model, source, config(), state_file=tmp_path / "s", begin=other)
    pictures = torch.rand(2, 3, 32, 32)
    plain = F.normalize(made.original((pictures - 0.5) / 0.5), dim=-1)
    assert torch.allclose(made.tower(pictures), -plain, atol=1e-4)


def network_trainer(folder, train_set, state, **fields):
    texts, _ = clip.load_model(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = clip.new_model("test_resnet")
    source = SceneBatches(*train_set, seed=0)
    return RobustTrainer(
        texts, source, config(texts=50, **fields), state_file=state, network=network
    )


@pytest.mark.slow
def test_another_network_is_trained_whole_and_goes_on_as_it_was(folder, train_set, tmp_path):
    whole = network_trainer(folder, train_set, tmp_path / "whole")
    before = {name: value.clone() for name, value in whole.tower.named_parameters()}
    list(whole.run())
    assert all(not torch.equal(value, before[n]) for n, value in whole.tower.named_parameters())
    equals_one_that_is_resumed(
        whole, lambda: network_trainer(folder, train_set, tmp_path / "killed")
    )


@pytest.mark.slow
def test_an_attack_leaves_the_statistics_of_batch_norm_alone(folder, train_set, tmp_path):
    ours = network_trainer(folder, train_set, tmp_path / "s", attack_steps=3, steps=1)
    list(ours.run())
    counts = {b.item() for n, b in ours.tower.named_buffers() if n.endswith("batches_tracked")}
    assert counts == {1}  # one pass of training, and none of the attack's


@pytest.mark.slow
def test_the_command_trains_another_network_for_the_same_texts(folder, shapes, tmp_path):
    out = tmp_path / "robust"
    robust_run.run(
        shapes, out, start=folder, state_file=tmp_path / "s", network="test_resnet",
        config=config(steps=1, sizes=(32,), shares=(1.0,)), evaluate_every=1, seed=0, device="cpu",
    )  # fmt: skip
    model, _ = clip.load_model(out)
    start, _ = clip.load_model(folder)
    assert type(model.visual.trunk).__name__ == "ResNet"
    assert torch.equal(model.text_projection, start.text_projection)


def test_a_network_that_timm_does_not_know_is_refused_in_one_line(folder, shapes, tmp_path):
    with pytest.raises(WeightsError, match="--network nothing") as caught:
        robust_run.run(
            shapes, tmp_path / "out", start=folder, state_file=tmp_path / "s", network="nothing",
            config=config(), evaluate_every=1, seed=0, device="cpu",
        )  # fmt: skip
    assert "\n" not in str(caught.value)
