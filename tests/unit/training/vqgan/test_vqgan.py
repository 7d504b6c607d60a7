"""The small VQGAN's training: codebook, losses, file format, resumption."""

import json

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import nn

from guidegen.errors import ConfigError, WeightsError
from guidegen.training.data.dataset import CaptionedImages
from guidegen.training.image_commands import vqgan
from guidegen.training.vqgan import codebook as codebook
from guidegen.training.vqgan.evaluate import Evaluator
from guidegen.training.vqgan.loss import Balance
from guidegen.training.vqgan.model import (
    SMALL,
    VQGAN,
    decorrelate,
    load,
    reconstruct,
    save,
    save_source,
)
from guidegen.training.vqgan.scenes import CleanScenes
from guidegen.training.vqgan.trainer import VQGANConfig, VQGANTrainer
from guidegen.weights.store import embedded, sha256_file

pytestmark = pytest.mark.slow

TINY = {**SMALL, "ch": 32, "ch_mult": [1, 1, 1, 1], "z_channels": 8, "resolution": 32}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tiny(seed=0):
    torch.manual_seed(seed)
    return VQGAN(TINY, n_embed=16, embed_dim=4)


@pytest.fixture
def pictures(train_set):
    return CleanScenes(train_set[0], seed=1).batch


def trainer(pictures, state_file, **changes):
    settings = {"steps": 8, "plain_steps": 3, "batch": 2, "size": 32, "save_every": 2} | changes
    return VQGANTrainer(
        tiny(), pictures, None, VQGANConfig(compile=False, **settings),
        state_file=state_file, seed=0,
    )  # fmt: skip


def test_k_means_brings_the_centres_near():
    z = 10 * torch.randn(8, 4, generator=rng()).repeat(50, 1)
    z = z + 0.01 * torch.randn(400, 4, generator=rng(1))

    def distance(rounds):
        centres = codebook.k_means(z, 12, rng(2), rounds=rounds)
        return (z - centres[codebook.nearest(z, centres)]).norm(dim=1).mean()

    assert distance(20) < 0.05 < distance(0)


def test_perplexity_is_1_at_collapse_and_k_at_even_use():
    assert codebook.perplexity(torch.tensor([9, 0, 0, 0])) == pytest.approx(1)
    assert codebook.perplexity(torch.tensor([9, 9, 9, 9])) == pytest.approx(4)


def test_entries_move_to_the_mean_of_what_they_are_given():
    weight = torch.tensor([[0.0, 0.0], [10.0, 10.0]])
    book = codebook.Codebook(weight, decay=0.5)
    z = torch.tensor([[1.0, 1.0], [9.0, 9.0]]).repeat(20, 1)
    for _ in range(30):
        book.update(z, codebook.nearest(z, weight), None)
    torch.testing.assert_close(weight, torch.tensor([[1.0, 1.0], [9.0, 9.0]]))


def test_dead_entries_start_again_at_an_encoder_output():
    weight = torch.tensor([[0.0, 0.0], [99.0, 99.0]])
    book = codebook.Codebook(weight, decay=0.5, dead=0.1)
    z = torch.randn(40, 2, generator=rng())
    for step in range(20):
        book.update(z, codebook.nearest(z, weight), rng(step))
    assert codebook.nearest(z, weight).unique().numel() == 2
    frozen = torch.tensor([[0.0, 0.0], [99.0, 99.0]])
    book = codebook.Codebook(frozen, decay=0.5, dead=0.1)
    for _ in range(20):
        book.update(z, codebook.nearest(z, frozen), None)
    assert codebook.nearest(z, frozen).unique().numel() == 1


def test_a_lookup_takes_rows_of_the_codebook():
    weight, z = torch.randn(9, 4, generator=rng()), torch.randn(2, 4, 3, 5, generator=rng(1))
    out, codes = codebook.lookup(z, weight)
    assert torch.equal(out.permute(0, 2, 3, 1).reshape(-1, 4), weight[codes])


def test_decorrelated_latents_are_decoded_as_before_and_differ_less_in_spread():
    model, average = tiny(), tiny()
    with torch.no_grad():
        model.quant_conv.weight[1:] *= 0.03  # one axis has nearly all the variance
        average.load_state_dict(model.state_dict())
        average.quant_conv.weight.mul_(0.5)
    images = torch.rand(6, 3, 32, 32, generator=rng())

    def latents(of):
        return of.quant_conv(of.encoder(images * 2 - 1))

    def rows(z):
        return z.detach().permute(0, 2, 3, 1).reshape(-1, 4)

    before = [of.post_quant_conv(latents(of)) for of in (model, average)]
    z = rows(latents(model))
    turned = decorrelate([model, average], z, power=0.5)
    torch.testing.assert_close(turned, rows(latents(model)), rtol=1e-3, atol=1e-4)
    for of, was in zip((model, average), before, strict=True):
        torch.testing.assert_close(of.post_quant_conv(latents(of)), was, rtol=1e-3, atol=1e-4)
    spread, old = turned.std(0), torch.linalg.eigvalsh(torch.cov(z.T)).sqrt()
    assert torch.corrcoef(turned.T).triu(1).abs().max() < 1e-2
    assert spread.mean() == pytest.approx(1, rel=1e-2)
    torch.testing.assert_close(spread / spread[-1], (old / old[-1]).sqrt(), rtol=2e-2, atol=1e-3)


def test_losses_pull_as_hard_as_they_are_told():
    picture = torch.rand(2, 3, 4, 4, generator=rng()).requires_grad_()
    wanted = torch.rand(2, 3, 4, 4, generator=rng(1))
    balance = Balance({"a": 1.0, "b": 0.5})
    a, b = (picture - wanted).abs().mean(), 1e6 * (picture * wanted).square().sum()
    (alone,) = torch.autograd.grad(a, picture, retain_graph=True)
    rest = balance({"a": a, "b": b}, picture) - alone
    assert float(rest.norm() / alone.norm()) == pytest.approx(0.5, rel=1e-3)
    other = Balance({"a": 1.0, "b": 0.5})
    other.load_state_dict(balance.state_dict())
    assert other.lengths == balance.lengths


def test_scenes_follow_from_seed_and_step(train_set):
    scenes = CleanScenes(train_set[0], seed=1)
    one, again, other = scenes.batch(4, 6, 32), scenes.batch(4, 6, 32), scenes.batch(5, 6, 32)
    assert one.shape == (6, 3, 32, 32)
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 1


def test_training_starts_the_codebook_and_lowers_the_loss(pictures, tmp_path):
    few = pictures(0, 2, 32)
    settings = {"steps": 30, "plain_steps": 10, "lr": 3e-3, "early_share": 0.0}
    run = trainer(lambda step, n, size: few, tmp_path / "state.pt", **settings)
    losses = list(run.run())
    assert "codes" not in losses[9]
    assert losses[10]["codes"] > 1
    assert losses[-1]["l1"] < 0.6 * losses[0]["l1"]
    assert len(run.weight.unique(dim=0)) > 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"adversarial": 0.5, "adversarial_from": 3, "scramble": 0.5, "noise": 0.5, "sampled": 0.5},
    ],
)
def test_a_killed_training_goes_on_as_if_nothing_had_happened(pictures, tmp_path, changes):
    whole = trainer(pictures, tmp_path / "whole.pt", **changes)
    list(whole.run())
    killed = trainer(pictures, tmp_path / "killed.pt", **changes)
    for _ in killed.run():
        if killed.step == 5:  # saved at 4, after the codebook's start
            break
    resumed = trainer(pictures, tmp_path / "killed.pt", **changes)
    assert resumed.step == 4
    list(resumed.run())
    ours, theirs = whole.kept_state(), resumed.kept_state()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_discriminator_pulls_at_the_decoder_from_its_step_on(pictures, tmp_path):
    pulled = trainer(pictures, tmp_path / "a.pt", adversarial=0.5, adversarial_from=2)
    alone = trainer(pictures, tmp_path / "b.pt")
    steps = zip(pulled.run(), alone.run(), strict=True)
    for number, (with_it, without) in enumerate(steps):
        assert "discriminator" in with_it
        assert ("adversarial" in with_it) == (number >= 2)
        same = all(map(torch.equal, pulled.model.parameters(), alone.model.parameters()))
        assert same == (number < 2)
        assert "discriminator" not in without


def test_a_trained_codebook_is_kept_from_the_first_step(pictures, tmp_path):
    run = trainer(pictures, tmp_path / "state.pt", plain_steps=None, steps=1)
    before = run.weight.clone()
    (losses,) = run.run()
    assert losses["codes"] > 1
    # moving averages take a hundredth of a step, k-means would have moved every entry
    assert (run.weight - before).norm() < 0.2 * before.norm()


def test_only_the_decoder_trains_if_that_is_asked_for(pictures, tmp_path):
    settings = {"plain_steps": None, "decoder_only": True, "scramble": 0.5, "adversarial": 0.3}
    run = trainer(pictures, tmp_path / "state.pt", **settings)
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    list(run.run())
    changed = {k for k, v in run.kept_state().items() if not torch.equal(v, before[k])}
    assert {name.split(".")[0] for name in changed} == {"decoder", "post_quant_conv"}


def test_a_saved_model_is_begun_from(shapes, tmp_path):
    model = tiny(seed=1)
    save(model.state_dict(), model.config, tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.config == model.config
    ours = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    assert all(torch.equal(ours[name], tensor) for name, tensor in again.state_dict().items())
    (tmp_path / "m/config.json").write_text(json.dumps({**model.config, "n_embed": 17}))
    with pytest.raises(WeightsError, match="1 misshapen"):
        load(tmp_path / "m")
    with pytest.raises(WeightsError, match="no VQGAN that this command wrote"):
        load(tmp_path / "nowhere")


def test_the_command_goes_on_from_a_model_with_another_tower(shapes, tmp_path):
    model = tiny(seed=1)
    save(model.state_dict(), model.config, tmp_path / "m")
    vqgan(
        shapes, tmp_path / "out", begin=tmp_path / "m", clip=embedded("robust"), steps=1, batch=1,
        early_share=0.0, adversarial=0.3, scramble=0.5, decoder_only=True, fuse=False, device="cpu",
    )  # fmt: skip
    with Image.open(tmp_path / "out/reconstructions.png") as sheet:
        assert sheet.size == (128, 5 * 128)  # there is one drawing to test on
    curves = [json.loads(line) for line in (tmp_path / "out/curves.jsonl").open()]
    assert [line["step"] for line in curves] == [1]
    assert curves[0]["val on white"]["psnr"] > 0
    source = json.loads((tmp_path / "out/source.json").read_text())
    assert "--scramble 0.5 --decoder-only --seed 0" in source["command"]
    before, after = load(tmp_path / "m").state_dict(), load(tmp_path / "out").state_dict()
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert "decoder" in changed
    assert "encoder" not in changed


def test_a_decoder_alone_needs_an_encoder_to_begin_from(tmp_path):
    with pytest.raises(ConfigError, match="--begin"):
        vqgan(tmp_path, tmp_path / "out", decoder_only=True)


def test_the_file_has_tamings_layout_and_its_digest(tmp_path):
    model = tiny()
    digest = save(model.state_dict(), model.config, tmp_path / "m")
    save_source(tmp_path / "m", licence="MIT")
    state = load_file(tmp_path / "m/model.safetensors")
    assert {name.split(".")[0] for name in state} == {
        "encoder", "decoder", "quantize", "quant_conv", "post_quant_conv"
    }  # fmt: skip
    again = VQGAN(TINY, n_embed=16, embed_dim=4)
    again.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True)
    source = json.loads((tmp_path / "m/source.json").read_text())
    assert source["sha256"] == digest == sha256_file(tmp_path / "m/model.safetensors")
    assert json.loads((tmp_path / "m/config.json").read_text()) == model.config


def test_a_reconstruction_is_a_picture_made_of_codes():
    images = torch.rand(3, 3, 32, 32, generator=rng())
    out, codes = reconstruct(tiny().eval(), images, chunk=2)
    assert out.shape == images.shape
    assert 0 <= out.min() <= out.max() <= 1
    assert codes.numel() == 3 * 4 * 4


def test_figures_of_a_perfect_and_of_a_poor_model(shapes):
    class Perfect(nn.Module):
        def __init__(self, error):
            super().__init__()
            self.error, self.config = nn.Parameter(torch.tensor(error)), {"n_embed": 4}

        def forward(self, images):
            codes = torch.arange(4).repeat(len(images))
            return images + self.error.detach() * (1 - 2 * images.round()), codes

    evaluator = Evaluator(CaptionedImages(shapes), 32)
    good, poor = evaluator(Perfect(0.0))[0], evaluator(Perfect(0.1))[0]
    assert good.l1 == 0
    assert poor.l1 == pytest.approx(0.1, abs=1e-4)
    assert poor.psnr == pytest.approx(20, abs=0.1)
    assert (good.used, good.perplexity) == (4, pytest.approx(4))
