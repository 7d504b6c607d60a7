"""The terms that a user may add, each by hand and in the loop."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from generators import COLLAGE, PYRAMID
from guidegen.errors import ConfigError, InputImageError, WeightsError
from guidegen.interfaces import Decoded
from guidegen.media.images import read_picture, to_pil
from guidegen.registry import find_loss
from tests.helpers.loops import make_loop

WORDS = ["0.9,0.2,0.2", "0.1,0.5,0.9"]


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def plain(*colour, side=8):
    return torch.tensor(colour).view(1, 3, 1, 1).expand(1, 3, side, side)


def build(name, *options, loop=None):
    context = (loop or make_loop(WORDS, [1, 2])).context
    card = find_loss(name)
    values = card.read_options(options)
    return card.load(replace(context, options=values))


def value(loss, images, latents=None):
    return loss.image_loss(Decoded(images, latents or {}, range(len(images)), 0.0))


def ends(name, *options, weight=20.0, generator=None):
    """What the term measures of the last pictures of a run without it and of one with it."""
    own = [f"{name}.{option}" for option in options]
    loops = [
        make_loop(WORDS, [1, 2], losses=losses, loss_options=more, generator=generator)
        for losses, more in (((), ()), ([f"{name}={weight}"], own))
    ]
    loss = build(name, *options, loop=loops[1])
    steps = [loop.run()[-1] for loop in loops]
    return [value(loss, step.images, step.latents) for step in steps]


@pytest.fixture
def picture(tmp_path):
    """A red disc on navy, 24 px."""
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    disc = ((x - 12).square() + (y - 12).square() < 49).float()
    red, navy = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0.0, 0.0, 128 / 255])
    image = disc * red.view(3, 1, 1) + (1 - disc) * navy.view(3, 1, 1)
    path = tmp_path / "disc.png"
    to_pil(image).save(path)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("saturation", ()),
        ("range", ("low=0.45", "high=0.55")),
        ("palette", ("colours=red,navy,#fff",)),
        ("background", ()),
        ("background", ("colour=white", "reach=0")),
        ("symmetry", ()),
        ("symmetry", ("axis=half-turn",)),
        ("seamless", ()),
        ("sharpness", ()),
        ("smooth", ()),
    ],
)
def test_in_the_loop_a_term_lowers_what_it_measures(name, options):
    without, with_it = ends(name, *options)
    assert (with_it < without - 0.01 * without.abs()).all()


@pytest.mark.parametrize("name", ["edges", "like"])
def test_in_the_loop_a_picture_is_followed(name, picture):
    options = [f"picture={picture}", *(["by=pixels"] if name == "like" else [])]
    without, with_it = ends(name, *options)
    assert (with_it < 0.97 * without).all()


def test_saturation_is_none_of_grey_and_whole_of_pure_colours():
    loss = build("saturation")
    assert value(loss, plain(0.4, 0.4, 0.4)).item() == pytest.approx(1, abs=0.01)
    assert value(loss, plain(1.0, 0.0, 0.0)).item() == pytest.approx(0, abs=0.01)


def test_the_range_counts_what_lies_beyond_it():
    loss = build("range", "low=0.2", "high=0.7")
    assert value(loss, plain(0.0, 0.5, 1.0)).item() == pytest.approx((0.04 + 0.09) / 3)
    assert value(loss, plain(0.2, 0.5, 0.7)).item() == 0


def test_a_palette_takes_the_nearest_colour_as_eyes_see_it():
    loss = build("palette", "colours=black,#ffffff")
    assert value(loss, plain(0.0, 0.0, 0.0)).item() == pytest.approx(0, abs=1e-3)
    assert value(loss, plain(1.0, 1.0, 1.0)).item() == pytest.approx(0, abs=1e-3)
    # OKLab's lightness of sRGB 119/255, from the page that defines it, is about 0.57
    grey = 119 / 255
    assert value(loss, plain(grey, grey, grey)).item() == pytest.approx(0.43, abs=0.01)


def test_a_palette_may_come_from_a_picture(picture):
    loss = build("palette", f"picture={picture}", "count=2")
    assert sorted((loss.colours * 255).round().int().tolist()) == [[0, 0, 128], [255, 0, 0]]


def test_symmetry_and_seams_by_hand():
    image = noise(1, 3, 16, 16)
    mirrored = (image + image.flip(-1)) / 2
    assert value(build("symmetry"), mirrored).item() == pytest.approx(0, abs=1e-6)
    assert value(build("symmetry"), image).item() == pytest.approx(1 / 3, abs=0.05)
    assert value(build("symmetry", "axis=up-down"), mirrored).item() > 0.1
    wave = torch.sin(torch.arange(64) * 2 * torch.pi / 64)
    whole = (0.5 + 0.4 * wave).expand(1, 3, 64, 64)
    broken = (0.5 + 0.4 * torch.sin(torch.arange(64) * torch.pi * 0.8 / 64)).expand(1, 3, 64, 64)
    loss = build("seamless")
    assert value(loss, whole) < 0.2 * value(loss, broken)


def test_a_background_counts_towards_the_borders_in_its_own_colour_or_a_named_one():
    middle = plain(0.0, 0.5, 1.0, side=20).clone()
    middle[..., 8:12, 8:12] = noise(1, 3, 4, 4)
    assert value(build("background"), middle).item() == pytest.approx(0, abs=1e-6)
    assert value(build("background", "reach=0"), middle).item() > 1e-3
    named = value(build("background", "colour=blue"), middle)
    assert named.item() == pytest.approx(0.5 / 3, abs=1e-4)
    corner = middle.clone()
    corner[..., :4, :4] = 0
    assert value(build("background"), corner).item() > 0.05


def test_edges_care_for_outlines_and_neither_for_colour_nor_for_contrast(picture):
    loss = build("edges", f"picture={picture}")
    y, x = torch.meshgrid(torch.arange(24.0), torch.arange(24.0), indexing="ij")
    disc = ((x - 12).square() + (y - 12).square() < 49).float()
    moved = ((x - 7).square() + (y - 17).square() < 49).float()
    green = torch.tensor([0.4, 0.7, 0.4]).view(1, 3, 1, 1)
    assert value(loss, green * (0.5 + 0.5 * disc)).item() < 0.05
    assert value(loss, green * (0.5 + 0.5 * moved)).item() > 0.3


def test_sharp_pictures_have_the_lower_loss():
    image = noise(1, 3, 24, 24)
    blurred = F.avg_pool2d(image, 3, stride=1, padding=1)
    assert value(build("sharpness"), image) < value(build("sharpness"), blurred) < 0


def test_like_compares_part_with_part(picture):
    same = read_picture(picture, "disc")
    moved = same.roll(8, -1)
    for options in (("parts=1",), ("parts=2",), ("by=pixels",)):
        loss = build("like", f"picture={picture}", *options)
        assert value(loss, same).item() == pytest.approx(0, abs=1e-4)
        assert value(loss, moved).item() > 1e-3


@pytest.mark.parametrize("options", [("parts=1",), ("parts=3",)])
def test_like_does_not_depend_on_the_neighbours(picture, options):
    loss = build("like", f"picture={picture}", *options)
    images = noise(2, 3, 24, 24)
    assert torch.allclose(value(loss, images)[1:], value(loss, images[1:]), atol=1e-6)


def test_standing_negatives_are_negative_prompts_with_a_weight_of_their_own():
    away = make_loop(["0.9,0.2,0.2|0.1,0.9,0.1:-0.5"], [1]).run()
    standing = make_loop(
        ["0.9,0.2,0.2"], [1], losses=["avoid=0.5"], loss_options=["avoid.words=green"],
    )  # fmt: skip
    loss = next(t.loss for t in standing.evaluator.objective.terms if t.name == "avoid")
    (perceptor, _) = standing.evaluator.perceptors.parts[0]
    assert torch.equal(loss.words[perceptor.name], perceptor.encode_text(["green"]))
    words = perceptor.encode_text(["0.1,0.9,0.1"])
    loss.words[perceptor.name] = words
    for mine, theirs in zip(standing.run(), away, strict=True):
        assert torch.allclose(mine.losses["total"], theirs.losses["total"], atol=1e-5)


def test_text_off_has_words_where_none_are_named():
    assert build("text-off").words["tiny"].shape == (4, 12)


def head(path, rows, labels="", **more):
    weight = torch.zeros(rows, 12)
    weight[0] = 1.0
    about = {"labels": labels} if labels else {}
    save_file({"weight": weight, "bias": torch.ones(rows)}, path, metadata={**about, **more})
    return path


def test_a_head_raises_its_score_and_a_probe_the_odds_of_its_label(tmp_path):
    score = head(tmp_path / "score.safetensors", 1)
    probe = head(tmp_path / "probe.safetensors", 2, '["a", "b"]')
    for name, options in (
        ("aesthetics", [f"aesthetics.head={score}"]),
        ("probe", [f"probe.head={probe}", "probe.label=a"]),
    ):
        losses = [f"{name}=5", "clip=0"]
        steps = make_loop(WORDS, [1, 2], steps=4, losses=losses, loss_options=options).run()
        assert (steps[-1].losses[name] < steps[0].losses[name] - 0.1).all()


@pytest.mark.parametrize(
    ("name", "options", "error", "says"),
    [
        ("palette", [], ConfigError, "needs its colours"),
        ("background", ["colour=blau"], ConfigError, "'blau' is no colour"),
        ("palette", ["colours=red,blau"], ConfigError, "'blau' is no colour"),
        ("palette", ["colours=red"], ConfigError, "2 to 64 different colours"),
        ("palette", ["colours=red,blue", "picture=x.png"], ConfigError, "one of the two"),
        ("palette", ["picture=no.png"], InputImageError, "there is no picture of the palette"),
        ("palette", ["count=1"], ConfigError, "from 2 to 64, not 1"),
        ("range", ["low=0.7", "high=0.2"], ConfigError, "must be below"),
        ("symmetry", ["axis=z"], ConfigError, "is one of left-right"),
        ("edges", [], ConfigError, "edges.picture=PATH"),
        ("edges", ["picture=no.png"], InputImageError, "there is no picture of the edges"),
        ("like", [], ConfigError, "like.picture=PATH"),
        ("avoid", ["words= , "], ConfigError, "avoid needs words"),
        ("aesthetics", [], ConfigError, "aesthetics.head=PATH"),
        ("aesthetics", ["head=no.safetensors"], WeightsError, "there is no head at"),
        ("probe", ["head=no.safetensors"], ConfigError, "probe.label=NAME"),
    ],
)
def test_options_that_can_not_be_are_refused_in_one_line(name, options, error, says):
    with pytest.raises(error, match=says) as caught:
        find_loss(name).read_options(options)
    assert "\n" not in str(caught.value)
    assert caught.value.field == "loss_option"


def test_heads_that_do_not_fit_are_refused(tmp_path):
    two = head(tmp_path / "two.safetensors", 2, '["a", "b"]')
    with pytest.raises(ConfigError, match="has 2 outputs"):
        build("aesthetics", f"head={two}")
    with pytest.raises(ConfigError, match="no label 'c'; it has a, b"):
        build("probe", f"head={two}", "label=c")
    cache = head(tmp_path / "cache.safetensors", 2, '["a", "b"]', kind="cache")
    with pytest.raises(WeightsError, match="train a logistic one"):
        build("probe", f"head={cache}", "label=a")
    other = head(tmp_path / "other.safetensors", 1, perceptor="RN50/openai", digest="0")
    with pytest.raises(ConfigError, match="trained on RN50/openai, not on tiny"):
        build("aesthetics", f"head={other}")
    save_file({"weight": torch.zeros(3)}, tmp_path / "flat.safetensors")
    with pytest.raises(WeightsError, match="no linear head"):
        build("aesthetics", f"head={tmp_path / 'flat.safetensors'}")
    (tmp_path / "torn.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match="no head in safetensors"):
        build("aesthetics", f"head={tmp_path / 'torn.safetensors'}")


def test_latents_without_neighbours_can_not_be_smooth():
    collage = COLLAGE.load("", size=(64, 64), device="cpu")
    with pytest.raises(ConfigError, match="no latent of collage is laid out as a picture"):
        build("smooth", loop=make_loop(WORDS, [1, 2], generator=collage))
    pyramid = PYRAMID.load("", size=(32, 32), device="cpu")
    assert (
        value(build("smooth"), noise(1, 3, 32, 32), pyramid.init(1, rngs=[torch.Generator()])) > 0
    )
