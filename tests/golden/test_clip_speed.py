"""Rewritten image towers against open_clip's own: the same features, the same gradients."""

import copy

import open_clip
import pytest
import torch
from open_clip import model as parts
from torch import nn

from guidegen.clip.fused import is_efficientnet, is_plain_vit, quickened
from guidegen.clip.fused_cnn import NHWCEfficientNet
from guidegen.clip.fused_vit import FlatViT
from guidegen.weights.open_clip_weights import load_folder, local_folder
from guidegen.weights.store import embedded

CPU = torch.device("cpu")
VIT = {"image_size": 32, "layers": 3, "width": 64, "head_width": 16, "patch_size": 8}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def tower(*, quick_gelu=False, **options):
    torch.manual_seed(0)
    visual = parts._build_vision_tower(24, {**VIT, **options}, quick_gelu=quick_gelu)
    visual.preprocess_cfg = {}
    with torch.no_grad():
        for parameter in visual.parameters():
            # biases, scales and norms start as constants, which hides what is left out
            parameter.add_(0.05 * torch.randn_like(parameter))
        for name, buffer in visual.named_buffers():
            if "running" in name:
                buffer.copy_(0.2 * torch.rand_like(buffer) + ("var" in name))
    return visual.eval().requires_grad_(False)


def look(visual, side, precision=torch.float32, count=3):
    images = torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))
    images.requires_grad_()
    half = precision != torch.float32
    with torch.autocast("cpu", precision if half else None, enabled=half):
        features = visual(images)
    weights = torch.randn(features.shape, generator=torch.Generator().manual_seed(2))
    (features.float() * weights).sum().backward()
    return features.detach().float(), images.grad


def apart(found, wanted):
    return float((found - wanted).norm() / wanted.norm())


def same(visual, side, *, grad=1e-4):
    wanted, wanted_grad = look(visual, side)
    fast = quickened(copy.deepcopy(visual), device=CPU, precision=torch.float32)
    found, found_grad = look(fast, side)
    assert float((found - wanted).abs().max()) < 1e-5 * max(1.0, float(wanted.abs().max()))
    assert apart(found, wanted) < 1e-5
    assert apart(found_grad, wanted_grad) < grad
    assert float(wanted_grad.norm()) > 0
    assert not any(parameter.requires_grad for parameter in fast.parameters())
    return fast


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quick_gelu": True},
        {"act_kwargs": {"approximate": "tanh"}},
        {"ls_init_value": 0.3},
        {"pool_type": "avg"},
        {"pool_type": "avg", "final_ln_after_pool": True},
        {"final_ln_after_pool": True},
        {"no_ln_pre": True, "patch_dropout": 0.5},
        {"patch_size": 16, "layers": 1},
        {"pos_embed_type": "sin_cos_2d", "norm_kwargs": {"eps": 1e-3}},
    ],
)
def test_plain_vits(options):
    assert isinstance(same(tower(**options), 32), FlatViT)


@pytest.mark.parametrize(
    "options",
    [
        {"qk_norm": True},
        {"attentional_pool": True, "attn_pooler_heads": 4, "attn_pooler_queries": 4},
        {"scale_attn": True, "scale_fc": True},
        {"output_tokens": True},
    ],
)
def test_other_vits_stay_as_they_are(options):
    visual = tower(**options)
    assert not is_plain_vit(visual)
    assert quickened(visual, device=CPU, precision=torch.float32) is visual


def test_vits_in_bf16():
    visual = tower(quick_gelu=True)
    wanted, wanted_grad = look(visual, 32)
    fast = quickened(copy.deepcopy(visual), device=CPU, precision=torch.bfloat16)
    found, found_grad = look(fast, 32, torch.bfloat16)
    old, old_grad = look(visual, 32, torch.bfloat16)
    # no further from float32 than autocast, by and large
    assert 0 < apart(found, wanted) < 1.5 * apart(old, wanted)
    assert 0 < apart(found_grad, wanted_grad) < 1.5 * apart(old_grad, wanted_grad)


def test_long_sequences_take_the_other_kernel(monkeypatch):
    visual = tower()
    monkeypatch.setattr("guidegen.clip.fused_vit._LONG", 4)
    same(visual, 32)


def test_features_do_not_depend_on_the_graph():
    fast = quickened(tower(), device=CPU, precision=torch.float32)
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        wanted = fast(images)
    torch.testing.assert_close(fast(images.requires_grad_()).detach(), wanted, atol=1e-5, rtol=1e-5)


def test_resnets():
    visual = tower(layers=(1, 2, 1, 1), width=8, head_width=16, image_size=64)
    fast = same(visual, 64)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())


@pytest.mark.slow
@pytest.mark.parametrize("model", ["efficientnet_lite0", "tf_efficientnet_lite0"])
def test_efficientnets(model):
    visual = tower(timm_model_name=model, timm_pool="avg", timm_proj="linear", image_size=64)
    assert is_efficientnet(visual)
    assert isinstance(same(visual, 64, grad=1e-3), NHWCEfficientNet)
    # an odd size pads the two sides otherwise
    same(visual, 75, grad=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("model", "pool"), [("vit_tiny_patch16_224", ""), ("resnet10t", "avg")])
def test_other_timm_towers_only_keep_cast_weights(model, pool):
    visual = tower(timm_model_name=model, timm_pool=pool, timm_proj="linear", image_size=224)
    wanted, wanted_grad = look(visual, 224, torch.bfloat16, 1)
    fast = quickened(copy.deepcopy(visual), device=CPU, precision=torch.bfloat16)
    assert type(fast) is type(visual)
    found, found_grad = look(fast, 224, torch.bfloat16, 1)
    # the casts are the same; which kernel multiplies is the processor's choice
    assert apart(found, wanted) < 0.02
    assert apart(found_grad, wanted_grad) < 0.1
    assert any(parameter.dtype == torch.bfloat16 for parameter in fast.parameters())


@pytest.mark.slow
def test_the_embedded_clip():
    visual = load_folder(embedded("clip"))[0].visual.eval().requires_grad_(False)
    assert local_folder("embedded") == embedded("clip")
    assert isinstance(same(visual, 128, grad=1e-3), NHWCEfficientNet)


def test_siglip_is_left_alone():
    with torch.device("meta"):
        visual = open_clip.model._build_vision_tower(
            64, open_clip.get_model_config("ViT-B-16-SigLIP")["vision_cfg"]
        )
    assert not is_plain_vit(visual)
    assert not is_efficientnet(visual)
