"""VQGAN against taming-transformers' own modules, and against VQGAN-CLIP's published algorithm."""

import contextlib
import io
import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from taming.modules.diffusionmodules.model import Decoder, Encoder
from taming.modules.vqvae.quantize import GumbelQuantize, VectorQuantizer2

from generators.vqgan import card
from generators.vqgan.group_norm import group_norm
from generators.vqgan.quantise import codes_of, quantise
from guidegen.errors import ConfigError, WeightsError
from guidegen.precision import autocast
from guidegen.registry import backends
from guidegen.weights.store import stored
from tests.helpers.synthetic import vqgan_config, vqgan_state, write_stored, write_stored_vqgan

SIZE = (64, 96)
MODELS = {
    "vqgan/imagenet-f16-16384": ("VQModel", 16),
    "vqgan/tiny-f8": ("VQModel", 8),
    "vqgan/openimages-gumbel-f8": ("GumbelVQ", 8),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    for seed, (name, (kind, f)) in enumerate(MODELS.items()):
        write_stored_vqgan(folder, name, kind=kind, f=f, seed=seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEGEN_WEIGHTS", str(folder))
        yield folder


@pytest.fixture
def own_store(tmp_path, monkeypatch):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path))
    return tmp_path


def load(name, size=SIZE, precision="fp32", start="codes"):
    return backends()["vqgan"].load(
        name.removeprefix("vqgan/"),
        size=size, device="cpu", precision=precision, options={"start": start, "scales": 1},
    )  # fmt: skip


@pytest.fixture(scope="module", params=MODELS)
def pair(request, store):
    return load(request.param), Reference(stored(request.param))


class Reference:
    """`VQModel` or `GumbelVQ` put together from taming's untouched modules."""

    def __init__(self, model):
        dd, width = model.config["ddconfig"], model.config["embed_dim"]
        n = model.config["n_embed"]
        self.gumbel = model.config["kind"] == "GumbelVQ"
        with contextlib.redirect_stdout(io.StringIO()):
            parts = {
                "encoder": Encoder(**dd),
                "decoder": Decoder(**dd),
                "quant_conv": torch.nn.Conv2d(dd["z_channels"], width, 1),
                "post_quant_conv": torch.nn.Conv2d(width, dd["z_channels"], 1),
                "quantize": GumbelQuantize(dd["z_channels"], width, n_embed=n)
                if self.gumbel
                else VectorQuantizer2(n, width, beta=0.25),
            }
        self.modules = torch.nn.ModuleDict(parts)
        self.modules.load_state_dict(load_file(model.weights))
        self.modules.eval()
        table = self.modules["quantize"]
        self.codebook = (table.embed if self.gumbel else table.embedding).weight.detach()

    @torch.no_grad()
    def decode(self, quantised):
        return (self.modules["decoder"](self.modules["post_quant_conv"](quantised)) + 1) / 2

    @torch.no_grad()
    def prequant(self, images):
        return self.modules["quant_conv"](self.modules["encoder"](images * 2 - 1))


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def test_decoding_is_tamings(pair):
    ours, theirs = pair
    z = noise(2, ours.codebook.shape[1], *ours.grid)
    codes = codes_of(z, theirs.codebook)
    wanted = theirs.decode(F.embedding(codes, theirs.codebook).permute(0, 3, 1, 2))
    torch.testing.assert_close(ours.decode({"z": z}), wanted.clamp(0, 1), atol=1e-5, rtol=0)
    assert wanted.std() > 0.01  # or the comparison would say little


def test_encoding_is_tamings(pair):
    ours, theirs = pair
    images = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(3))
    h = theirs.prequant(images)
    with autocast(ours.device, ours.dtype):
        close = ours.modules.quant_conv(ours.modules.encoder(images * 2 - 1))
    torch.testing.assert_close(close, h, atol=1e-5, rtol=1e-5)
    if theirs.gumbel:
        # what GumbelQuantize draws most often; it draws at random even in evaluation
        one_hot = F.one_hot(theirs.modules["quantize"].proj(h).argmax(1), len(theirs.codebook))
        wanted = torch.einsum("bhwn,nd->bdhw", one_hot.float(), theirs.codebook)
    else:
        wanted = theirs.modules["quantize"](h)[0].detach()
    torch.testing.assert_close(ours.encode(images)["z"], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("k", [2, 64, 3000])
def test_the_quantiser_is_vectorquantizer2(k):
    theirs = VectorQuantizer2(k, 8, beta=0.25)
    theirs.embedding.weight.data.copy_(noise(k, 8, seed=1))
    z = noise(3, 8, 5, 7, seed=2)
    wanted, _, (_, _, codes) = theirs(z)
    assert torch.equal(codes_of(z, theirs.embedding.weight.detach()).flatten(), codes)
    ours = quantise(z, theirs.embedding.weight.detach())
    torch.testing.assert_close(ours, wanted.detach(), atol=1e-6, rtol=0)


def test_a_large_codebook_is_searched_in_parts(monkeypatch):
    codebook, z = noise(50, 8), noise(2, 8, 9, 11, seed=1)
    whole = codes_of(z, codebook)
    monkeypatch.setattr("generators.vqgan.quantise._AT_ONCE", 350)
    assert torch.equal(codes_of(z, codebook), whole)


def test_near_rows_are_told_apart_under_autocast():
    codebook = torch.tensor([[100.0, 1.0], [100.0, 1.01]])
    z = torch.tensor([100.0, 1.009]).view(1, 2, 1, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert codes_of(z, codebook).item() == 1


def test_the_gradient_goes_straight_through():
    z = noise(1, 8, 2, 2).requires_grad_()
    weights = noise(1, 8, 2, 2, seed=1)
    (quantise(z, noise(9, 8, seed=2)) * weights).sum().backward()
    assert torch.equal(z.grad, weights)


def test_the_latent_gradient_is_that_of_tamings_decoder(pair):
    ours, theirs = pair
    z = noise(1, ours.codebook.shape[1], *ours.grid).requires_grad_()
    weights = noise(1, 3, *SIZE, seed=4)
    (ours.decode({"z": z}) * weights).sum().backward()
    codes = codes_of(z, theirs.codebook)
    q = F.embedding(codes, theirs.codebook).permute(0, 3, 1, 2).detach().requires_grad_()
    image = (theirs.modules["decoder"](theirs.modules["post_quant_conv"](q)) + 1) / 2
    inside = (image.detach() == image.detach().clamp(0, 1)) | (
        weights * (image.detach() - image.detach().clamp(0, 1)) > 0
    )
    (image * weights * inside).sum().backward()
    torch.testing.assert_close(z.grad, q.grad, atol=1e-5 * float(q.grad.abs().max()), rtol=1e-4)


def test_two_in_a_batch_are_each_alone(pair):
    ours, _ = pair
    z = noise(2, ours.codebook.shape[1], *ours.grid)
    both = ours.decode({"z": z})
    for row in range(2):
        alone = ours.decode({"z": z[row : row + 1]})
        torch.testing.assert_close(both[row : row + 1], alone, atol=1e-5, rtol=0)


def test_the_constraint_is_the_codebooks_range_and_idempotent(pair):
    ours, _ = pair
    latents = {"z": noise(2, ours.codebook.shape[1], *ours.grid) * 50}
    same = latents["z"]
    ours.constrain_(latents)
    assert latents["z"] is same
    once = same.clone()
    low, high = ours.codebook.min(0).values, ours.codebook.max(0).values
    assert torch.equal(once.amin((0, 2, 3)), low)
    assert torch.equal(once.amax((0, 2, 3)), high)
    ours.constrain_(latents)
    assert torch.equal(once, latents["z"])


@pytest.mark.parametrize("start", card.STARTS)
def test_starts_follow_from_the_seed_alone(store, start):
    ours = load("vqgan/tiny-f8", start=start)
    alone = ours.init(1, rngs=rngs(5))["z"]
    among = ours.init(3, rngs=rngs(4, 5, 6))["z"]
    assert alone.shape == (1, 8, 8, 12)
    assert torch.equal(alone, among[1:2])
    assert not torch.equal(among[0], among[1])
    # every cell starts at a code
    assert torch.equal(alone, quantise(alone, ours.codebook))


@pytest.mark.parametrize("size", [(64, 64), (64, 208), (144, 80)])
def test_any_multiple_of_f(store, size):
    ours = load("vqgan/imagenet-f16-16384", size=size)
    assert ours.decode(ours.init(1, rngs=rngs(1))).shape == (1, 3, *size)
    assert ours.decode(ours.init(1, rngs=rngs(1)), size=(70, 50)).shape == (1, 3, 70, 50)
    assert ours.encode(torch.rand(1, 3, 100, 100))["z"].shape[2:] == ours.grid


def test_a_size_that_is_no_multiple_is_refused(store):
    with pytest.raises(ConfigError, match="multiples of 16, not 96x72"):
        load("vqgan/imagenet-f16-16384", size=(72, 96))


@pytest.mark.slow
def test_half_precision_stays_near(store):
    exact, half = load("vqgan/tiny-f8"), load("vqgan/tiny-f8", precision="bf16")
    latents = exact.init(1, rngs=rngs(1))
    out = half.decode(latents)
    assert out.dtype == torch.float32
    assert (out - exact.decode(latents)).abs().max() < 0.1
    with pytest.raises(ConfigError, match="no use on a CPU"):
        load("vqgan/tiny-f8", precision="fp16")


def test_nothing_but_the_latent_can_learn(pair):
    ours, _ = pair
    assert not any(p.requires_grad for p in ours.modules.parameters())
    assert not ours.modules.training
    assert ours.digest == stored(ours.info.name).sha256


def test_imported_weights_describe_themselves(store):
    card = backends()["vqgan"].info("tiny-f8")
    assert (card.multiple, card.latents["z"], card.encodes) == (8, "[8, H/8, W/8]", True)
    assert card.sizes[0] % card.multiple == card.sizes[1] % card.multiple == 0


# Bad weights: refused at load, in one line


def broken(folder, change):
    config = vqgan_config("vqgan/imagenet-f16-16384", 16)
    state = vqgan_state(config)
    change(state, config)
    write_stored(folder / "vqgan/mine", state, config)
    return folder / "vqgan/mine"


def drop(state, config):
    del state["decoder.conv_in.weight"]


def add(state, config):
    state["loss.logvar"] = torch.zeros(1)


def reshape(state, config):
    state["quantize.embedding.weight"] = torch.zeros(17, 8)


def other_config(state, config):
    config["kind"] = "GumbelVQ"


def no_level(state, config):
    config["ddconfig"]["ch"] = 33


def no_number(state, config):
    config["n_embed"] = "many"


def no_figures(state, config):
    del config["ddconfig"]


def unknown_kind(state, config):
    config["kind"] = "KLModel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop, r"1 missing \(decoder.conv_in.weight\)"),
        (add, r"1 extra \(loss.logvar\)"),
        (reshape, r"quantize.embedding.weight \[17, 8\] instead of \[16, 8\]"),
        (other_config, r"missing .*quantize.embed.weight"),
        (no_level, "no VQGAN's"),
        (no_number, "no VQGAN's"),
        (no_figures, r"no VQGAN's \(KeyError"),
        (unknown_kind, "neither VQModel nor GumbelVQ"),
    ],
)
def test_weights_that_do_not_fit_are_refused(own_store, change, message):
    broken(own_store, change)
    with pytest.raises(WeightsError, match=message) as caught:
        load("vqgan/mine", size=(64, 64))
    assert "\n" not in str(caught.value)


def test_a_flipped_bit_is_found(own_store):
    path = broken(own_store, lambda state, config: None) / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="has changed since"):
        load("vqgan/mine", size=(64, 64))


def test_a_truncated_file_is_refused_even_with_its_own_digest(own_store):
    import hashlib

    folder = broken(own_store, lambda state, config: None)
    data = (folder / "model.safetensors").read_bytes()[:-100]
    (folder / "model.safetensors").write_bytes(data)
    source = {"sha256": hashlib.sha256(data).hexdigest()}
    (folder / "source.json").write_text(json.dumps(source))
    with pytest.raises(WeightsError, match="can't read"):
        load("vqgan/mine", size=(64, 64))


def test_weights_that_are_not_here_say_how_to_get_them(own_store):
    with pytest.raises(WeightsError, match="guidegen models pull vqgan/wikiart-1024"):
        load("vqgan/wikiart-1024", size=(64, 64))


# VQGAN-CLIP, restated from its description: distances to every row, the one-hot matrix times the
# codebook, straight-through by a custom backward, Adam, then a clamp of each channel


class PublishedStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, forward, backward):
        return forward

    @staticmethod
    def backward(ctx, grad):
        return None, grad


class PublishedClamp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.clamp(0, 1)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * (grad * (x - x.clamp(0, 1)) >= 0)


def published_decode(reference, z):
    x, codebook = z.movedim(1, 3), reference.codebook
    d = x.pow(2).sum(-1, keepdim=True) + codebook.pow(2).sum(1) - 2 * x @ codebook.T
    one_hot = F.one_hot(d.argmin(-1), len(codebook)).to(d.dtype)
    q = PublishedStraightThrough.apply(one_hot @ codebook, x).movedim(3, 1)
    modules = reference.modules
    return PublishedClamp.apply(modules["decoder"](modules["post_quant_conv"](q)).add(1).div(2))


@pytest.mark.slow
def test_five_steps_are_those_of_vqgan_clip(pair):
    ours, theirs = pair
    start = ours.init(1, rngs=rngs(0))["z"]
    target = torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(9))
    mine, published = (start.clone().requires_grad_() for _ in range(2))
    adams = [torch.optim.Adam([z], lr=0.1) for z in (mine, published)]
    low = theirs.codebook.min(dim=0).values[None, :, None, None]
    high = theirs.codebook.max(dim=0).values[None, :, None, None]
    for _ in range(5):
        images = ours.decode({"z": mine}), published_decode(theirs, published)
        torch.testing.assert_close(images[0], images[1], atol=1e-4, rtol=0)
        for image, adam in zip(images, adams, strict=True):
            adam.zero_grad()
            (image - target).square().sum().backward()
            adam.step()
        ours.constrain_({"z": mine})
        with torch.no_grad():
            published.copy_(published.maximum(low).minimum(high))
        torch.testing.assert_close(mine, published, atol=1e-4, rtol=0)
    assert not torch.equal(mine, start)


def test_the_gradient_of_group_norm_in_half_precision():
    norm = torch.nn.GroupNorm(4, 16, eps=1e-6).requires_grad_(False)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 3 * torch.randn(1, 16, 12, 20, generator=torch.Generator().manual_seed(0)) + 1
    grad = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    found = []
    for dtype, compute in ((torch.float64, norm.double()), (torch.bfloat16, None)):
        seen = x.bfloat16().to(dtype).to(memory_format=torch.channels_last).requires_grad_()
        out = compute(seen) if compute else group_norm(norm.float(), seen)
        out.backward(grad.bfloat16().to(dtype))
        found.append((out.detach().double(), seen.grad.double()))
    (wanted, pulled), (ours, mine) = found
    assert (ours - wanted).abs().max() <= 2**-8 * wanted.abs().max()
    assert (mine - pulled).abs().max() <= 2**-7 * pulled.abs().max()


@pytest.mark.slow
def test_auto_times_a_block_in_every_precision(store, monkeypatch, tmp_path):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path))
    both = (torch.float32, torch.bfloat16)
    monkeypatch.setattr("guidegen.precision.generator_dtypes", lambda device: both)
    found = load("vqgan/tiny-f8", precision="auto")
    assert set(found.arithmetic.milliseconds) == {"fp32", "bf16"}
    assert found.dtype == found.arithmetic.dtype
    # what was timed was a copy
    z = noise(1, found.codebook.shape[1], *found.grid)
    named = load("vqgan/tiny-f8", precision=found.arithmetic.precision)
    assert torch.equal(found.decode({"z": z}), named.decode({"z": z}))
