import random

import pytest
import torch

from guidegen.training.clip.batches import SceneBatches
from guidegen.training.data import captions, scenes
from guidegen.training.data.dataset import Record

CPU = torch.device("cpu")
NOT_BLUE = {captions.article(name) for name in scenes.COLOUR_NAMES} - {"a blue"}


def placement(n=1, x=0.0, y=0.0, scale=1.0, angle=0.0, flip=1.0):
    return scenes.Placement(*(torch.full((n,), v) for v in (x, y, scale, angle, flip)))


def dot_cutout():
    """One red dot, left of the middle and above it."""
    cutout = torch.zeros(1, 64, 64, 4, dtype=torch.uint8)
    cutout[:, 8:16, 16:24] = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)
    return cutout


def centre(layer):
    mass = layer[0, 3]
    along = torch.linspace(-1, 1, mass.shape[-1])
    return float((mass.sum(0) * along).sum() / mass.sum()), float(
        (mass.sum(1) * along).sum() / mass.sum()
    )


def test_place_at_rest_keeps_the_picture():
    out = scenes.place(dot_cutout(), placement(), 64, torch.ones(1, 2))
    assert out.shape == (1, 4, 64, 64)
    assert torch.allclose(out[0, :, 12, 20], torch.tensor([1.0, 0, 0, 1]))
    assert float(out[0, 3].sum()) == pytest.approx(64, rel=0.01)


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        (placement(x=0.5), (0.125, -0.625)),
        (placement(flip=-1.0), (0.375, -0.625)),
        (placement(scale=0.5), (-0.1875, -0.3125)),
        (placement(y=0.25, scale=0.5), (-0.1875, -0.0625)),
        (placement(angle=torch.pi / 2), (0.625, -0.375)),
    ],
)
def test_place_moves_mirrors_scales_and_turns(where, expected):
    out = scenes.place(dot_cutout(), where, 64, torch.ones(1, 2))
    assert centre(out) == pytest.approx(expected, abs=0.03)


def test_tint_colours_what_is_opaque_only():
    layer = scenes.place(dot_cutout(), placement(), 64, torch.ones(1, 2))
    out = scenes.tint(layer, torch.tensor([scenes.COLOUR_NAMES.index("blue")]))
    assert torch.equal(out[:, 3], layer[:, 3])
    assert out[0, :3, 0, 0].tolist() == [0, 0, 0]
    red, green, blue = out[0, :3, 12, 20].tolist()
    assert blue > 2 * green > 2 * red > 0
    assert (out[:, :3] <= out[:, 3:]).all()


def test_over_is_alpha_compositing():
    front = torch.tensor([0.5, 0.0, 0.0, 0.5]).view(1, 4, 1, 1)  # premultiplied half-opaque red
    back = torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1)
    assert scenes.over(front, back).flatten().tolist() == [0.5, 0.5, 0.0]


def test_on_white():
    out = scenes.on_white(dot_cutout(), 32)
    assert out.shape == (1, 3, 32, 32)
    assert out[0, :, 0, 0].tolist() == [1, 1, 1]
    assert torch.allclose(out[0, :, 6, 10], torch.tensor([1.0, 0, 0]), atol=0.1)


def test_batches_follow_from_seed_and_step(train_set):
    cutouts, records = train_set
    first, again, other = (SceneBatches(cutouts, records, seed=s) for s in (1, 1, 2))
    a, b = first.batch(7, 20, 48, CPU), again.batch(7, 20, 48, CPU)
    assert torch.equal(a.images, b.images)
    assert a.texts == b.texts
    assert torch.equal(a.concepts, b.concepts)
    assert not torch.equal(a.images, other.batch(7, 20, 48, CPU).images)
    assert not torch.equal(a.images, first.batch(8, 20, 48, CPU).images)


def test_batch_contents(train_set):
    cutouts, records = train_set
    source = SceneBatches(cutouts, records, seed=0, pairs=0.25)
    batch = source.batch(0, 40, 48, CPU)
    assert batch.images.shape == (40, 3, 48, 48)
    assert 0 <= float(batch.images.min()) < float(batch.images.max()) <= 1
    assert len(batch.texts) == 40
    assert (batch.concepts[:30, 1] == -1).all()
    assert (batch.concepts[30:] >= 0).all()
    for text, (first, second) in zip(batch.texts[30:], batch.concepts[30:].tolist(), strict=True):
        names = {source.bank[first], source.bank[second]}
        assert all(name.rstrip("s") in text for name in names), text


def test_a_mirrored_arrow_would_be_another_thing():
    assert not captions.may_mirror(Record(file="", caption="left arrow"))
    assert not captions.may_mirror(Record(file="", caption="keycap 3"))
    assert captions.may_mirror(Record(file="", caption="red apple"))


def test_captions_of_one():
    record = Record(
        file="", caption="Apple", keywords=("fruit",), colors=(("red", 0.8),), style="emoji"
    )
    rng = random.Random(0)
    said = {captions.one(record, "blue", rng) for _ in range(300)}
    assert {"apple", "an apple", "fruit", "red apple", "an emoji of an apple"} <= said
    assert "an apple on a blue background" in said
    assert captions.colour_of(Record(file="", caption="red apple", colors=(("red", 0.8),))) is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("a cat above a dog", {"a cat below a dog"}),
        ("a cat and a dog", {None}),
        ("credit card", {None}),
        ("a blue car", {f"{colour} car" for colour in NOT_BLUE}),
        ("a cat on a blue background", {f"a cat on {colour} background" for colour in NOT_BLUE}),
    ],
)  # fmt: skip
def test_contradictions(text, wrong):
    rng = random.Random(0)
    assert {captions.contradict(text, rng) for _ in range(300)} == wrong


def test_captions_of_two():
    cat, dog = (
        Record(file="", caption="cat", concept="cat"),
        Record(file="", caption="dog", concept="dog"),
    )
    rng = random.Random(0)
    flat = {captions.two(cat, dog, False, rng) for _ in range(100)}
    upright = {captions.two(cat, dog, True, rng) for _ in range(100)}
    assert flat == {"cat and dog", "a cat and a dog", "cat next to dog", "a cat next to a dog"}
    assert {"a cat above a dog", "dog below cat"} <= upright
    assert captions.two(cat, cat, False, rng) == "two cats"
