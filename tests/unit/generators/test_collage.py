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
