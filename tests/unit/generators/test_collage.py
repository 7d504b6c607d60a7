import pytest
import torch

from generators.collage.generator import EMPTY, SLOTS
from guidegen.errors import WeightsError
from guidegen.interfaces import Preference
from guidegen.prompt.grammar import outline
from guidegen.registry import find


@pytest.fixture(scope="module")
def collage():
    backend, variant = find("collage")
    return backend.load(variant, size=(128, 128), device="cpu")


def asks(collage, text):
    """A preference that finds patches by their exact names."""
    names = [entry.name for entry in collage.vocabulary.entries]
    phrases = outline(text)
    scores = torch.full((len(phrases), len(names)), -1.0)
    for row, phrase in enumerate(phrases):
        for column, name in enumerate(names):
            if name == phrase.text:
                scores[row, column] = 9.0
    assert (scores > 0).any(1).all()
    return Preference(phrases, scores)


def picture(collage, text, seed=0):
    rng = torch.Generator().manual_seed(seed)
    latents = collage.init(1, rngs=[rng], preference=[asks(collage, text)])
    names = [
        collage.vocabulary.entries[i].name if i != EMPTY else None
        for i in latents["patch"][0].tolist()
    ]
    return latents, names


def test_every_thing_of_the_prompt_gets_a_patch(collage):
    for seed in range(5):
        _, names = picture(collage, "a dog and a cat and a horse", seed)
        assert {name for name in names if name} == {"dog", "cat", "horse"}


def test_numbers_are_counted(collage):
    _, names = picture(collage, "three dog")
    assert names.count("dog") == 3


def test_relations_decide_who_is_above(collage):
    for seed in range(5):
        latents, names = picture(collage, "a cat on a horse", seed)
        heights = dict(zip(names, latents["place"][0, :, 1].tolist(), strict=True))
        assert heights["cat"] < heights["horse"]
        assert names.index("cat") > names.index("horse")  # painted over it


def test_things_of_the_sky_stand_above_the_others(collage):
    for seed in range(5):
        latents, names = picture(collage, "a dog and a rainbow", seed)
        heights = dict(zip(names, latents["place"][0, :, 1].tolist(), strict=True))
        assert heights["rainbow"] < heights["dog"]


def test_a_scene_fills_the_canvas_and_stays_so(collage):
    scenes = [i for i, e in enumerate(collage.vocabulary.entries) if e.group == "scene"]
    latents, _ = picture(collage, "a dog")
    latents["patch"][0] = torch.tensor([scenes[0]] + [EMPTY] * (SLOTS - 1))
    latents["place"] += 0.3
    collage.constrain_(latents)
    before = collage.decode(latents)
    latents["backdrop"] = -latents["backdrop"]
    assert torch.equal(latents["place"][0, 0], torch.zeros(2))
    # the backdrop shows nowhere, or the scene would not fill the canvas
    assert (collage.decode(latents) - before).abs().mean() < 0.02


def test_the_dye_recolours_and_keeps_light_and_shade(collage):
    latents, names = picture(collage, "a banana")
    slot = names.index("banana")
    latents["dye"][0, slot] = -4
    plain = collage.decode(latents)[0]
    latents["dye"][0, slot] = 4
    latents["tint"][0, slot] = torch.tensor([-4.0, -4.0, 4.0])
    blue = collage.decode(latents)[0]
    moved = (plain - blue).abs().sum(0) > 0.2
    assert moved.float().mean() > 0.05
    assert (blue[2] - blue[0])[moved].mean() > 0.3
    assert blue[2][moved].std() > 0.02


def test_a_colour_that_the_prompt_names_dyes_what_has_it_not(collage):
    wanted = asks(collage, "banana")
    for colour, dyed in (("blue", True), ("yellow", False)):
        (phrase,) = outline(f"a {colour} banana")
        asked = Preference((phrase,), wanted.scores, backdrop="green")
        latents = collage.init(1, rngs=[torch.Generator().manual_seed(0)], preference=[asked])
        slot = (latents["patch"][0] != EMPTY).nonzero().item()
        assert (latents["dye"][0, slot] > 0) == dyed
        sky = collage.decode(latents)[0, :, 2, 2]
        assert sky.argmax() == 1


def test_without_a_preference_some_patch_is_drawn(collage):
    latents = collage.init(1, rngs=[torch.Generator().manual_seed(1)])
    assert (latents["patch"] != EMPTY).sum() == 1


def test_a_broken_atlas_is_refused_in_one_line(tmp_path):
    from generators.collage.patches import Atlas

    path = tmp_path / "patches.zip"
    with pytest.raises(WeightsError, match="patches"):
        Atlas(path)
    path.write_bytes(b"no zip")
    with pytest.raises(WeightsError, match="reinstall") as caught:
        Atlas(path)
    assert "\n" not in str(caught.value)


def boxes(collage, latents):
    """Half extents beyond which a drawing reaches: [x, y] of each slot, in half shorter sides."""
    for s, index in enumerate(latents["patch"][0].tolist()):
        if index != EMPTY and collage.vocabulary.entries[index].group != "scene":
            half = latents["scale"][0, s].exp() * torch.tensor(collage.vocabulary.shape(index))
            yield s, latents["place"][0, s].abs() + half


def test_objects_stay_whole_wherever_the_gradient_takes_them(collage):
    latents, _ = picture(collage, "a dog and a cat and a horse")
    for value in (latents["place"], latents["scale"], latents["angle"]):
        value += 0.9
    collage.constrain_(latents)
    reaches = [reach for _, reach in boxes(collage, latents)]
    assert len(reaches) == 3
    assert max(float(reach.max()) for reach in reaches) <= 1.001
    assert float(latents["angle"].abs().max()) <= 0.4001


def test_surroundings_stand_behind_and_across_the_picture(collage):
    for seed in range(4):
        latents, names = picture(collage, "a house in the three pine tree", seed)
        assert names[:4] == ["pine tree"] * 3 + ["house"]
        assert latents["behind"][0].tolist() == [1, 1, 1, 0, 0, 0]
        across = latents["place"][0, :3, 0]
        assert across.max() - across.min() > 1
        bottom = {
            s: float(latents["place"][0, s, 1])
            + float(latents["scale"][0, s].exp())
            * collage.vocabulary.shape(int(latents["patch"][0, s]))[1]
            for s in range(4)
        }
        assert bottom[3] > max(bottom[s] for s in range(3))


def test_what_is_alone_is_no_surroundings(collage):
    latents, names = picture(collage, "a mountain")
    assert names[0] == "mountain"
    assert latents["behind"].sum() == 0


def suits(collage, text, **names):
    """The drawn backdrops of a prompt to which some backdrops' names, by part, fit so well."""
    asked = asks(collage, text)
    for column, entry in enumerate(collage.vocabulary.entries):
        for part, score in names.items():
            if entry.group == "backdrop" and part in entry.name:
                asked.scores[:, column] = score
    rngs = [torch.Generator().manual_seed(seed) for seed in range(8)]
    return collage.init(8, rngs=rngs, preference=[asked] * 8)


def test_a_backdrop_suits_the_words(collage):
    found = suits(collage, "a dog and a cat", desert=3.0, fog=2.5, winter=0.5)
    ends = {tuple(row) for row in found["backdrop"].sigmoid().mul(255).round().int()[:, 1].tolist()}
    assert ends == {(225, 170, 95), (150, 158, 172)}
    assert set(found["land"].tolist()) == {0, 1}


def test_one_thing_alone_may_have_a_plain_backdrop_too(collage):
    found = suits(collage, "a dog", desert=3.0)
    assert 0 < found["land"].sum() < 8
    assert suits(collage, "a dog and a cat", desert=3.0)["land"].all()


def test_words_that_name_no_backdrop_get_a_light_one(collage):
    found = suits(collage, "a dog", desert=1.0)
    assert found["backdrop"].sigmoid().mean() > 0.7
    assert found["land"].sum() == 0


def test_surroundings_stand_on_land_whatever_the_words_say(collage):
    assert suits(collage, "a dog in the pine tree")["land"].all()


def test_land_begins_at_a_horizon(collage):
    latents = suits(collage, "a dog and a cat", desert=3.0)
    latents["patch"][:] = EMPTY
    steps = collage.decode(latents)[0, 2, :, 0].diff().abs()
    assert steps.argmax() / len(steps) == pytest.approx(0.6, abs=0.02)
    latents["land"][:] = 0
    assert collage.decode(latents)[0, 2, :, 0].diff().abs().max() < steps.max() / 4


def test_a_mood_is_said_by_several_drawings(collage):
    asked = asks(collage, "a broken heart")
    near = {"broken heart", "crying face", "empty nest"}
    for column, entry in enumerate(collage.vocabulary.entries):
        if entry.name in near:
            asked.scores[:, column] = 8.0
    latents = collage.init(1, rngs=[torch.Generator().manual_seed(0)], preference=[asked])
    names = [collage.vocabulary.entries[i].name for i in latents["patch"][0].tolist() if i >= 0]
    assert len(names) == 2
    assert set(names) <= near


def test_proposals_leave_surroundings_behind_the_rest(collage):
    asked = asks(collage, "a house in the three pine tree with the sun")
    rngs = [torch.Generator().manual_seed(0)]
    latents = collage.init(1, rngs=rngs, preference=[asked])
    changes = 0
    for _ in range(25):
        before = latents
        latents = collage.propose(latents, rngs=rngs, preference=[asked])
        changes += any(not torch.equal(before[name], latents[name]) for name in latents)
        names = [collage.vocabulary.entries[i].name for i in latents["patch"][0].tolist() if i >= 0]
        assert names == ["sun", *["pine tree"] * 3, "house"]
    assert changes > 8


def test_a_thing_may_touch_what_it_stands_on_but_not_hide_it(collage):
    latents, names = picture(collage, "a cat on a horse")
    cat, horse = names.index("cat"), names.index("horse")
    latents["scale"][:] = -0.6
    latents["angle"][:] = 0
    costs = []
    for apart in (1.0, 0.75, 0.1):
        latents["place"][0, cat] = torch.tensor([0.0, -apart / 2])
        latents["place"][0, horse] = torch.tensor([0.0, apart / 2])
        costs.append(float(collage.prior(latents)))
    assert costs[0] == pytest.approx(costs[1], abs=1e-4)
    assert costs[2] > costs[1] + 0.1
