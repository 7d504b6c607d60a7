"""Our BigGAN against the package's own, on random weights."""

import pytest
import torch

from generators import BIGGAN
from generators.biggan.latents import few_classes_prior, moments_prior, soft_top_k
from generators.biggan.network import FoldedBigGAN, load
from guidegen.errors import WeightsError
from guidegen.interfaces import Preference
from guidegen.prompt.grammar import Phrase
from guidegen.weights.store import stored
from tests.helpers.synthetic import biggan_config, biggan_state, write_stored, write_stored_biggan

NAMES = ["biggan/deep-128", "biggan/deep-256", "biggan/deep-512"]
# 51 statistics: also at truncations where the package finds the right row
EXACT = [1.0, 0.5, 0.4, 0.02]


@pytest.fixture(
    scope="module",
    params=[NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])],
)
def name(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEGEN_WEIGHTS", str(folder))
        write_stored_biggan(folder, request.param)
        yield request.param


def build(name, precision="fp32", **options):
    info = BIGGAN.info(name.partition("/")[2])
    values = info.read_options(
        [f"{key.replace('_', '-')}={value}" for key, value in options.items()]
    )
    size = (info.default_size,) * 2
    return BIGGAN.load(
        info.name.partition("/")[2], size=size, device="cpu", precision=precision, options=values
    )


def draw(generator, batch=2, seed=0):
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(batch, generator.rows, 128, generator=rng)
    logits = torch.randn(batch, generator.rows, 1000, generator=rng) - 3
    return {"z": z, "class_logits": logits}


@pytest.mark.parametrize("truncation", EXACT)
def test_the_picture_is_the_packages_own(name, truncation):
    package, ours, z, classes = with_package(name, truncation)
    wanted = package(z, classes, truncation)
    found = ours(*each_row(ours, z, classes))
    assert wanted.std() > 0.05
    assert (found - wanted).abs().max() < 1e-5


@pytest.mark.slow
def test_the_gradient_is_the_packages_own(name):
    # in double precision, where no activation falls on the other side of a ReLU's kink
    package, ours, z, classes = with_package(name, 0.5)
    package, ours = package.double(), ours.double()
    z, classes = z.double().requires_grad_(), classes.double().requires_grad_()
    wanted, found = package(z, classes, 0.5), ours(*each_row(ours, z, classes))
    weights = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(2)).double()
    weights /= wanted[0].numel() ** 0.5
    expected = torch.autograd.grad((wanted * weights).sum(), [z, classes])
    gradient = torch.autograd.grad((found * weights).sum(), [z, classes])
    for a, b in zip(gradient, expected, strict=True):
        assert b.abs().max() > 1e-2
        assert (a - b).abs().max() < 1e-5


def with_package(name, truncation):
    """The package's network, ours, and a batch of two with one row for all blocks."""
    rng = torch.Generator().manual_seed(1)
    z = torch.randn(2, 128, generator=rng)
    classes = torch.rand(2, 1000, generator=rng).softmax(1)
    return load(stored(name)), FoldedBigGAN(load(stored(name)), truncation), z, classes


def each_row(ours, *tensors):
    return [tensor[:, None].expand(-1, ours.rows, -1) for tensor in tensors]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("truncation", "row"), [(0.14, 7), (0.28, 14), (0.56, 28), (0.58, 29), (0.94, 47), (0.3, 15)]
)
def test_the_nearest_statistics_count(name, truncation, row):
    # by a float error the package itself reads the row above at the first three, and the one below
    # at the next two
    package = load(stored(name))
    for key, value in package.state_dict().items():
        if "running_" in key:
            value.copy_(value[row].clone().expand_as(value))
    ours = FoldedBigGAN(load(stored(name)), truncation)
    z, classes = torch.randn(1, 128), torch.rand(1, 1000).softmax(1)
    wanted = package(z, classes, 1.0)
    found = ours(z[:, None].expand(-1, ours.rows, -1), classes[:, None].expand(-1, ours.rows, -1))
    assert (found - wanted).abs().max() < 1e-5


def test_each_block_has_its_own_rows(name):
    """Against the package's blocks called one by one, as Big Sleep calls them."""
    package = load(stored(name))
    ours = FoldedBigGAN(load(stored(name)), 1.0)
    latents = draw(ours)
    z, classes = latents["z"], latents["class_logits"].sigmoid() / 20
    found = ours(z, classes)
    parts = package.generator
    for b in range(2):
        condition = torch.cat([z[b], package.embeddings(classes[b])], 1)
        x = parts.gen_z(condition[:1]).view(-1, 4, 4, 16 * ours.width).permute(0, 3, 1, 2)
        row = 1
        for layer in parts.layers:
            if hasattr(layer, "bn_0"):
                x = layer(x, condition[row : row + 1], 1.0)
                row += 1
            else:
                x = layer(x)
        assert row == ours.rows == latents["z"].shape[1]
        x = parts.conv_to_rgb(torch.relu(parts.bn(x, 1.0)))[:, :3].tanh()
        assert (found[b] - x[0]).abs().max() < 1e-5


def test_two_in_a_batch_equal_each_alone(name):
    generator = build(name)
    latents = draw(generator)
    together = generator.decode(latents)
    for b in range(2):
        alone = generator.decode({key: value[b : b + 1] for key, value in latents.items()})
        torch.testing.assert_close(alone[0], together[b], atol=1e-5, rtol=0)


def test_nothing_but_the_latents_takes_a_gradient(name):
    generator = build(name)
    assert not any(parameter.requires_grad for parameter in generator.network.parameters())
    again = generator.decode(draw(generator))
    assert torch.equal(again, generator.decode(draw(generator)))  # no power iteration goes on


@pytest.mark.slow
def test_half_precision_comes_near(name):
    latents = draw(build(name))
    latents["class_logits"] -= 3
    exact, rough = build(name).decode(latents), build(name, "bf16").decode(latents)
    assert (exact - rough).abs().mean() < 0.02


def wanting(*best):
    scores = torch.zeros(1, 1000)
    scores[0, list(best)] = 9.0
    return Preference((Phrase("thing"),), scores)


def rngs(*seeds):
    return [torch.Generator().manual_seed(seed) for seed in seeds]


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GUIDEGEN_WEIGHTS", str(folder))
        write_stored_biggan(folder, NAMES[0])
        yield NAMES[0]


def test_ranked_starts_have_the_classes_that_the_prompt_wants(small):
    generator = build(small)
    latents = generator.init(2, rngs=rngs(0, 1), preference=[wanting(207), wanting(3, 5)])
    vectors = generator.class_vectors(latents)
    assert vectors[0].argmax(1).tolist() == [207] * generator.rows
    assert set(vectors[1].argmax(1).tolist()) <= {3, 5}
    assert vectors.sum(2).max() < 3  # the rest of the 1,000 weighs little
    assert torch.equal(latents["z"][:, 0], latents["z"][:, -1])


def test_random_starts_are_big_sleeps(small):
    generator = build(small, start="random")
    latents = generator.init(3, rngs=rngs(0, 1, 2), preference=[wanting(207)] * 3)
    logits = latents["class_logits"]
    assert logits.mean() == pytest.approx(-3.9, abs=0.01)
    assert logits.std() == pytest.approx(0.3, abs=0.01)
    assert latents["z"].std() == pytest.approx(1, abs=0.05)
    alone = generator.init(1, rngs=rngs(1), preference=[wanting(207)])
    assert all(torch.equal(alone[key][0], latents[key][1]) for key in alone)


def test_a_fixed_class_is_a_choice(small):
    generator = build(small, classes="fixed")
    latents = generator.init(1, rngs=rngs(0), preference=[wanting(207)])
    assert latents["class_index"].tolist() == [207]
    assert generator.class_vectors(latents)[0, :, 207].tolist() == [1.0] * generator.rows
    assert generator.decode(latents).shape == (1, 3, 128, 128)


def test_top_k_keeps_k_and_their_gradient():
    logits = torch.randn(2, 3, 50, requires_grad=True)
    found = soft_top_k(logits, 4, 2.0)
    assert ((found > 0).sum(2) == 4).all()
    # the first is the plain softmax's, each later one that of those that are left
    first = (logits / 2).softmax(2).amax(2)
    assert torch.allclose(found.amax(2), torch.maximum(first, found.amax(2)))
    found.sum().backward()
    assert logits.grad.abs().sum() > 0


def test_priors_are_big_sleeps_formulas():
    z, classes = torch.randn(3, 5, 128) * 1.3 + 0.2, torch.rand(3, 5, 1000)
    for b in range(3):
        rows = z[b]
        wanted = (1 - rows.std(1)).abs().mean() + rows.mean(1).abs().mean()
        wanted += 4 * max(rows.square().mean(), torch.tensor(1.0))
        for row in rows:
            scores = (row - row.mean()) / (row - row.mean()).square().mean().sqrt()
            kurtosis = scores.pow(4).mean() - 3
            wanted += (kurtosis.abs() + scores.pow(3).mean().abs()) / len(rows)
        assert moments_prior(z)[b] == pytest.approx(float(wanted), rel=1e-5)
        smallest = classes[b].topk(999, largest=False).values
        found = few_classes_prior(classes)[b]
        assert found == pytest.approx(float((50 * smallest).square().mean()), rel=1e-5)


def test_the_bound_is_kept(small):
    generator = build(small, bound=1.5)
    latents = draw(generator)
    generator.constrain_(latents)
    assert latents["z"].abs().max() == 1.5
    before = latents["z"].clone()
    generator.constrain_(latents)
    assert torch.equal(latents["z"], before)
    free = draw(generator)
    build(small, bound=0).constrain_(free)
    assert free["z"].abs().max() > 2


@pytest.mark.parametrize("harm", ["missing", "extra", "shape", "config"])
def test_weights_that_do_not_fit_are_refused(tmp_path, monkeypatch, harm):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path))
    values, config = biggan_state(biggan_config()), biggan_config()
    key = "generator.conv_to_rgb.bias"
    if harm == "missing":
        del values[key]
    elif harm == "extra":
        values["generator.other"] = torch.zeros(2)
    elif harm == "shape":
        values[key] = torch.zeros(9)
    else:
        config["channel_width"] = 16
    write_stored(tmp_path / NAMES[0], values, config)
    with pytest.raises(WeightsError, match="does not fit"):
        build(NAMES[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output_dim": 256}, "draw 128 pixels a side, not 256"),
        ({"n_stats": 1}, "ZeroDivisionError"),
        ({"layers": "abc"}, "IndexError"),
        ({"layers": [[True, 16, 16]]}, "draw 8 pixels a side, not 128"),
        ({"channel_width": "8"}, "TypeError"),
        ({"eps": "small"}, "TypeError"),
    ],
)
def test_configs_that_make_no_network_are_refused(tmp_path, monkeypatch, change, message):
    monkeypatch.setenv("GUIDEGEN_WEIGHTS", str(tmp_path))
    config = biggan_config()
    write_stored(tmp_path / NAMES[0], biggan_state(config), {**config, **change})
    with pytest.raises(WeightsError, match=message) as caught:
        build(NAMES[0])
    assert "\n" not in str(caught.value)


def test_the_vocabulary_is_imagenets(small):
    entries = build(small).vocabulary.entries
    assert len(entries) == 1000
    assert [entries[i].name for i in (0, 207, 999)] == ["tench", "Golden Retriever", "toilet paper"]


def test_auto_times_a_block_in_every_precision(small, monkeypatch, tmp_path):
    monkeypatch.setenv("GUIDEGEN_CACHE", str(tmp_path))
    both = (torch.float32, torch.bfloat16)
    monkeypatch.setattr("guidegen.precision.generator_dtypes", lambda device: both)
    found = build(small, precision="auto").arithmetic
    assert set(found.milliseconds) == {"fp32", "bf16"}
    assert found.dtype in both
    assert build(small).arithmetic.milliseconds == {}
