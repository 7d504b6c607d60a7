"""What every registered generator promises, ours and any that is installed beside it."""

from functools import partial

import pytest
import torch

from guidegen.interfaces import Encodes, Generator, Preference, Proposes
from guidegen.ops import floating, rows
from guidegen.prompt.grammar import Phrase
from guidegen.registry import backends
from tests.helpers.synthetic import write_stored_biggan, write_stored_vqgan

# Of backends whose weights are downloaded, a model of each kind with random ones
SYNTHETIC = {
    ("biggan", "deep-128"): write_stored_biggan,
    ("vqgan", "imagenet-f16-16384"): partial(write_stored_vqgan, kind="VQModel", f=16),
    ("vqgan", "openimages-gumbel-f8"): partial(write_stored_vqgan, kind="GumbelVQ", f=8),
}
DOWNLOADED = {name for name, _ in SYNTHETIC}
NAMES = [
    pytest.param((name, variant), marks=pytest.mark.slow if name == "biggan" else ())
    for name, backend in backends().items()
    for variant in backend.variants
    if name not in DOWNLOADED or variant == "embedded" or (name, variant) in SYNTHETIC
]
SIZE = (64, 96)


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    folder = tmp_path_factory.mktemp("store")
    for (name, variant), write in SYNTHETIC.items():
        write(folder, f"{name}/{variant}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEGEN_WEIGHTS", str(folder))
        yield folder


@pytest.fixture(scope="module", params=NAMES, ids=lambda name: "/".join(name))
def generator(request, store):
    name, variant = request.param
    return backends()[name].load(variant, size=SIZE, device="cpu", precision="fp32")


def preference(generator):
    if generator.vocabulary is None:
        return None
    n = len(generator.vocabulary.entries)
    scores = torch.randn(2, n, generator=torch.Generator().manual_seed(1))
    return Preference((Phrase("one thing"), Phrase("another", count=2, relation="above")), scores)


def start(generator, *seeds):
    wanted = preference(generator)
    return generator.init(
        len(seeds), rngs=rngs(*seeds), preference=None if wanted is None else [wanted] * len(seeds)
    )


def test_it_is_a_generator(generator):
    assert isinstance(generator, Generator)
    assert generator.info.name
    assert generator.info.licence


def test_images_have_the_promised_shape_and_range(generator):
    latents = start(generator, 1, 2)
    assert all(len(value) == 2 for value in latents.values())
    images = generator.decode(latents)
    assert images.shape[:2] == (2, 3)
    full = generator.decode(latents, size=SIZE)
    assert full.shape == (2, 3, *SIZE)
    for out in (images, full):
        assert out.dtype == torch.float32
        assert out.min() >= 0
        assert out.max() <= 1
        assert out.std() > 0


def test_the_start_is_fixed_by_the_seed_and_by_nothing_else(generator):
    one = start(generator, 5)
    again = start(generator, 5)
    among = start(generator, 4, 5, 6)
    other = start(generator, 6)
    for name in one:
        assert torch.equal(one[name], again[name])
        assert torch.equal(one[name], among[name][1:2])
    assert any(not torch.equal(one[name], other[name]) for name in one)


def test_images_do_not_depend_on_their_neighbours(generator):
    latents = start(generator, 1, 2, 3)
    together = generator.decode(latents)
    for row in range(3):
        alone = generator.decode(rows(latents, slice(row, row + 1)))
        torch.testing.assert_close(together[row : row + 1], alone, atol=1e-5, rtol=0)
        again = generator.decode(rows(latents, slice(row, row + 1)))
        assert torch.equal(again, alone)


@pytest.mark.slow
def test_every_floating_latent_gets_a_finite_gradient_of_its_own_image_only(generator):
    latents = {
        k: v.clone().requires_grad_(v.is_floating_point())
        for k, v in start(generator, 1, 2).items()
    }
    weights = torch.rand(generator.decode(latents).shape[1:])
    loss = (generator.decode(latents)[0] * weights).sum() + generator.prior(latents)[0]
    loss.backward()
    for name, value in floating(latents).items():
        assert value.grad is not None, name
        assert value.grad.isfinite().all(), name
        assert value.grad[0].abs().sum() > 0, name
        assert value.grad[1].abs().sum() == 0, name


def test_gradients_agree_with_finite_differences(generator):
    if hasattr(generator, "codebook"):
        pytest.skip("a picture of codes changes in jumps; the gradient goes straight through them")
    latents = start(generator, 1)
    direction = {
        k: torch.randn(v.shape, generator=torch.Generator().manual_seed(7))
        for k, v in floating(latents).items()
    }
    weights = torch.tensor([0.2, 0.9, 0.5]).view(3, 1, 1)

    def loss(t):
        moved = {k: v + t * direction[k] if k in direction else v for k, v in latents.items()}
        return (generator.decode(moved) * weights).mean((1, 2, 3)).sum()

    t = torch.zeros((), requires_grad=True)
    (slope,) = torch.autograd.grad(loss(t), t)
    h = 1e-3
    measured = (loss(torch.tensor(h)) - loss(torch.tensor(-h))) / (2 * h)
    # a drawing is sampled bilinearly: its gradient is that of the few texels that are hit
    assert torch.isclose(slope, measured, rtol=0.2, atol=2e-4)


def test_constrain_is_in_place_and_idempotent(generator):
    latents = start(generator, 1, 2)
    for value in floating(latents).values():
        value.mul_(50).add_(3)
    with torch.no_grad():
        generator.constrain_(latents)
        once = {name: value.clone() for name, value in latents.items()}
        generator.constrain_(latents)
    assert all(torch.equal(once[name], latents[name]) for name in once)
    assert generator.decode(latents).isfinite().all()


def test_prior_is_one_number_a_candidate_and_never_negative(generator):
    prior = generator.prior(start(generator, 1, 2, 3))
    assert prior.shape == (3,)
    assert (prior >= 0).all()


def test_encoding_an_image_comes_back_to_it(generator):
    if not isinstance(generator, Encodes):
        pytest.skip(f"{generator.info.name} does not start from images")
    if hasattr(generator, "codebook"):
        pytest.skip("what codes can't say is lost")
    x = torch.linspace(0.1, 0.9, SIZE[1]).expand(1, 3, *SIZE) * torch.tensor([1, 0.8, 0.6]).view(
        1, 3, 1, 1
    )
    assert (generator.decode(generator.encode(x)) - x).abs().max() < 0.02


@pytest.mark.slow
def test_proposals_change_a_copy_by_the_rows_own_rng(generator):
    if not isinstance(generator, Proposes):
        pytest.skip(f"{generator.info.name} has no choices")
    latents = start(generator, 1, 2)
    before = {name: value.clone() for name, value in latents.items()}
    wanted = [preference(generator)] * 2
    changed = False
    for seed in range(20):
        other = generator.propose(latents, rngs=rngs(seed, seed + 99), preference=wanted)
        alone = generator.propose(
            rows(latents, slice(1, 2)), rngs=rngs(seed + 99), preference=wanted[1:]
        )
        for name, value in latents.items():
            assert torch.equal(value, before[name])
            torch.testing.assert_close(other[name][1:], alone[name])
            changed |= not torch.equal(value, other[name])
        assert generator.decode(other).isfinite().all()
    assert changed


def test_the_vocabulary_names_and_shows_its_entries(generator):
    if generator.vocabulary is None:
        pytest.skip(f"{generator.info.name} has no vocabulary")
    entries = generator.vocabulary.entries
    assert len(entries) > 1
    assert all(entry.name.strip() for entry in entries)
    assert len(generator.vocabulary.digest) == 64
    shown = generator.vocabulary.thumbnails([0, len(entries) - 1])
    if shown is None:
        return  # names alone
    assert shown.shape[:2] == (2, 3)
    assert shown.min() >= 0
    assert shown.max() <= 1
